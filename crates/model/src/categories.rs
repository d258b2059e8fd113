//! Categories of encoders: what they are, and which of them a column's values are.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "codes are of columns that are there")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Float64Array};
use arrow_schema::DataType;
use foretell_pickle::{Kind, Value, View};

use crate::matrix::{Matrix, read};
use crate::step::Run;
use crate::types::is_text;
use crate::{Error, InputKind};

/// The categories of one column, by code.
#[derive(Debug, Clone)]
pub(crate) struct Categories {
    texts: HashMap<String, u32>,
    /// Numbers by the bits of their float64 (zero is positive, NaN left out).
    numbers: HashMap<u64, u32>,
    /// Integers that float64 does not hold exactly.
    wide: HashMap<i64, u32>,
    /// The code of what is missing: NaN or None, whichever was learned.
    missing: Option<u32>,
    /// Whether that is NaN, not None.
    is_nan: bool,
    count: usize,
    is_bool: bool,
}

/// The code of a value that is not a category.
pub(crate) const UNSEEN: u32 = u32::MAX;
/// The code of a missing value where missing is not a category.
pub(crate) const MISSING: u32 = u32::MAX - 1;

impl Categories {
    /// Reads one array of `categories_`.
    pub(crate) fn read(view: &View<'_>) -> Result<Self, Error> {
        let array = view.array()?;
        let mut out = Categories {
            texts: HashMap::new(),
            numbers: HashMap::new(),
            wide: HashMap::new(),
            missing: None,
            is_nan: false,
            count: array.len(),
            is_bool: array.dtype().kind == Kind::Bool,
        };
        match array.dtype().kind {
            Kind::Text | Kind::Bytes => {
                array.strings()?.into_iter().zip(0..).for_each(|(text, code)| out.text(text, code));
            }
            Kind::Int | Kind::Uint => array.i64s()?.into_iter().zip(0..).for_each(|(int, code)| out.int(int, code)),
            Kind::Float | Kind::Bool => {
                array.f64s()?.into_iter().zip(0..).for_each(|(number, code)| out.number(number, code));
            }
            Kind::Object => {
                for (object, code) in array.objects()?.iter().zip(0..) {
                    out.object(object, code)?;
                }
            }
            Kind::Record | Kind::Moment | Kind::Duration => {
                return Err(view.expected("an array of categories").into());
            }
        }
        Ok(out)
    }

    /// Texts in the order of their codes, `None` for what is missing.
    pub(crate) fn texts(all: Vec<Option<String>>) -> Self {
        let mut out = Categories {
            texts: HashMap::with_capacity(all.len()),
            numbers: HashMap::new(),
            wide: HashMap::new(),
            missing: None,
            is_nan: false,
            count: all.len(),
            is_bool: false,
        };
        for (text, code) in all.into_iter().zip(0..) {
            match text {
                Some(text) => out.text(text.into(), code),
                None => out.missing = Some(code),
            }
        }
        out
    }

    /// Numbers in the order of their codes.
    pub(crate) fn floats(all: &[f64]) -> Self {
        let mut out = Categories { count: all.len(), ..Categories::texts(Vec::new()) };
        all.iter().zip(0..).for_each(|(number, code)| out.number(*number, code));
        out
    }

    /// These, and others behind them.
    pub(crate) fn and(mut self, others: Self) -> Self {
        let first = u32::try_from(self.count).unwrap_or(UNSEEN);
        let place = |code: u32| code.saturating_add(first);
        for (text, code) in others.texts {
            self.texts.entry(text).or_insert(place(code));
        }
        for (bits, code) in others.numbers {
            self.numbers.entry(bits).or_insert(place(code));
        }
        for (int, code) in others.wide {
            self.wide.entry(int).or_insert(place(code));
        }
        self.missing = self.missing.or(others.missing.map(place));
        self.count = self.count.saturating_add(others.count);
        self
    }

