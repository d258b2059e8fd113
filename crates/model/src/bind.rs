//! Which of a table's columns feed which feature.

use arrow_schema::{DataType, Schema};

use crate::types::{is_list, is_number, is_text};
use crate::{Error, InputKind, Signature};

impl Signature {
    /// For each feature the index of the column that feeds it.
    ///
    /// Where the model knows names, columns are matched by name (case matters) and others are ignored; where it knows
    /// none, the columns are the features in order and their number must agree.
    ///
    /// # Errors
    /// A feature without a column, a wrong number of columns, or a column of a type that the feature does not take
    /// (text where a number is needed).
    pub fn bind(&self, schema: &Schema) -> Result<Vec<usize>, Error> {
        let fields = schema.fields();
        let indices: Vec<usize> = match self.names() {
            Some(names) => {
                let place = |name: &str| {
                    let found = self.column(name, fields.iter().map(|field| field.name().as_str()));
                    found.ok_or_else(|| Error::missing_column(name, fields.iter().map(|field| field.name())))
                };
                names.into_iter().map(place).collect::<Result<_, _>>()?
            }
            None if fields.len() != self.inputs.len() => {
                return Err(Error::ColumnCount { takes: self.inputs.len(), given: fields.len() });
            }
            None => (0..fields.len()).collect(),
        };
        for (feature, field) in indices.iter().filter_map(|index| fields.get(*index)).enumerate() {
            self.accepts(feature, field.data_type())?;
        }
        Ok(indices)
    }

    /// Checks that a feature takes columns of this type.
    ///
    /// # Errors
    /// Names the feature, the type and what it takes instead.
    pub fn accepts(&self, feature: usize, data_type: &DataType) -> Result<(), Error> {
        let Some(input) = self.inputs.get(feature) else {
            return Err(Error::ColumnCount { takes: self.inputs.len(), given: feature.saturating_add(1) });
        };
        let takes = match &input.kind {
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
        let column = input.name.clone().unwrap_or_else(|| format!("feature {feature}"));
        Err(Error::ColumnType { column, data_type: data_type.clone(), takes })
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;

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
        let fields = vec![field("dept", DataType::Utf8), field("x", DataType::Int64), field("AGE", DataType::Int64)];
        assert_eq!(signature([Some("AGE"), Some("dept")]).bind(&Schema::new(fields)).unwrap(), [2, 0]);
    }

    #[test]
    fn a_missing_column_is_named() {
        let fields = vec![field("age", DataType::Int64), field("dept", DataType::Utf8)];
        let error = signature([Some("AGE"), Some("dept")]).bind(&Schema::new(fields)).unwrap_err();
        assert_eq!(error.to_string(), "column `AGE`: the model needs it, and there is only `age` (case matters)");
    }

    #[test]
    fn text_where_a_number_is_needed_is_an_error() {
        let fields = vec![field("a", DataType::Utf8), field("b", DataType::Utf8)];
        let error = signature([None, None]).bind(&Schema::new(fields)).unwrap_err();
        assert_eq!(error.to_string(), "column `feature 0`: has the type Utf8, but the model takes a number");
    }

    #[test]
    fn without_names_the_number_must_agree() {
        let error = signature([None, None]).bind(&Schema::new(vec![field("a", DataType::Int64)])).unwrap_err();
        assert_eq!(error.to_string(), "the model takes 2 columns and knows no names for them, but 1 were given");
    }
}
