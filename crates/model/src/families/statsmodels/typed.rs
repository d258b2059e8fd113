//! Arithmetic on columns in the types that numpy gives it: what a formula computes of float32 is float32, what it computes of
//! whole numbers of few bits has as few.

use arrow_schema::DataType;

use crate::families::shared::wholes::{wholes, wraps};
use crate::math::float32;
use crate::matrix::{Matrix, half, round};

/// numpy's functions of one number: of a float64, of a float32, and of a whole number where that stays one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    double: fn(f64) -> f64,
    single: fn(f32) -> f32,
    whole: Option<fn(i128) -> i128>,
}

impl Function {
    /// The function of a name in Python.
    pub(super) fn named(name: &str) -> Option<Function> {
        let name = name.strip_prefix("np.").or_else(|| name.strip_prefix("numpy."))?;
        let of = |double, single, whole| Some(Function { double, single, whole });
        match name {
            "abs" | "absolute" => of(f64::abs, f32::abs, Some(i128::wrapping_abs)),
            "cos" => of(f64::cos, float32::cos, None),
            "exp" => of(f64::exp, float32::exp, None),
            "expm1" => of(f64::exp_m1, f32::exp_m1, None),
            "log" => of(f64::ln, float32::ln, None),
            "log10" => of(f64::log10, f32::log10, None),
            "log1p" => of(f64::ln_1p, f32::ln_1p, None),
            "log2" => of(f64::log2, f32::log2, None),
            "sin" => of(f64::sin, float32::sin, None),
            "sqrt" => of(f64::sqrt, f32::sqrt, None),
            "square" => of(|x| x * x, |x| x * x, Some(|x| x.wrapping_mul(x))),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Plus,
    Minus,
    Times,
    Over,
    Power,
}

impl Operator {
    fn of(self, a: f64, b: f64, kind: Kind) -> f64 {
        match self {
            Operator::Plus => a + b,
            Operator::Minus => a - b,
            Operator::Times => a * b,
            Operator::Over => a / b,
            Operator::Power if b == 2.0 => a * a,
            Operator::Power if kind == Kind::Single => f64::from((a as f32).powf(b as f32)),
            Operator::Power => a.powf(b),
        }
    }

    /// Of whole numbers, modulo 2^128; `None` where there is no whole number.
    fn of_wholes(self, a: i128, b: i128) -> Option<i128> {
        Some(match self {
            Operator::Plus => a.wrapping_add(b),
            Operator::Minus => a.wrapping_sub(b),
            Operator::Times => a.wrapping_mul(b),
            Operator::Over => return None,
            Operator::Power => power(a, u128::try_from(b).ok()?),
        })
    }
}

fn power(mut base: i128, mut exponent: u128) -> i128 {
    let mut out = 1i128;
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = out.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    out
}

/// A type of numpy; a number of Python's own has none until it meets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    WholeLiteral,
    Literal,
    Bool,
    Int(u32),
    UInt(u32),
    Half,
    Single,
    #[default]
    Double,
}

const BEYOND: &str = "a number of the formula is beyond the column's type: cast the column to BIGINT";
const NEGATIVE: &str = "a whole number to a negative power, which numpy refuses: cast the column to DOUBLE";
const BOOLS: &str = "arithmetic on bools alone, which numpy takes for logic: cast the column to INT";

impl Kind {
    fn of(data_type: &DataType) -> Kind {
        match data_type {
            DataType::Boolean => Kind::Bool,
            DataType::Int8 => Kind::Int(8),
            DataType::Int16 => Kind::Int(16),
            DataType::Int32 => Kind::Int(32),
            DataType::Int64 => Kind::Int(64),
            DataType::UInt8 => Kind::UInt(8),
            DataType::UInt16 => Kind::UInt(16),
            DataType::UInt32 => Kind::UInt(32),
            DataType::UInt64 => Kind::UInt(64),
            DataType::Float32 => Kind::Single,
            _ => Kind::Double,
        }
    }

    /// What functions of floats make of it.
    fn float(self) -> Kind {
        match self {
            Kind::Bool | Kind::Int(8) | Kind::UInt(8) | Kind::Half => Kind::Half,
            Kind::Int(16) | Kind::UInt(16) | Kind::Single => Kind::Single,
            _ => Kind::Double,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Kind::WholeLiteral | Kind::Bool | Kind::Int(_) | Kind::UInt(_))
    }

