//! numpy's own file format, as `numpy.save` writes it without pickles.

use crate::dtype::parse;
use crate::wide::wide;
use crate::{Dtype, ErrorKind, Field, Kind};

/// What stands before an array's bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) dtype: Dtype,
    pub(crate) fortran: bool,
    pub(crate) shape: Vec<usize>,
    /// Where the array's bytes start.
    pub(crate) data: usize,
}

/// numpy's own limit for headers that are not trusted.
const HEADER: usize = 10_000;
/// numpy allows 64 dimensions; a record of a model has fewer fields than this.
const DIMENSIONS: usize = 64;
const FIELDS: usize = 256;

/// Reads the header of an array's file, whose bytes must be as many as it says.
pub(crate) fn header(file: &[u8]) -> Result<Header, ErrorKind> {
    let wrong = ErrorKind::Npy("header");
    let version = file.strip_prefix(b"\x93NUMPY").and_then(|rest| rest.first().zip(rest.get(1)));
    let (start, len) = match version {
        Some((1, 0)) => (10, file.get(8..10).map(|len| len.iter().rev().fold(0, shift))),
        Some((2 | 3, 0)) => (12, file.get(8..12).map(|len| len.iter().rev().fold(0, shift))),
        _ => return Err(ErrorKind::Npy("version")),
    };
    let len = len.filter(|len| *len <= HEADER).ok_or_else(|| wrong.clone())?;
    let data = len.saturating_add(start);
    let text = file.get(start..data).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(|| wrong.clone())?;
    let mut literal = Literal { rest: text };
    let (dtype, fortran, shape) = literal.header()?.ok_or(wrong)?;
    if dtype.kind == Kind::Object {
        return Err(ErrorKind::Npy("dtype"));
    }
    let count = crate::array::count(&shape).ok_or(ErrorKind::Shape)?;
    if dtype.size == 0 && count > 0 {
        return Err(ErrorKind::DtypeState("size"));
    }
    let need = count.checked_mul(dtype.size).ok_or(ErrorKind::Shape)?;
    let have = file.len().saturating_sub(data);
    if need != have {
        return Err(ErrorKind::ArraySize { need: wide(need), have: wide(have), unit: "bytes" });
    }
    Ok(Header { dtype, fortran, shape, data })
}

fn shift(all: usize, byte: &u8) -> usize {
    all.saturating_mul(256).saturating_add(usize::from(*byte))
}

/// What is left of a Python literal.
struct Literal<'t> {
    rest: &'t str,
}

impl<'t> Literal<'t> {
    /// `{'descr': …, 'fortran_order': …, 'shape': …, }`, then spaces; `None` where it is something else.
    fn header(&mut self) -> Result<Option<(Dtype, bool, Vec<usize>)>, ErrorKind> {
        let dtype = match self.take("{").and_then(|()| self.take("'descr':")).and_then(|()| self.dtype()) {
            Some(dtype) => dtype?,
            None => return Ok(None),
        };
        Ok(self.order().and_then(|fortran| Some((dtype, fortran, self.end()?))))
    }

    fn order(&mut self) -> Option<bool> {
        self.take(",")?;
        self.take("'fortran_order':")?;
        let fortran = self.take("True").is_some();
        if !fortran {
            self.take("False")?;
        }
        Some(fortran)
    }

    fn end(&mut self) -> Option<Vec<usize>> {
        self.take(",")?;
        self.take("'shape':")?;
        let shape = self.shape()?;
        self.take(",")?;
        self.take("}")?;
        self.rest.trim_ascii().is_empty().then_some(shape)
    }

    /// Steps over `what` where it is next, after spaces.
    fn take(&mut self, what: &str) -> Option<()> {
        self.rest = self.rest.trim_ascii_start().strip_prefix(what)?;
        Some(())
    }