    /// The categories that some objects are, in the order of their codes.
    pub(crate) fn objects(all: &[View<'_>]) -> Result<Self, Error> {
        let mut out = Categories { count: all.len(), ..Categories::texts(Vec::new()) };
        for (object, code) in all.iter().zip(0..) {
            out.object(object, code)?;
        }
        Ok(out)
    }

    fn object(&mut self, object: &View<'_>, code: u32) -> Result<(), Error> {
        match object.value() {
            Value::None => self.missing = Some(code),
            Value::Bool(yes) => {
                self.is_bool = true;
                self.int(i64::from(*yes), code);
            }
            Value::Int(int) => self.int(*int, code),
            Value::Float(number) => self.number(*number, code),
            Value::Array(_) => self.number(object.as_f64()?, code),
            _ => self.text(Cow::Borrowed(object.as_str()?), code),
        }
        Ok(())
    }

    /// The code of a text.
    pub(crate) fn text_code(&self, text: &str) -> Option<u32> {
        self.texts.get(text).copied()
    }

    /// How many different texts there are.
    pub(crate) fn distinct(&self) -> usize {
        self.texts.len()
    }

    /// The code of a number.
    pub(crate) fn number_code(&self, number: f64) -> Option<u32> {
        if number.is_nan() { self.missing } else { self.numbers.get(&(number + 0.0).to_bits()).copied() }
    }

    fn text(&mut self, text: Cow<'_, str>, code: u32) {
        self.texts.insert(text.into_owned(), code);
    }

    fn int(&mut self, int: i64, code: u32) {
        if int as f64 as i64 == int && int != i64::MAX {
            self.number(int as f64, code);
        } else {
            self.wide.insert(int, code);
        }
    }

    fn number(&mut self, number: f64, code: u32) {
        if number.is_nan() {
            self.missing = Some(code);
            self.is_nan = true;
        } else {
            self.numbers.insert((number + 0.0).to_bits(), code);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn missing(&self) -> Option<u32> {
        self.missing
    }

    /// The code of NaN.
    pub(crate) fn nan(&self) -> Option<u32> {
        self.missing.filter(|_| self.is_nan)
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let texts: usize = self.texts.keys().map(|text| text.len() + 48).sum();
        texts + (self.numbers.len() + self.wide.len()) * 24
    }

    /// What the column must be.
    pub(crate) fn kind(&self) -> InputKind {
        let numbers = !self.numbers.is_empty() || !self.wide.is_empty();
        match (self.texts.is_empty(), numbers) {
            (false, false) => InputKind::Text,
            (true, true) if self.is_bool => InputKind::Bool,
            (true, true) => InputKind::Number,
            _ => InputKind::Any,
        }
    }

    /// The code of each row of a column: [`UNSEEN`] or [`MISSING`] where it has none.
    pub(crate) fn codes(&self, column: &ArrayRef) -> Vec<u32> {
        let missing = self.missing.unwrap_or(MISSING);
        let mut codes = vec![missing; column.len()];
        if column.data_type() == &DataType::Null {
            return codes;
        }
        if is_text(column.data_type()) {
            texts(column, |row, text| {
                if let Some(text) = text {
                    codes[row] = self.texts.get(text).copied().unwrap_or(UNSEEN);
                }
            });
            return codes;
        }
        let mut numbers = vec![0.0f64; column.len()];
        if !read(column, 0..column.len(), &mut numbers) {
            codes.fill(UNSEEN);
            return codes;
        }
        for (code, number) in codes.iter_mut().zip(&numbers).filter(|(_, number)| !number.is_nan()) {
            *code = self.numbers.get(&(number + 0.0).to_bits()).copied().unwrap_or(UNSEEN);
        }
        if column.data_type() == &DataType::Int64 && numbers.iter().any(|number| number.abs() >= 9e15) {
            let exact = column.as_primitive::<Int64Type>();
            for (row, code) in codes.iter_mut().enumerate().filter(|(row, _)| exact.is_valid(*row)) {
                let int = exact.value(row);
                if int as f64 as i64 != int || int == i64::MAX {
                    *code = self.wide.get(&int).copied().unwrap_or(UNSEEN);
                }
            }
        }
        codes
    }
}

/// Calls `each` with every row's text, `None` where it is NULL. A dictionary's values are read where they lie.
pub(crate) fn texts<'a>(column: &'a ArrayRef, mut each: impl FnMut(usize, Option<&'a str>)) {
    let DataType::Dictionary(..) = column.data_type() else {
        plain(column, &mut each);
        return;
    };
    let dictionary = column.as_any_dictionary();
    let mut known: Vec<Option<&'a str>> = vec![None; dictionary.values().len()];
    plain(dictionary.values(), &mut |index, text| known[index] = text);
    if known.is_empty() {
        (0..column.len()).for_each(|row| each(row, None));
        return;
    }
    for (row, key) in dictionary.normalized_keys().into_iter().enumerate() {
        each(row, if column.is_null(row) { None } else { known[key] });
    }
}

fn plain<'a>(column: &'a ArrayRef, each: &mut dyn FnMut(usize, Option<&'a str>)) {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().enumerate().for_each(|(row, text)| each(row, text)),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().enumerate().for_each(|(row, text)| each(row, text)),
        DataType::Utf8View => column.as_string_view().iter().enumerate().for_each(|(row, text)| each(row, text)),
        _ => (0..column.len()).for_each(|row| each(row, None)),
    }
}

/// How rare categories of one column are grouped.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// The group of each category.
    mapping: Vec<usize>,
    /// The group of the rare ones.
    infrequent: usize,
}

impl Group {
    pub(crate) fn of(&self, code: usize) -> usize {
        self.mapping.get(code).copied().unwrap_or(self.infrequent)
    }

