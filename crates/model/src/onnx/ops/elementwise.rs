//! Operators that look at one value of each input at a time.

use std::sync::Arc;

use super::super::proto::Node;
use super::super::tensor::{Context, Data, Fault, Kind, Places, Tensor, broadcast};
use super::{Compiled, Operator, Outcome, input, one};
use crate::Error;
use crate::math::normal::error_function;

pub(super) const OPERATORS: &[Operator] = &[
    ("Abs", |_, _| unary(f32::abs, f64::abs, Some(i64::saturating_abs))),
    ("Add", |_, _| arithmetic(|a, b| a + b, |a, b| a + b, |a, b| Some(a.wrapping_add(b)))),
    ("And", |_, _| logic(|a, b| a && b)),
    ("Cast", |node, _| cast(node)),
    ("Ceil", |_, _| unary(f32::ceil, f64::ceil, None)),
    ("Clip", |node, _| clip(node)),
    ("Div", |_, _| arithmetic(|a, b| a / b, |a, b| a / b, i64::checked_div)),
    ("Dropout", |_, _| identity()),
    ("Elu", |node, _| elu(node)),
    ("Equal", |_, _| compare(|a, b| a == b, |a, b| a == b, |a, b| a == b)),
    ("Erf", |_, _| unary(|x| error_function(x.into()) as f32, error_function, None)),
    ("Exp", |_, _| unary(f32::exp, f64::exp, None)),
    ("Floor", |_, _| unary(f32::floor, f64::floor, None)),
    ("Greater", |_, _| compare(|a, b| a > b, |a, b| a > b, |_, _| false)),
    ("GreaterOrEqual", |_, _| compare(|a, b| a >= b, |a, b| a >= b, |_, _| false)),
    ("Identity", |_, _| identity()),
    ("IsInf", |_, _| test(f32::is_infinite, f64::is_infinite)),
    ("IsNaN", |_, _| test(f32::is_nan, f64::is_nan)),
    ("LeakyRelu", |node, _| leaky(node)),
    ("Less", |_, _| compare(|a, b| a < b, |a, b| a < b, |_, _| false)),
    ("LessOrEqual", |_, _| compare(|a, b| a <= b, |a, b| a <= b, |_, _| false)),
    ("Log", |_, _| unary(f32::ln, f64::ln, None)),
    ("Max", |_, _| fold(larger_of_single, larger_of_double, |a, b| Some(a.max(b)))),
    ("Mean", |_, _| mean()),
    ("Min", |_, _| fold(smaller_of_single, smaller_of_double, |a, b| Some(a.min(b)))),
    ("Mul", |_, _| arithmetic(|a, b| a * b, |a, b| a * b, |a, b| Some(a.wrapping_mul(b)))),
    ("Neg", |_, _| unary(|x| -x, |x| -x, Some(i64::wrapping_neg))),
    ("Not", |_, _| not()),
    ("Or", |_, _| logic(|a, b| a || b)),
    ("Pow", |_, _| power()),
    ("Reciprocal", |_, _| unary(|x| 1.0 / x, |x| 1.0 / x, None)),
    ("Relu", |_, _| unary(|x| if x < 0.0 { 0.0 } else { x }, |x| if x < 0.0 { 0.0 } else { x }, Some(|x| x.max(0)))),
    ("Round", |_, _| unary(f32::round_ties_even, f64::round_ties_even, None)),
    ("Sigmoid", |_, _| unary(|x| 1.0 / (1.0 + (-x).exp()), |x| 1.0 / (1.0 + (-x).exp()), None)),
    ("Sign", |_, _| unary(sign_of_single, sign_of_double, Some(i64::signum))),
    ("Softplus", |_, _| {
        unary(|x| x.max(0.0) + (-x.abs()).exp().ln_1p(), |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), None)
    }),
    ("Sqrt", |_, _| unary(f32::sqrt, f64::sqrt, None)),
    ("Sub", |_, _| arithmetic(|a, b| a - b, |a, b| a - b, |a, b| Some(a.wrapping_sub(b)))),
    ("Sum", |_, _| fold(|a, b| a + b, |a, b| a + b, |a, b| Some(a.wrapping_add(b)))),
    ("Tanh", |_, _| unary(f32::tanh, f64::tanh, None)),
    ("Where", |_, _| choose()),
    ("Xor", |_, _| logic(|a, b| a != b)),
];