    /// What the two of an operation are brought to.
    fn with(self, other: Kind) -> Result<Kind, &'static str> {
        use Kind::{Bool, Double, Half, Int, Literal, Single, UInt, WholeLiteral};
        Ok(match (self, other) {
            (Bool, Bool) => return Err(BOOLS),
            (WholeLiteral, WholeLiteral) => WholeLiteral,
            (Literal | WholeLiteral, Literal | WholeLiteral) => Literal,
            (WholeLiteral, Bool) | (Bool, WholeLiteral) => Int(64),
            (WholeLiteral | Bool, kind) | (kind, WholeLiteral | Bool) => kind,
            (Literal, kind) | (kind, Literal) if kind.is_whole() => Double,
            (Literal, kind) | (kind, Literal) => kind,
            (Int(a), Int(b)) => Int(a.max(b)),
            (UInt(a), UInt(b)) => UInt(a.max(b)),
            (Int(signed), UInt(bits)) | (UInt(bits), Int(signed)) => match signed.max(bits.saturating_mul(2)) {
                bits if bits > 64 => Double,
                bits => Int(bits),
            },
            (Double, _) | (_, Double) => Double,
            (Half, Half) => Half,
            (Single | Half, Single | Half) => Single,
            (float, whole) if whole.is_whole() => float.beside(whole),
            (whole, float) => float.beside(whole),
        })
    }

    /// A float beside a whole number.
    fn beside(self, whole: Kind) -> Kind {
        match (self, whole.float()) {
            (Kind::Half, Kind::Half) => Kind::Half,
            (Kind::Half | Kind::Single, Kind::Half | Kind::Single) => Kind::Single,
            _ => Kind::Double,
        }
    }

    /// The float as it holds it.
    fn rounds(self, value: f64) -> f64 {
        match self {
            Kind::Half => half(value),
            Kind::Single => round(value, true),
            _ => value,
        }
    }

    /// The whole number as it holds it: numpy goes around.
    fn wraps(self, value: i128) -> i128 {
        match self {
            Kind::Int(bits) => wraps(value, bits, true),
            Kind::UInt(bits) => wraps(value, bits, false),
            _ => value,
        }
    }
}

#[derive(Debug)]
enum Numbers {
    /// `None` is missing.
    Wholes(Vec<Option<i128>>),
    Floats(Vec<f64>),
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers::Floats(Vec::new())
    }
}

impl Numbers {
    fn floats(self) -> Vec<f64> {
        match self {
            Numbers::Wholes(all) => all.into_iter().map(|one| one.map_or(f64::NAN, |one| one as f64)).collect(),
            Numbers::Floats(all) => all,
        }
    }
}

/// Numbers, one a row, and their type.
#[derive(Debug, Default)]
pub(super) struct Typed {
    numbers: Numbers,
    kind: Kind,
    /// The rows that numpy refuses, and why.
    refused: Vec<(usize, &'static str)>,
}

impl Typed {
    /// A number as Python writes it: with a point it is a float.
    pub(super) fn literal(number: f64, has_point: bool, rows: usize) -> Self {
        let is_whole = !has_point && number.abs() < f64::from(i32::MAX).powi(4);
        let (numbers, kind) = match is_whole {
            true => (Numbers::Wholes(vec![Some(number as i128); rows]), Kind::WholeLiteral),
            false => (Numbers::Floats(vec![number; rows]), Kind::Literal),
        };
        Typed { numbers, kind, refused: Vec::new() }
    }

    pub(super) fn floats(self) -> Vec<f64> {
        self.numbers.floats()
    }

    pub(super) fn refused(&self) -> &[(usize, &'static str)] {
        &self.refused
    }

    pub(super) fn column(x: &Matrix, at: usize) -> Self {
        let (kind, wholes) = match x {
            Matrix::Frame(frame) => {
                let column = frame.columns.get(at);
                (column.map_or(Kind::Double, |column| Kind::of(column.data_type())), column.and_then(wholes))
            }
            other if other.is_narrow() => (Kind::Single, None),
            _ => (Kind::Double, None),
        };
        let floats = || Numbers::Floats(x.numbers(at).unwrap_or_else(|| vec![f64::NAN; x.rows()]));
        Typed { numbers: wholes.map_or_else(floats, Numbers::Wholes), kind, refused: Vec::new() }
    }

    pub(super) fn apply(&mut self, function: Function) {
        if let (Some(whole), Numbers::Wholes(all)) = (function.whole, &mut self.numbers) {
            all.iter_mut().flatten().for_each(|one| *one = self.kind.wraps(whole(*one)));
            return;
        }
        self.kind = self.kind.float();
        let single = matches!(self.kind, Kind::Half | Kind::Single);
        let of = |number: f64| match single {
            true => self.kind.rounds((function.single)(number as f32).into()),
            false => (function.double)(number),
        };
        self.numbers = Numbers::Floats(std::mem::take(&mut self.numbers).floats().into_iter().map(of).collect());
    }

    pub(super) fn negate(&mut self) -> Result<(), &'static str> {
        match (&mut self.numbers, self.kind) {
            (_, Kind::Bool) => return Err(BOOLS),
            (Numbers::Wholes(all), kind) => {
                all.iter_mut().flatten().for_each(|one| *one = kind.wraps(one.wrapping_neg()));
            }
            (Numbers::Floats(all), _) => all.iter_mut().for_each(|one| *one = -*one),
        }
        Ok(())
    }

