//! Which of a table's columns feed which feature.

use arrow_schema::{DataType, Field};

use crate::types::{is_list, is_number, is_text};
use crate::{Error, InputKind, Signature};

impl Signature {
    /// For each feature the index of the field that feeds it.
    ///
    /// Where the model knows names, fields are matched by name (case matters) and others are ignored; where it knows
    /// none, the fields are the features in order and their number must agree.
    ///
    /// # Errors
    /// A feature without a field, a wrong number of fields, or a field of a type that the feature does not take
    /// (text where a number is needed).
    pub fn bind(&self, fields: &[Field]) -> Result<Vec<usize>, Error> {
        let Some(names) = self.names() else {
            self.bind_in_order(fields)?;
            return Ok((0..fields.len()).collect());
        };
        let mut indices = Vec::with_capacity(names.len());
        for (feature, name) in names.into_iter().enumerate() {
            let Some(index) = fields.iter().position(|field| field.name() == name) else {
                return Err(Error::Column { column: name.to_string(), message: missing(name, fields) });
            };
            self.accepts(feature, fields[index].data_type())?;
            indices.push(index);
        }
        Ok(indices)
    }

    /// Checks that the fields are the features in this order, whatever they are called.
    ///
    /// # Errors
    /// A wrong number of fields, or a field of a type that its feature does not take.
    pub fn bind_in_order(&self, fields: &[Field]) -> Result<(), Error> {
        if fields.len() != self.inputs.len() {
            return Err(Error::ColumnCount { takes: self.inputs.len(), given: fields.len() });
        }
        fields.iter().enumerate().try_for_each(|(feature, field)| self.accepts(feature, field.data_type()))
    }

    /// Checks that a feature takes columns of this type.
    ///
    /// # Errors
    /// Names the feature, the type and what it takes instead.
    pub fn accepts(&self, feature: usize, data_type: &DataType) -> Result<(), Error> {
        let Some(input) = self.inputs.get(feature) else {
            return Err(Error::ColumnCount { takes: self.inputs.len(), given: feature + 1 });
        };
        let wanted = match &input.kind {
            InputKind::Number if is_number(data_type) => return Ok(()),
            InputKind::Bool if is_number(data_type) => return Ok(()),
            InputKind::Text if is_text(data_type) => return Ok(()),
            InputKind::List if is_list(data_type) => return Ok(()),
            InputKind::Category(_) | InputKind::Any if is_text(data_type) || is_number(data_type) => return Ok(()),
            InputKind::Number => "a number",
            InputKind::Bool => "true or false",
            InputKind::Text => "text",
            InputKind::List => "a list",
            InputKind::Category(_) | InputKind::Any => "a number or text",
        };
        Err(Error::Column {
            column: input.name.clone().unwrap_or_else(|| format!("feature {feature}")),
            message: format!("has the type {data_type}, but the model takes {wanted}; cast it in the query"),
        })
    }
}

fn missing(name: &str, fields: &[Field]) -> String {
    if let Some(near) = fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
        return format!("the model needs it, and there is only `{}` (case matters)", near.name());
    }
    let all: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
    format!("the model needs it, but it is not there; there are: {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;

    fn signature(names: [Option<&str>; 2]) -> Signature {
        let kinds = [InputKind::Number, InputKind::Text];
        let inputs = names.iter().zip(kinds).map(|(name, kind)| Input { name: name.map(String::from), kind });
        Signature::transformer(inputs.collect(), vec![])
    }

    fn field(name: &str, data_type: DataType) -> Field {
        Field::new(name, data_type, true)
    }

    #[test]
    fn names_are_matched_and_other_columns_ignored() {
        let fields = [field("dept", DataType::Utf8), field("x", DataType::Int64), field("AGE", DataType::Int64)];
        assert_eq!(signature([Some("AGE"), Some("dept")]).bind(&fields).unwrap(), [2, 0]);
    }

    #[test]
    fn a_missing_column_is_named() {
        let fields = [field("age", DataType::Int64), field("dept", DataType::Utf8)];
        let error = signature([Some("AGE"), Some("dept")]).bind(&fields).unwrap_err();
        assert_eq!(error.to_string(), "column `AGE`: the model needs it, and there is only `age` (case matters)");
    }

    #[test]
    fn text_where_a_number_is_needed_is_an_error() {
        let fields = [field("a", DataType::Utf8), field("b", DataType::Utf8)];
        let error = signature([None, None]).bind(&fields).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column `feature 0`: has the type Utf8, but the model takes a number; cast it in the query"
        );
    }

    #[test]
    fn without_names_the_number_must_agree() {
        let error = signature([None, None]).bind(&[field("a", DataType::Int64)]).unwrap_err();
        assert_eq!(error.to_string(), "the model takes 2 columns and knows no names for them, but 1 were given");
    }
}
