//! Arithmetic on columns in the types that numpy gives it: what a formula computes of float32 is float32, what it computes of
//! whole numbers of few bits has as few.

use arrow_schema::DataType;

use crate::families::shared::functions::half;
use crate::math::float32;
use crate::matrix::{Matrix, round};

/// numpy's functions of one number: of a float64, of a float32, and whether whole numbers stay what they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    double: fn(f64) -> f64,
    single: fn(f32) -> f32,
    keeps: bool,
}

impl Function {
    /// The function of a name in Python.
    pub(super) fn named(name: &str) -> Option<Function> {
        let name = name.strip_prefix("np.").or_else(|| name.strip_prefix("numpy."))?;
        let of = |double, single, keeps| Some(Function { double, single, keeps });
        match name {
            "abs" | "absolute" => of(f64::abs, f32::abs, true),
            "cos" => of(f64::cos, float32::cos, false),
            "exp" => of(f64::exp, float32::exp, false),
            "expm1" => of(f64::exp_m1, f32::exp_m1, false),
            "log" => of(f64::ln, float32::ln, false),
            "log10" => of(f64::log10, f32::log10, false),
            "log1p" => of(f64::ln_1p, f32::ln_1p, false),
            "log2" => of(f64::log2, f32::log2, false),
            "sin" => of(f64::sin, float32::sin, false),
            "sqrt" => of(f64::sqrt, f32::sqrt, false),
            "square" => of(|x| x * x, |x| x * x, true),
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

const BEYOND: &str = "a whole number beyond its column's type, where numpy wraps around: cast the column to BIGINT";
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

    /// The number as it holds it; `None` where it is beyond it.
    fn holds(self, value: f64) -> Option<f64> {
        let within = |low: f64, high: f64| (value.is_nan() || (value >= low && value < high)).then_some(value);
        match self {
            Kind::Int(bits) => {
                let half = f64::from(bits.saturating_sub(1)).exp2();
                within(-half, half)
            }
            Kind::UInt(bits) => within(0.0, f64::from(bits).exp2()),
            Kind::Half => Some(half(value)),
            Kind::Single => Some(round(value, true)),
            _ => Some(value),
        }
    }
}

/// Numbers, one a row, and their type.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) numbers: Vec<f64>,
    kind: Kind,
    /// The rows whose number was beyond the type.
    beyond: Vec<usize>,
}

impl Typed {
    fn new(numbers: Vec<f64>, kind: Kind) -> Self {
        Typed { numbers, kind, beyond: Vec::new() }
    }

    /// A number as Python writes it: with a point it is a float.
    pub(super) fn literal(number: f64, has_point: bool, rows: usize) -> Self {
        Typed::new(vec![number; rows], if has_point { Kind::Literal } else { Kind::WholeLiteral })
    }

    /// The rows that numpy would give another number, and why.
    pub(super) fn beyond(&self) -> impl Iterator<Item = (usize, &'static str)> {
        self.beyond.iter().map(|row| (*row, BEYOND))
    }

    pub(super) fn column(x: &Matrix, at: usize) -> Self {
        let kind = match x {
            Matrix::Frame(frame) => frame.columns.get(at).map_or(Kind::Double, |column| Kind::of(column.data_type())),
            other if other.is_narrow() => Kind::Single,
            _ => Kind::Double,
        };
        Typed::new(x.numbers(at).unwrap_or_else(|| vec![f64::NAN; x.rows()]), kind)
    }

    fn hold(&mut self) {
        for (row, number) in self.numbers.iter_mut().enumerate() {
            match self.kind.holds(*number) {
                Some(held) => *number = held,
                None => self.beyond.push(row),
            }
        }
    }

    pub(super) fn apply(&mut self, function: Function) {
        self.kind = if function.keeps && self.kind.is_whole() { self.kind } else { self.kind.float() };
        let single = matches!(self.kind, Kind::Half | Kind::Single);
        for number in &mut self.numbers {
            *number = if single { (function.single)(*number as f32).into() } else { (function.double)(*number) };
        }
        self.hold();
    }

    pub(super) fn negate(&mut self) -> Result<(), &'static str> {
        if self.kind == Kind::Bool {
            return Err(BOOLS);
        }
        self.numbers.iter_mut().for_each(|number| *number = -*number);
        self.hold();
        Ok(())
    }

    pub(super) fn join(&mut self, operator: Operator, second: Typed) -> Result<(), &'static str> {
        let kind = self.kind.with(second.kind)?;
        let is_division = operator == Operator::Over && kind.is_whole();
        self.kind = match kind {
            Kind::WholeLiteral if is_division => Kind::Literal,
            _ if is_division => Kind::Double,
            kind => kind,
        };
        for (first, second) in self.numbers.iter_mut().zip(&second.numbers) {
            // Both are brought to the type first.
            let (a, b) =
                if kind.is_whole() { (Some(*first), Some(*second)) } else { (kind.holds(*first), kind.holds(*second)) };
            *first = operator.of(a.unwrap_or(*first), b.unwrap_or(*second), self.kind);
        }
        self.beyond.extend(second.beyond);
        self.hold();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_computed_in_the_types_that_numpy_gives_them() {
        let of = |numbers: &[f64], kind| Typed::new(numbers.to_vec(), kind);
        let mut x = of(&[f64::from(0.1f32)], Kind::Single);
        x.join(Operator::Times, Typed::literal(0.1, true, 1)).unwrap();
        assert_eq!(x.numbers, [f64::from(0.1f32 * 0.1f32)]);
        x.join(Operator::Plus, of(&[1.0], Kind::Int(64))).unwrap();
        assert_eq!(x.kind, Kind::Double);
        let mut x = of(&[3.0, 20.0], Kind::Int(8));
        x.join(Operator::Power, Typed::literal(2.0, false, 2)).unwrap();
        assert_eq!((x.numbers[0], x.beyond().collect::<Vec<_>>()), (9.0, vec![(1, BEYOND)]));
        let mut x = of(&[20.0], Kind::Int(8));
        x.join(Operator::Over, Typed::literal(7.0, false, 1)).unwrap();
        assert_eq!((x.kind, x.numbers[0]), (Kind::Double, 20.0 / 7.0));
        let mut x = of(&[3.0], Kind::Int(8));
        x.apply(Function::named("np.log").unwrap());
        assert_eq!(x.numbers, [1.0986328125]);
        assert_eq!(of(&[1.0], Kind::Bool).negate(), Err(BOOLS));
    }
}
