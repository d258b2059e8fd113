//! Writes a value as `tests/fixtures/make.py` does, through the public views alone.

use foretell_pickle::{ArrayView, Dtype, Kind, Result, Value, View};

pub(crate) fn show(view: &View<'_>) -> Result<String> {
    let joined =
        |views: Vec<View<'_>>| -> Result<String> { Ok(views.iter().map(show).collect::<Result<Vec<_>>>()?.join(", ")) };
    Ok(match view.value() {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(value) => value.to_string(),
        Value::Long(_) | Value::Float(_) => bits(view.as_f64()?),
        Value::Complex(re, im) => format!("complex({}, {})", bits(*re), bits(*im)),
        Value::Str(_) | Value::OldStr(_) => text(view.as_str()?),
        Value::Bytes(_) => format!("b{}", hex(view.as_bytes()?)),
        Value::ByteArray(_) => format!("ba{}", hex(view.as_bytes()?)),
        Value::Slice(_) => format!("slice({})", joined(view.items()?)?),
        Value::Tuple(_) => {
            let items = joined(view.items()?)?;
            format!("({items})")
        }
        Value::List(_) => format!("[{}]", joined(view.items()?)?),
        Value::Set(_) => format!("set({})", sorted(view.items()?)?),
        Value::FrozenSet(_) => format!("frozenset({})", sorted(view.items()?)?),
        Value::Dict(_) => {
            let pair = |(key, value): &(View<'_>, View<'_>)| Ok(format!("{}: {}", show(key)?, show(value)?));
            let pairs = view.pairs()?.iter().map(pair).collect::<Result<Vec<_>>>()?;
            format!("{{{}}}", pairs.join(", "))
        }
        // Protocols 0 to 2 use Python 2's names.
        Value::Global(_) if view.is("__builtin__", "long") => "<builtins.int>".into(),
        Value::Global(_) => format!("<{}>", view.class().unwrap()).replace("__builtin__", "builtins"),
        Value::Dtype(dtype) => format!("dtype({})", dtype.code()),
        Value::Array(_) => {
            let array = view.array()?;
            let shape: Vec<String> = array.shape().iter().map(usize::to_string).collect();
            let items = elements(&array)?.join(", ");
            match array.shape() {
                [] => format!("scalar({}, {items})", array.dtype().code()),
                _ => format!("array({}, ({}), [{items}])", array.dtype().code(), shape.join(", ")),
            }
        }
        Value::Object(object) => {
            let state = match object.state {
                Some(_) => show(&view.state()?)?,
                None => String::new(),
            };
            format!("{}({}){state}", view.class().unwrap(), joined(view.args()?)?)
        }
        other => panic!("a new kind of value: {other:?}"),
    })
}

fn elements(array: &ArrayView<'_>) -> Result<Vec<String>> {
    let Dtype { kind, fields, .. } = array.dtype();
    Ok(match kind {
        Kind::Bool => array.bools()?.iter().map(|b| if *b { "True".into() } else { "False".into() }).collect(),
        Kind::Int => array.i64s()?.iter().map(i64::to_string).collect(),
        Kind::Uint => array.u64s()?.iter().map(u64::to_string).collect(),
        Kind::Float => array.f64s()?.iter().map(|f| bits(*f)).collect(),
        Kind::Text | Kind::Bytes => array.strings()?.iter().map(|s| text(s)).collect(),
        Kind::Moment | Kind::Duration => vec!["a time".to_owned(); array.len()],
        Kind::Object => array.objects()?.iter().map(show).collect::<Result<_>>()?,
        Kind::Record => {
            let columns =
                fields.iter().map(|field| elements(&array.field(&field.name)?)).collect::<Result<Vec<_>>>()?;
            let row = |i: usize| columns.iter().map(|column| column[i].clone()).collect::<Vec<_>>().join(", ");
            (0..array.len()).map(|i| format!("({})", row(i))).collect()
        }
    })
}

fn sorted(views: Vec<View<'_>>) -> Result<String> {
    let mut items = views.iter().map(show).collect::<Result<Vec<_>>>()?;
    items.sort();
    Ok(items.join(", "))
}

fn bits(value: f64) -> String {
    format!("f{:016x}", value.to_bits())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\u{{{:x}}}", u32::from(c)),
        ' '..='~' => c.to_string(),
        _ => format!("\\u{{{:x}}}", u32::from(c)),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}
