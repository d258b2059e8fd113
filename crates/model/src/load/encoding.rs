//! Encodings from files of encoders.

use super::contents::{Contents, Link};
use crate::attributes::feature_names;
use crate::encoding::Codes;
use crate::families::label_encoder;
use crate::families::ordinal_encoder::{self, Learned};
use crate::options::LoadOptions;
use crate::{Encoding, Error, Unknown};

impl Encoding {
    /// Reads a `LabelEncoder`, or one column of an `OrdinalEncoder`: by its name, or by its number where it has none.
    /// `unknown` overrules what the encoder itself says.
    ///
    /// # Errors
    /// The file is broken or holds something else, the column is not there or not named where there are several, or
    /// `unknown` is not a whole number where the codes are.
    pub fn load(
        bytes: &[u8],
        options: &LoadOptions,
        column: Option<&str>,
        unknown: Option<Unknown>,
    ) -> Result<Encoding, Error> {
        let contents = Contents::read(bytes, options)?;
        let chosen = contents.choose(&options.at, options)?;
        let [Link { view, .. }] = chosen.links.as_slice() else {
            let message = "an encoding is one encoder: give its place as `at`".to_string();
            return Err(Error::At { message });
        };
        let Some(class) = view.class() else { return Err(view.expected("an encoder").into()) };
        let is = |classes: &[(&str, &str)]| classes.iter().any(|(module, name)| view.is(module, name));
        if is(label_encoder::FAMILY.classes) {
            if let Some(column) = column {
                let message = format!("there is no column `{column}`: a LabelEncoder has one, without a name");
                return Err(Error::At { message });
            }
            return label_encoder::read(view, unknown.unwrap_or(Unknown::Refuse));
        }
        if !is(ordinal_encoder::FAMILY.classes) {
            return Err(Error::unsupported(view.path(), class.to_string(), "LabelEncoder, OrdinalEncoder"));
        }
        let learned = ordinal_encoder::learned(view)?;
        let names = feature_names(view)?.unwrap_or_else(|| (0..learned.len()).map(|n| n.to_string()).collect());
        let all = || names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let index = match column {
            None if learned.len() == 1 => Some(0),
            None => {
                let message = format!("the encoder has several columns; give one as `column`: {}", all());
                return Err(Error::At { message });
            }
            Some(column) => names.iter().position(|name| name == column),
        };
        let Some(Learned { categories, labels, values }) = index.and_then(|index| learned.into_iter().nth(index))
        else {
            let message = format!("there is no column `{}`: the encoder has {}", column.unwrap_or_default(), all());
            return Err(Error::At { message });
        };
        let own = ordinal_encoder::unknown(view)?.map_or(Unknown::Refuse, Unknown::Code);
        Encoding::new("OrdinalEncoder", categories, labels, Codes::Float(values), unknown.unwrap_or(own))
    }
}