fn sign_of_single(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

fn sign_of_double(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

// NaN stays NaN, unlike in Rust's own.
fn larger_of_single(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

fn larger_of_double(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

fn smaller_of_single(a: f32, b: f32) -> f32 {
    if a.is_nan() || a < b { a } else { b }
}

fn smaller_of_double(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

type Ints = fn(i64, i64) -> Option<i64>;

/// Calls `each` with the values of two tensors that stand at the same place of their common shape.
pub(super) fn pairs<A: Clone, B: Clone, O>(
    (a, a_shape): (&[A], &[usize]),
    (b, b_shape): (&[B], &[usize]),
    context: &Context,
    each: impl Fn(&A, &B) -> O,
) -> Result<(Vec<usize>, Vec<O>), Fault> {
    let shape = broadcast(a_shape, b_shape)?;
    context.room(&shape)?;
    if a_shape == b_shape {
        return Ok((shape, a.iter().zip(b).map(|(a, b)| each(a, b)).collect()));
    }
    let places = Places::new(a_shape, &shape).zip(Places::new(b_shape, &shape));
    let values: Option<Vec<O>> = places.map(|(at, from)| Some(each(a.get(at)?, b.get(from)?))).collect();
    Ok((shape.clone(), values.ok_or(Fault::Shape)?))
}

fn both(
    (a, b): (&Tensor, &Tensor),
    context: &Context,
    single: impl Fn(f32, f32) -> f32,
    double: impl Fn(f64, f64) -> f64,
    whole: Ints,
) -> Result<Tensor, Fault> {
    let (shape, data) = match (&a.data, &b.data) {
        (Data::F32(x), Data::F32(y)) => {
            let (shape, values) = pairs((x, &a.shape), (y, &b.shape), context, |a, b| single(*a, *b))?;
            (shape, Data::F32(values))
        }
        (Data::F64(x), Data::F64(y)) => {
            let (shape, values) = pairs((x, &a.shape), (y, &b.shape), context, |a, b| double(*a, *b))?;
            (shape, Data::F64(values))
        }
        (Data::I64(x), Data::I64(y)) => {
            let (shape, values) = pairs((x, &a.shape), (y, &b.shape), context, |a, b| whole(*a, *b))?;
            (shape, Data::I64(values.into_iter().collect::<Option<_>>().ok_or(Fault::Zero)?))
        }
        _ => return Err(Fault::Type),
    };
    Ok(Tensor { shape, data })
}

fn arithmetic(single: fn(f32, f32) -> f32, double: fn(f64, f64) -> f64, whole: Ints) -> Result<Compiled, Error> {
    Compiled::plain(move |inputs, context| {
        Ok(vec![both((input(inputs, 0)?, input(inputs, 1)?), context, single, double, whole)?])
    })
}

fn fold(single: fn(f32, f32) -> f32, double: fn(f64, f64) -> f64, whole: Ints) -> Result<Compiled, Error> {
    Compiled::plain(move |inputs, context| {
        let mut all = input(inputs, 0)?.clone();
        for at in 1..inputs.len() {
            all = both((&all, input(inputs, at)?), context, single, double, whole)?;
        }
        Ok(vec![all])
    })
}

fn mean() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let mut all = input(inputs, 0)?.clone();
        for at in 1..inputs.len() {
            all = both((&all, input(inputs, at)?), context, |a, b| a + b, |a, b| a + b, |_, _| None)?;
        }
        let count = inputs.len() as f64;
        let data = match all.data {
            Data::F32(all) => Data::F32(all.into_iter().map(|sum| sum / count as f32).collect()),
            Data::F64(all) => Data::F64(all.into_iter().map(|sum| sum / count).collect()),
            _ => return Err(Fault::Type),
        };
        one(all.shape, data)
    })
}

fn compare(
    single: fn(f64, f64) -> bool,
    whole: fn(i64, i64) -> bool,
    text: fn(&str, &str) -> bool,
) -> Result<Compiled, Error> {
    Compiled::plain(move |inputs, context| {
        let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
        let (a_shape, b_shape) = (a.shape.as_slice(), b.shape.as_slice());
        let (shape, values) = match (&a.data, &b.data) {
            (Data::F32(x), Data::F32(y)) => {
                pairs((x, a_shape), (y, b_shape), context, |a, b| single((*a).into(), (*b).into()))?
            }
            (Data::F64(x), Data::F64(y)) => pairs((x, a_shape), (y, b_shape), context, |a, b| single(*a, *b))?,
            (Data::I64(x), Data::I64(y)) => pairs((x, a_shape), (y, b_shape), context, |a, b| whole(*a, *b))?,
            (Data::Bool(x), Data::Bool(y)) => {
                pairs((x, a_shape), (y, b_shape), context, |a, b| whole((*a).into(), (*b).into()))?
            }
            (Data::Text(x), Data::Text(y)) => pairs((x, a_shape), (y, b_shape), context, |a, b| text(a, b))?,
            _ => return Err(Fault::Type),
        };
        one(shape, Data::Bool(values))
    })
}

fn logic(each: fn(bool, bool) -> bool) -> Result<Compiled, Error> {
    Compiled::plain(move |inputs, context| {
        let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
        let (Data::Bool(x), Data::Bool(y)) = (&a.data, &b.data) else { return Err(Fault::Type) };
        let (shape, values) = pairs((x, &a.shape), (y, &b.shape), context, |a, b| each(*a, *b))?;
        one(shape, Data::Bool(values))
    })
}

fn not() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let Data::Bool(all) = &x.data else { return Err(Fault::Type) };
        one(x.shape.clone(), Data::Bool(all.iter().map(|one| !one).collect()))
    })
}

