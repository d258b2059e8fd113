//! The values of a statement: of each column one value a row, laid out as ODBC reads them.

/// A day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Date {
    /// Year.
    pub year: i16,
    /// Month, from 1.
    pub month: u16,
    /// Day, from 1.
    pub day: u16,
}

/// A day and a time of day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Time {
    /// The day.
    pub date: Date,
    /// Hour.
    pub hour: u16,
    /// Minute.
    pub minute: u16,
    /// Second.
    pub second: u16,
    /// Nanoseconds.
    pub nanos: u32,
}

/// Where values lie.
pub(crate) enum Cells {
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
    Bits(Vec<u8>),
    /// UTF-16 code units, so many a row.
    Units(Vec<u16>),
    Bytes(Vec<u8>),
    Dates(Vec<Date>),
    Times(Vec<Time>),
}

/// A column of values.
pub struct Parameter {
    pub(crate) cells: Cells,
    /// As ODBC numbers its types: of what lies here, and of what is meant.
    pub(crate) c_type: i16,
    pub(crate) sql_type: i16,
    pub(crate) size: usize,
    pub(crate) digits: i16,
    /// Bytes from one row to the next.
    pub(crate) stride: usize,
    /// The bytes of each value; −1 is NULL.
    pub(crate) lengths: Vec<isize>,
}

const NULL: isize = -1;

/// More UTF-16 units than these make a text a long one.
const LONG_TEXT: usize = 4_000;
/// More bytes than these make bytes long ones.
const LONG_BYTES: usize = 8_000;

impl Parameter {
    fn fixed(cells: Cells, types: (i16, i16), size: usize, digits: i16, stride: usize, there: Vec<bool>) -> Self {
        let length = isize::try_from(stride).unwrap_or_default();
        let lengths = there.into_iter().map(|there| if there { length } else { NULL }).collect();
        Parameter { cells, c_type: types.0, sql_type: types.1, size, digits, stride, lengths }
    }

    /// Whole numbers.
    pub fn ints(values: impl Iterator<Item = Option<i64>>) -> Self {
        let (there, values) = values.map(|value| (value.is_some(), value.unwrap_or_default())).unzip();
        Parameter::fixed(Cells::Ints(values), (-25, -5), 20, 0, 8, there)
    }

    /// Floats.
    pub fn doubles(values: impl Iterator<Item = Option<f64>>) -> Self {
        let (there, values) = values.map(|value| (value.is_some(), value.unwrap_or_default())).unzip();
        Parameter::fixed(Cells::Doubles(values), (8, 8), 15, 0, 8, there)
    }

    /// Truths.
    pub fn bits(values: impl Iterator<Item = Option<bool>>) -> Self {
        let (there, values) = values.map(|value| (value.is_some(), u8::from(value.unwrap_or_default()))).unzip();
        Parameter::fixed(Cells::Bits(values), (-7, -7), 1, 0, 1, there)
    }

    /// Days.
    pub fn dates(values: impl Iterator<Item = Option<Date>>) -> Self {
        let (there, values) = values.map(|value| (value.is_some(), value.unwrap_or_default())).unzip();
        Parameter::fixed(Cells::Dates(values), (91, 91), 10, 0, size_of::<Date>(), there)
    }

    /// Times with so many digits after the second, at most 9.
    pub fn times(values: impl Iterator<Item = Option<Time>>, digits: u8) -> Self {
        let (there, values) = values.map(|value| (value.is_some(), value.unwrap_or_default())).unzip();
        let digits = digits.min(9);
        let size = if digits == 0 { 19 } else { usize::from(digits).saturating_add(20) };
        Parameter::fixed(Cells::Times(values), (93, 93), size, digits.into(), size_of::<Time>(), there)
    }

    /// Texts. All rows take as much room as the longest.
    pub fn texts<'t>(values: impl Iterator<Item = Option<&'t str>> + Clone) -> Self {
        let longest = values.clone().flatten().map(|text| text.encode_utf16().count()).max().unwrap_or_default();
        let width = longest.max(1);
        let (mut units, mut lengths) = (Vec::new(), Vec::new());
        for value in values {
            let begin = units.len();
            units.extend(value.unwrap_or_default().encode_utf16());
            let bytes = units.len().saturating_sub(begin).saturating_mul(2);
            lengths.push(value.map_or(NULL, |_| isize::try_from(bytes).unwrap_or(NULL)));
            units.resize(begin.saturating_add(width), 0);
        }
        let sql_type = if longest > LONG_TEXT { -10 } else { -9 };
        let stride = width.saturating_mul(2);
        Parameter { cells: Cells::Units(units), c_type: -8, sql_type, size: width, digits: 0, stride, lengths }
    }

    /// Bytes. All rows take as much room as the longest.
    pub fn bytes<'t>(values: impl Iterator<Item = Option<&'t [u8]>> + Clone) -> Self {
        let longest = values.clone().flatten().map(<[u8]>::len).max().unwrap_or_default();
        let width = longest.max(1);
        let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
        for value in values {
            let begin = bytes.len();
            bytes.extend(value.unwrap_or_default());
            lengths.push(value.map_or(NULL, |value| isize::try_from(value.len()).unwrap_or(NULL)));
            bytes.resize(begin.saturating_add(width), 0_u8);
        }
        let sql_type = if longest > LONG_BYTES { -4 } else { -3 };
        Parameter { cells: Cells::Bytes(bytes), c_type: -2, sql_type, size: width, digits: 0, stride: width, lengths }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lie_side_by_side() {
        let column = Parameter::texts([Some("aé"), None, Some(""), Some("😀!")].into_iter());
        assert_eq!((column.rows(), column.size, column.stride), (4, 3, 6));
        assert_eq!(column.lengths, [4, -1, 0, 6]);
        let Cells::Units(units) = &column.cells else { panic!("texts") };
        assert_eq!(String::from_utf16(&units[9..]).unwrap(), "😀!");
        assert_eq!(Parameter::texts([Some("x".repeat(4_001).as_str())].into_iter()).sql_type, -10);
    }

    #[test]
    fn times_lie_as_the_interface_has_them() {
        assert_eq!((size_of::<Date>(), size_of::<Time>()), (6, 16));
        let column = Parameter::times([None].into_iter(), 6);
        assert_eq!((column.size, column.digits, column.lengths.as_slice()), (26, 6, [-1].as_slice()));
    }
}