    pub(super) fn join(&mut self, operator: Operator, second: Typed) -> Result<(), &'static str> {
        let kind = self.kind.with(second.kind)?;
        let first = std::mem::take(self);
        self.refused = first.refused;
        self.refused.extend(second.refused);
        let (a, b) = match (first.numbers, second.numbers) {
            (Numbers::Wholes(a), Numbers::Wholes(b)) if kind.is_whole() && operator != Operator::Over => {
                let mut all = Vec::with_capacity(a.len());
                for (row, pair) in a.into_iter().zip(b).enumerate() {
                    let (Some(a), Some(b)) = pair else {
                        all.push(None);
                        continue;
                    };
                    let fits = |value, of: Kind| of != Kind::WholeLiteral || kind.wraps(value) == value;
                    if !fits(a, first.kind) || !fits(b, second.kind) {
                        self.refused.push((row, BEYOND));
                    }
                    let of_both = operator.of_wholes(a, b);
                    if of_both.is_none() {
                        self.refused.push((row, NEGATIVE));
                    }
                    all.push(of_both.map(|value| kind.wraps(value)));
                }
                (self.kind, self.numbers) = (kind, Numbers::Wholes(all));
                return Ok(());
            }
            (a, b) => (a.floats(), b.floats()),
        };
        self.kind = match kind {
            Kind::WholeLiteral => Kind::Literal,
            kind if kind.is_whole() => Kind::Double,
            kind => kind,
        };
        let kind = self.kind;
        // Both are brought to the type first.
        let of = |(a, b)| kind.rounds(operator.of(kind.rounds(a), kind.rounds(b), kind));
        self.numbers = Numbers::Floats(a.into_iter().zip(b).map(of).collect());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::{ArrayRef, BooleanArray, Float32Array, Int8Array, Int32Array, Int64Array, UInt8Array};

    use super::*;

    fn of(column: ArrayRef) -> Typed {
        let kind = Kind::of(column.data_type());
        let floats = || {
            Numbers::Floats(
                column
                    .as_primitive::<arrow_array::types::Float32Type>()
                    .values()
                    .iter()
                    .map(|one| f64::from(*one))
                    .collect(),
            )
        };
        Typed { numbers: wholes(&column).map_or_else(floats, Numbers::Wholes), kind, refused: Vec::new() }
    }

    fn joined(mut first: Typed, operator: Operator, second: Typed) -> Typed {
        first.join(operator, second).unwrap();
        first
    }

    #[test]
    fn columns_are_computed_in_the_types_that_numpy_gives_them() {
        let x = of(Arc::new(Float32Array::from(vec![0.1])));
        let x = joined(x, Operator::Times, Typed::literal(0.1, true, 1));
        assert_eq!((x.kind, x.floats()), (Kind::Single, vec![f64::from(0.1f32 * 0.1f32)]));
        let single = of(Arc::new(Float32Array::from(vec![0.1])));
        assert_eq!(joined(single, Operator::Plus, of(Arc::new(Int64Array::from(vec![1])))).kind, Kind::Double);
        let x = joined(of(Arc::new(Int8Array::from(vec![20]))), Operator::Over, Typed::literal(7.0, false, 1));
        assert_eq!((x.kind, x.floats()), (Kind::Double, vec![20.0 / 7.0]));
        let mut x = of(Arc::new(Int8Array::from(vec![3])));
        x.apply(Function::named("np.log").unwrap());
        assert_eq!(x.floats(), [1.0986328125]);
        assert_eq!(of(Arc::new(BooleanArray::from(vec![true]))).negate(), Err(BOOLS));
    }

    #[test]
    fn whole_numbers_go_around_as_those_of_numpy() {
        let squared = |column| joined(of(column), Operator::Power, Typed::literal(2.0, false, 3)).floats();
        assert_eq!(squared(Arc::new(Int8Array::from(vec![Some(3), Some(20), None])))[..2], [9.0, -112.0]);
        assert_eq!(squared(Arc::new(Int32Array::from(vec![1652880384, -46341, 46341])))[1..], [-2147479015.0; 2]);
        assert_eq!(squared(Arc::new(Int64Array::from(vec![i64::MAX, 1 << 40, 3037000500])))[..2], [1.0, 0.0]);
        let mut x = of(Arc::new(UInt8Array::from(vec![1, 0])));
        x.negate().unwrap();
        assert_eq!(x.floats(), [255.0, 0.0]);
        let mut x = of(Arc::new(Int8Array::from(vec![-128])));
        x.apply(Function::named("np.abs").unwrap());
        assert_eq!(x.floats(), [-128.0]);
        let many = joined(of(Arc::new(Int8Array::from(vec![1]))), Operator::Plus, Typed::literal(200.0, false, 1));
        assert_eq!(many.refused(), [(0, BEYOND)]);
        let mut minus = Typed::literal(1.0, false, 1);
        minus.negate().unwrap();
        let over = joined(of(Arc::new(Int8Array::from(vec![2]))), Operator::Power, minus);
        assert_eq!(over.refused(), [(0, NEGATIVE)]);
    }
}