fn unary(
    single: impl Fn(f32) -> f32 + Send + Sync + 'static,
    double: impl Fn(f64) -> f64 + Send + Sync + 'static,
    whole: Option<fn(i64) -> i64>,
) -> Result<Compiled, Error> {
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let data = match (&x.data, whole) {
            (Data::F32(all), _) => Data::F32(all.iter().map(|x| single(*x)).collect()),
            (Data::F64(all), _) => Data::F64(all.iter().map(|x| double(*x)).collect()),
            (Data::I64(all), Some(whole)) => Data::I64(all.iter().map(|x| whole(*x)).collect()),
            _ => return Err(Fault::Type),
        };
        one(x.shape.clone(), data)
    })
}

fn test(single: fn(f32) -> bool, double: fn(f64) -> bool) -> Result<Compiled, Error> {
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let data = match &x.data {
            Data::F32(all) => all.iter().map(|x| single(*x)).collect(),
            Data::F64(all) => all.iter().map(|x| double(*x)).collect(),
            _ => return Err(Fault::Type),
        };
        one(x.shape.clone(), Data::Bool(data))
    })
}

fn identity() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        Ok(vec![x.clone()])
    })
}

fn elu(node: &Node<'_>) -> Result<Compiled, Error> {
    let alpha = node.float("alpha", 1.0);
    unary(
        move |x| if x < 0.0 { alpha * (x.exp() - 1.0) } else { x },
        move |x| if x < 0.0 { f64::from(alpha) * (x.exp() - 1.0) } else { x },
        None,
    )
}

fn leaky(node: &Node<'_>) -> Result<Compiled, Error> {
    let alpha = node.float("alpha", 0.01);
    unary(move |x| if x < 0.0 { alpha * x } else { x }, move |x| if x < 0.0 { f64::from(alpha) * x } else { x }, None)
}