    /// How many groups there are.
    pub(crate) fn count(&self) -> usize {
        self.mapping.iter().max().map_or(0, |last| last + 1)
    }

    pub(crate) fn infrequent(&self) -> usize {
        self.infrequent
    }
}

/// The groups of each column of an encoder (from 1.1 on, where `min_frequency` or `max_categories` was given).
pub(crate) fn groups(view: &View<'_>, count: usize) -> Result<Vec<Option<Group>>, Error> {
    if !crate::attributes::flag(view, "_infrequent_enabled", false)? {
        return Ok(vec![None; count]);
    }
    let mappings = view.attr("_default_to_infrequent_mappings")?.items()?;
    let rare = view.attr("_infrequent_indices")?.items()?;
    if mappings.len() != count || rare.len() != count {
        return Err(Error::state(view.path(), format!("groups of {} columns for {count}", mappings.len())));
    }
    let one = |(mapping, rare): (View<'_>, View<'_>)| -> Result<Option<Group>, Error> {
        let (Some(mapping), Some(rare)) = (mapping.some(), rare.some()) else { return Ok(None) };
        let mapping: Vec<usize> = mapping.array()?.u64s()?.into_iter().map(|group| group as usize).collect();
        let rare = rare.array()?.u64s()?;
        let infrequent = rare.first().and_then(|first| mapping.get(*first as usize)).copied();
        if mapping.iter().any(|group| *group >= mapping.len()) {
            return Err(Error::out_of_range(view.path(), "a group of categories"));
        }
        Ok(infrequent.map(|infrequent| Group { mapping, infrequent }))
    };
    mappings.into_iter().zip(rare).map(one).collect()
}

/// How many rows hold a value that is not a category.
pub(crate) fn unseen(codes: &[u32]) -> usize {
    codes.iter().filter(|code| **code == UNSEEN).count()
}

/// The codes of one column of a table; infinity is refused, as the library's own check does.
pub(crate) fn column_codes(
    x: &Matrix,
    index: usize,
    categories: &Categories,
    step: &str,
    label: &str,
    run: &mut Run,
) -> Vec<u32> {
    let column = match x {
        Matrix::Frame(frame) => frame.columns[index].clone(),
        other => {
            let numbers = other.numbers(index).unwrap_or_else(|| vec![f64::NAN; other.rows()]);
            Arc::new(Float64Array::from(numbers))
        }
    };
    if column.data_type().is_floating() {
        let mut numbers = vec![0.0f64; column.len()];
        read(&column, 0..column.len(), &mut numbers);
        for (row, number) in numbers.iter().enumerate() {
            if number.is_infinite() {
                run.refuse(row, step, Some(label), "infinity");
            }
        }
    }
    categories.codes(&column)
}
