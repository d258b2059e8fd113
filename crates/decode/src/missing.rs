//! Fields of a CSV file that mean a missing value.

/// Fields of a CSV file that mean a missing value by default: those of `pandas.read_csv`. The model was trained on what
/// pandas made of its data, and must be given the same.
pub const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// The texts that mean a missing value, quick to rule out by their first byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Missing {
    texts: Vec<Box<[u8]>>,
    empty: bool,
    begins: [bool; 256],
}

impl Missing {
    /// As the pipeline file lists them. YAML reads an unquoted `null` as no text at all; it can only mean the word.
    pub(super) fn listed(texts: &[Option<String>]) -> Self {
        Missing::new(&texts.iter().map(|text| text.as_deref().unwrap_or("null")).collect::<Vec<_>>())
    }

    /// Of these texts.
    pub fn new<T: AsRef<[u8]>>(texts: &[T]) -> Self {
        let owned = texts.iter().map(|text| text.as_ref().into()).collect();
        let mut missing = Missing { texts: owned, empty: false, begins: [false; 256] };
        for text in texts {
            match text.as_ref().first() {
                Some(byte) => {
                    missing.begins.iter_mut().skip(usize::from(*byte)).take(1).for_each(|begins| *begins = true)
                }
                None => missing.empty = true,
            }
        }
        missing
    }

    /// Whether a field means a missing value: it is one of the texts, to the byte.
    pub fn has(&self, field: &[u8]) -> bool {
        match field.first() {
            Some(byte) => {
                self.begins.get(usize::from(*byte)) == Some(&true) && self.texts.iter().any(|text| **text == *field)
            }
            None => self.empty,
        }
    }

    /// Whether a number in plain digits may mean a missing value.
    pub(super) fn digits(&self) -> bool {
        self.texts.iter().any(|text| !text.is_empty() && text.iter().all(u8::is_ascii_digit))
    }

    /// Whether a number, written without an exponent, may mean a missing value.
    pub(super) fn numbers(&self) -> bool {
        let number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
        self.texts.iter().any(|text| !text.is_empty() && text.iter().all(number))
    }
}
