//! What the settings of several decoders have in common.

use foretell_connect::human::HumanSize;
use foretell_connect::kind::SettingsError;

use super::column::Columns;
use super::fields::trim_line_end;

/// The default of `max_bytes`.
pub(super) fn max_bytes() -> HumanSize {
    HumanSize(1 << 20)
}

/// Reads times without a zone in the zone of this name.
pub(super) fn set_timezone(columns: &mut Columns, zone: Option<&str>) -> Result<(), SettingsError> {
    let Some(zone) = zone else { return Ok(()) };
    let zone = zone.parse().map_err(|_| SettingsError {
        path: vec!["timezone".to_string()],
        message: "not a known time zone: write its IANA name, e.g. `Asia/Shanghai`".to_string(),
    })?;
    columns.set_timezone(zone);
    Ok(())
}

/// Refuses `missing` outside of CSV: in other formats a value says itself that it is missing, and a text is a text.
pub(super) fn refuse_missing(columns: &Columns) -> Result<(), SettingsError> {
    let Some(at) = columns.iter().position(|column| column.missing.is_some()) else { return Ok(()) };
    let path = vec!["columns".to_string(), at.to_string()];
    Err(SettingsError { path, message: "`missing` is for CSV".to_string() })
}

/// Why a value is refused before it is decoded; `None` where it is not.
#[inline]
pub(super) fn unusable(null: bool, value: &[u8], max_bytes: usize) -> Option<String> {
    if null {
        return Some("the record has no value".to_string());
    }
    if value.len() > max_bytes {
        return Some(format!("{} bytes, which is more than `max_bytes` ({max_bytes})", value.len()));
    }
    trim_line_end(value).is_empty().then(|| "empty value".to_string())
}