fn clip(node: &Node<'_>) -> Result<Compiled, Error> {
    let (min, max) = (node.float("min", f32::MIN), node.float("max", f32::MAX));
    let by_attributes = node.has("min") || node.has("max");
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        let limit = |at: usize| -> Result<Option<f64>, Fault> {
            let Some(limit) = inputs.get(at).copied().flatten() else { return Ok(None) };
            let values: Vec<f64> = numbers(limit)?;
            values.first().copied().map(Some).ok_or(Fault::Shape)
        };
        let (low, high) = match by_attributes {
            true => (min.into(), max.into()),
            false => (limit(1)?.unwrap_or(f64::MIN), limit(2)?.unwrap_or(f64::MAX)),
        };
        // Infinities stay where no limit is told, and NaN stays.
        let within = |x: f64| {
            if x < low && low > f64::MIN {
                low
            } else if x > high && high < f64::MAX {
                high
            } else {
                x
            }
        };
        let data = match &x.data {
            Data::F32(all) => Data::F32(all.iter().map(|x| within((*x).into()) as f32).collect()),
            Data::F64(all) => Data::F64(all.iter().map(|x| within(*x)).collect()),
            Data::I64(all) => Data::I64(all.iter().map(|x| within(*x as f64) as i64).collect()),
            _ => return Err(Fault::Type),
        };
        one(x.shape.clone(), data)
    })
}

/// Numbers of any type as float64.
pub(super) fn numbers(x: &Tensor) -> Result<Vec<f64>, Fault> {
    Ok(match &x.data {
        Data::F32(all) => all.iter().map(|one| f64::from(*one)).collect(),
        Data::F64(all) => all.clone(),
        Data::I64(all) => all.iter().map(|one| *one as f64).collect(),
        Data::Bool(all) => all.iter().map(|one| f64::from(u8::from(*one))).collect(),
        Data::Text(_) => return Err(Fault::Type),
    })
}

fn power() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
        let exponents = numbers(b)?;
        let single = |x: f32, power: f64| match power {
            2.0 => x * x,
            3.0 => x * x * x,
            power => x.powf(power as f32),
        };
        let double = |x: f64, power: f64| match power {
            2.0 => x * x,
            3.0 => x * x * x,
            power => x.powf(power),
        };
        let b = (exponents.as_slice(), b.shape.as_slice());
        let (shape, data) = match &a.data {
            Data::F32(x) => {
                let (shape, values) = pairs((x, &a.shape), b, context, |x, power| single(*x, *power))?;
                (shape, Data::F32(values))
            }
            Data::F64(x) => {
                let (shape, values) = pairs((x, &a.shape), b, context, |x, power| double(*x, *power))?;
                (shape, Data::F64(values))
            }
            Data::I64(x) => {
                let (shape, values) = pairs((x, &a.shape), b, context, |x, power| double(*x as f64, *power) as i64)?;
                (shape, Data::I64(values))
            }
            _ => return Err(Fault::Type),
        };
        one(shape, data)
    })
}

fn choose() -> Result<Compiled, Error> {
    Compiled::plain(|inputs, context| {
        let (which, yes, no) = (input(inputs, 0)?, input(inputs, 1)?, input(inputs, 2)?);
        let Data::Bool(flags) = &which.data else { return Err(Fault::Type) };
        if yes.data.kind() != no.data.kind() {
            return Err(Fault::Type);
        }
        let shape = broadcast(&which.shape, &broadcast(&yes.shape, &no.shape)?)?;
        context.room(&shape)?;
        // Both in one list: the second begins where the first ends.
        let mut all = yes.data.clone();
        all.append(&no.data)?;
        let start = yes.data.len();
        let places = Places::new(&which.shape, &shape)
            .zip(Places::new(&yes.shape, &shape).zip(Places::new(&no.shape, &shape)))
            .map(
                |(flag, (yes, no))| {
                    if flags.get(flag).copied().unwrap_or(false) { yes } else { start.saturating_add(no) }
                },
            );
        let data = all.pick(places);
        one(shape.clone(), data)
    })
}

/// A float as the runtime writes it into a text: `%.8g` of float32, `%.17g` of float64.
fn shown(value: f64, digits: i32) -> String {
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    let scientific = format!("{:.*e}", usize::try_from(digits.saturating_sub(1)).unwrap_or(0), value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if power < -4 || power >= digits {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), power.unsigned_abs());
    }
    let places = usize::try_from(digits.saturating_sub(1).saturating_sub(power)).unwrap_or(0);
    trim(&format!("{value:.places$}"))
}

