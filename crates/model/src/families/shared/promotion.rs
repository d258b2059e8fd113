//! What becomes of a table of float32 beside a single number, as numpy 2 decides it: by the number's type. Before that a
//! single number left a table as it was.

use foretell_pickle::{Kind, Value, View};

use crate::Error;
use crate::attributes::with_numpy_2;

/// A single number beside a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// A number of Python, or one before numpy 2: it takes the table's type.
    Weak,
    /// A number of numpy that float32 holds: it widens no more than float16 and small whole numbers.
    Single,
    /// Any other number of numpy: float32 becomes float64.
    Double,
}

impl Beside {
    pub(crate) fn of(number: &View<'_>) -> Result<Beside, Error> {
        if !matches!(number.value(), Value::Array(_)) || !with_numpy_2(number)? {
            return Ok(Beside::Weak);
        }
        let array = number.array()?;
        let dtype = array.dtype();
        Ok(match (dtype.kind, dtype.size) {
            (Kind::Bool, _) | (Kind::Float, ..=4) | (Kind::Int | Kind::Uint, ..=2) => Beside::Single,
            _ => Beside::Double,
        })
    }
}