    /// A text in quotes, without escapes.
    fn text(&mut self) -> Option<&'t str> {
        self.take("'")?;
        let (text, rest) = self.rest.split_once('\'')?;
        self.rest = rest;
        (!text.contains('\\')).then_some(text)
    }

    fn shape(&mut self) -> Option<Vec<usize>> {
        self.take("(")?;
        let mut shape = Vec::new();
        while self.take(")").is_none() {
            self.rest = self.rest.trim_ascii_start();
            let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = self.rest.split_at_checked(digits)?;
            shape.push(number.parse().ok()?);
            self.rest = rest;
            if self.take(",").is_none() {
                self.take(")")?;
                break;
            }
        }
        (shape.len() <= DIMENSIONS).then_some(shape)
    }

    fn dtype(&mut self) -> Option<Result<Dtype, ErrorKind>> {
        let known = |code: &str| parse(code).ok_or_else(|| ErrorKind::Dtype(code.chars().take(40).collect()));
        if self.take("[").is_none() {
            return self.text().map(known);
        }
        let mut record = Dtype::number(Kind::Record, 0);
        while self.take("]").is_none() {
            self.take("(")?;
            let name = self.text()?.to_owned();
            self.take(",")?;
            let code = self.text()?;
            self.take(")")?;
            let more = self.take(",").is_some();
            let dtype = match known(code) {
                Ok(dtype) => dtype,
                Err(kind) => return Some(Err(kind)),
            };
            let offset = record.size;
            record.size = offset.checked_add(dtype.size)?;
            // Fields without a name are padding.
            if !name.is_empty() {
                if matches!(dtype.kind, Kind::Record | Kind::Object) {
                    return Some(Err(ErrorKind::Dtype("record inside a record".to_owned())));
                }
                if record.fields.len() >= FIELDS || record.fields.iter().any(|field| field.name == name) {
                    return Some(Err(ErrorKind::FieldOverlap(name)));
                }
                record.fields.push(Field { name, offset, dtype });
            }
            if !more {
                self.take("]")?;
                break;
            }
        }
        Some(Ok(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let len = u16::try_from(header.len()).unwrap().to_le_bytes();
        [b"\x93NUMPY\x01\x00".as_slice(), &len, header.as_bytes(), data].concat()
    }

    fn refused(text: &str, data: &[u8]) -> String {
        header(&file(text, data)).unwrap_err().to_string()
    }

    #[test]
    fn what_numpy_writes() {
        let plain = header(&file("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }  \n", &[0; 16])).unwrap();
        assert_eq!((plain.dtype, plain.shape, plain.fortran), (Dtype::number(Kind::Float, 8), vec![2], false));
        let scalar = header(&file("{'descr': '|b1', 'fortran_order': True, 'shape': (), }\n", &[1])).unwrap();
        assert_eq!((scalar.shape, scalar.fortran), (vec![], true));
        let text =
            "{'descr': [('left', '<i8'), ('go', '|u1'), ('', '|V7')], 'fortran_order': False, 'shape': (1, 1), }\n";
        let record = header(&file(text, &[0; 16])).unwrap().dtype;
        assert_eq!((record.size, record.fields.len(), record.fields[1].offset), (16, 2, 8));
    }

    #[test]
    fn what_numpy_does_not_write() {
        let shape = |shape: &str| format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
        assert_eq!(refused(&shape("(2,)"), &[0; 15]), "the array needs 16 bytes and has 15");
        assert_eq!(refused(&shape("(-2,)"), &[]), "the numpy file's header is not what numpy writes");
        assert_eq!(
            refused(&shape("(4294967296, 4294967296, 4294967296)"), &[]),
            "the array's shape is negative or too large"
        );
        let descr = |descr: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n");
        assert_eq!(refused(&descr("'|O'"), &[0; 8]), "the numpy file's dtype is not what numpy writes");
        assert_eq!(refused(&descr("'<M8[ns]'"), &[0; 8]), "dtype `<M8[ns]` is not supported");
        assert_eq!(
            refused(&descr("[('a', '<f8'), ('a', '<f8')]"), &[0; 16]),
            "field `a` overlaps another or leaves the record"
        );
        assert_eq!(header(b"\x93NUMPX").unwrap_err().to_string(), "the numpy file's version is not what numpy writes");
    }
}