fn cast(node: &Node<'_>) -> Result<Compiled, Error> {
    let code = node.int("to", 1);
    let Some(to) = Kind::of(code) else {
        return Err(Error::unsupported(
            node.place.clone(),
            format!("a cast to the type {code}"),
            "numbers, bools and texts",
        ));
    };
    Compiled::plain(move |inputs, context| {
        let x = input(inputs, 0)?;
        context.room(&x.shape)?;
        one(x.shape.clone(), converted(&x.data, to)?)
    })
}

/// Values in another type.
pub(super) fn converted(data: &Data, to: Kind) -> Result<Data, Fault> {
    let parsed = |text: &Arc<str>| text.trim().parse::<f64>().map_err(|_| Fault::Type);
    Ok(match (data, to) {
        (same, to) if same.kind() == to => same.clone(),
        (Data::Text(all), Kind::F32) => {
            Data::F32(all.iter().map(|text| text.trim().parse().map_err(|_| Fault::Type)).collect::<Result<_, _>>()?)
        }
        (Data::Text(all), Kind::F64) => Data::F64(all.iter().map(parsed).collect::<Result<_, _>>()?),
        (Data::Text(all), Kind::I64) => {
            Data::I64(all.iter().map(|text| text.trim().parse().map_err(|_| Fault::Type)).collect::<Result<_, _>>()?)
        }
        (Data::Text(_), _) => return Err(Fault::Type),
        (Data::F32(all), Kind::F64) => Data::F64(all.iter().map(|one| f64::from(*one)).collect()),
        (Data::F32(all), Kind::I64) => Data::I64(all.iter().map(|one| *one as i64).collect()),
        (Data::F32(all), Kind::Text) => Data::Text(all.iter().map(|one| shown((*one).into(), 8).into()).collect()),
        (Data::F32(all), _) => Data::Bool(all.iter().map(|one| *one != 0.0).collect()),
        (Data::F64(all), Kind::F32) => Data::F32(all.iter().map(|one| *one as f32).collect()),
        (Data::F64(all), Kind::I64) => Data::I64(all.iter().map(|one| *one as i64).collect()),
        (Data::F64(all), Kind::Text) => Data::Text(all.iter().map(|one| shown(*one, 17).into()).collect()),
        (Data::F64(all), _) => Data::Bool(all.iter().map(|one| *one != 0.0).collect()),
        (Data::I64(all), Kind::F32) => Data::F32(all.iter().map(|one| *one as f32).collect()),
        (Data::I64(all), Kind::F64) => Data::F64(all.iter().map(|one| *one as f64).collect()),
        (Data::I64(all), Kind::Text) => Data::Text(all.iter().map(|one| one.to_string().into()).collect()),
        (Data::I64(all), _) => Data::Bool(all.iter().map(|one| *one != 0).collect()),
        (Data::Bool(all), Kind::F32) => Data::F32(all.iter().map(|one| f32::from(u8::from(*one))).collect()),
        (Data::Bool(all), Kind::F64) => Data::F64(all.iter().map(|one| f64::from(u8::from(*one))).collect()),
        (Data::Bool(all), Kind::I64) => Data::I64(all.iter().map(|one| i64::from(*one)).collect()),
        (Data::Bool(all), _) => Data::Text(all.iter().map(|one| if *one { "1" } else { "0" }.into()).collect()),
    })
}

/// What an operator without inputs gives.
pub(super) fn constant(tensor: Tensor) -> Result<Compiled, Error> {
    Compiled::plain(move |_, context| -> Outcome {
        context.room(&tensor.shape)?;
        Ok(vec![tensor.clone()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_shown_as_c_does() {
        for (value, digits, text) in [
            (0.1, 8, "0.1"),
            (1e10, 8, "1e+10"),
            (123_456_789.0, 8, "1.2345679e+08"),
            (2.0, 17, "2"),
            (1e-5, 8, "1e-05"),
            (-0.000_25, 8, "-0.00025"),
        ] {
            assert_eq!(shown(value, digits), text);
        }
    }
}
