//! numpy's dtypes: the closed list.

/// What one element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `?`
    Bool,
    /// `i1`, `i2`, `i4`, `i8`
    Int,
    /// `u1`, `u2`, `u4`, `u8`
    Uint,
    /// `f2`, `f4`, `f8`
    Float,
    /// `S`: bytes, padded with zeros.
    Bytes,
    /// `U`: UCS-4 text, padded with zeros.
    Text,
    /// `M8`: a moment; nothing here reads them.
    Moment,
    /// `m8`: a length of time; nothing here reads them.
    Duration,
    /// `O`: any values.
    Object,
    /// Named fields at offsets.
    Record,
}

/// A numpy dtype of the closed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dtype {
    /// What one element is.
    pub kind: Kind,
    /// Bytes of one element (8 for objects, as numpy counts them).
    pub size: usize,
    /// Whether numbers and text are big-endian.
    pub big_endian: bool,
    /// The fields of a record, none overlapping; their dtypes are neither records nor objects.
    pub fields: Vec<Field>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Where it starts in the record.
    pub offset: usize,
    /// What it is.
    pub dtype: Dtype,
}

impl Dtype {
    pub(crate) fn number(kind: Kind, size: usize) -> Dtype {
        Dtype { kind, size, big_endian: false, fields: Vec::new() }
    }

    /// What a copy takes on the heap.
    pub(crate) fn memory(&self) -> usize {
        let each = |field: &Field| field.name.len().saturating_add(size_of::<Field>()).saturating_add(32);
        self.fields.iter().map(each).fold(0, usize::saturating_add)
    }

    /// As numpy writes it in short: `f8`, `U12`, `O`, `record`.
    #[must_use]
    pub fn code(&self) -> String {
        match self.kind {
            Kind::Bool => "bool".to_owned(),
            Kind::Int => format!("i{}", self.size),
            Kind::Uint => format!("u{}", self.size),
            Kind::Float => format!("f{}", self.size),
            Kind::Bytes => format!("S{}", self.size),
            Kind::Text => format!("U{}", self.size / 4),
            Kind::Moment => "M8".to_owned(),
            Kind::Duration => "m8".to_owned(),
            Kind::Object => "O".to_owned(),
            Kind::Record => "record".to_owned(),
        }
    }
}

/// Reads numpy's code of a dtype; `None` for one that is not on the list (complex numbers, long doubles).
pub(crate) fn parse(code: &str) -> Option<Dtype> {
    let (big_endian, code) = match code.split_at_checked(1)? {
        (">", rest) => (true, rest),
        ("<" | "|" | "=", rest) => (false, rest),
        _ => (false, code),
    };
    let (kind, size) = code.split_at_checked(1)?;
    let size = if size.is_empty() { None } else { Some(size.parse::<u32>().ok()?) };
    let size = match size {
        Some(size) if i32::try_from(size).is_ok() => Some(usize::try_from(size).ok()?),
        Some(_) => return None,
        None => None,
    };
    let (kind, size) = match (kind, size) {
        ("b", Some(1)) | ("?", None) => (Kind::Bool, 1),
        ("i", Some(size @ (1 | 2 | 4 | 8))) => (Kind::Int, size),
        ("u", Some(size @ (1 | 2 | 4 | 8))) => (Kind::Uint, size),
        ("f", Some(size @ (2 | 4 | 8))) => (Kind::Float, size),
        ("S", size) => (Kind::Bytes, size.unwrap_or(0)),
        ("U", size) => (Kind::Text, size.unwrap_or(0).checked_mul(4)?),
        ("M", Some(8)) => (Kind::Moment, 8),
        ("m", Some(8)) => (Kind::Duration, 8),
        ("O", None | Some(4 | 8)) => (Kind::Object, 8),
        ("V", size) => (Kind::Record, size.unwrap_or(0)),
        _ => return None,
    };
    Some(Dtype { kind, size, big_endian, fields: Vec::new() })
}
