//! Dates and times from text and from numbers.

use std::sync::Arc;

use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

use super::column::Type;

/// How a column's dates or times are written. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimeFormat {
    style: Style,
    zone: Tz,
}

#[derive(Debug, Clone, PartialEq)]
enum Style {
    /// ISO 8601 and its usual kin.
    Iso,
    /// A number of these a second, since 1970.
    Epoch(i64),
    /// As `strftime` writes; whether a zone is part of it.
    Pattern(Arc<[Item<'static>]>, bool),
}

/// Days from the year 1 to 1970.
const EPOCH_DAY: i32 = 719_163;

impl TimeFormat {
    /// Reads the setting of a column of this type.
    pub(super) fn new(data_type: Type, format: Option<&str>) -> Result<Self, String> {
        let style = match (format, data_type) {
            (None, _) => Style::Iso,
            (Some("epoch_s"), Type::Timestamp) => Style::Epoch(1),
            (Some("epoch_ms"), Type::Timestamp) => Style::Epoch(1000),
            (Some("epoch_us"), Type::Timestamp) => Style::Epoch(1_000_000),
            (Some("epoch_ns"), Type::Timestamp) => Style::Epoch(1_000_000_000),
            (Some(pattern), Type::Date | Type::Timestamp) => {
                let items = StrftimeItems::new(pattern).parse_to_owned().map_err(|_| {
                    "the format does not read: write it as strftime's, e.g. `%d.%m.%Y %H:%M:%S`".to_string()
                })?;
                let zoned = items.iter().any(is_zone);
                Style::Pattern(items.into(), zoned)
            }
            (Some(_), _) => return Err("`format` is for dates and times".to_string()),
        };
        Ok(TimeFormat { style, zone: Tz::UTC })
    }

    /// As ISO 8601 has it, in UTC.
    pub(super) fn iso() -> Self {
        TimeFormat { style: Style::Iso, zone: Tz::UTC }
    }

    pub(super) fn set_zone(&mut self, zone: Tz) {
        self.zone = zone;
    }

    /// Days since 1970.
    pub(super) fn date(&self, text: &str) -> Option<i32> {
        let date = match &self.style {
            Style::Iso => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?,
            Style::Epoch(_) => return None,
            Style::Pattern(items, _) => {
                let mut parsed = Parsed::new();
                parse(&mut parsed, text, items.iter()).ok()?;
                parsed.to_naive_date().ok()?
            }
        };
        date.num_days_from_ce().checked_sub(EPOCH_DAY)
    }

    /// Microseconds since 1970, UTC.
    pub(super) fn timestamp(&self, text: &str) -> Option<i64> {
        match &self.style {
            Style::Iso => Some(string_to_datetime(&self.zone, text).ok()?.timestamp_micros()),
            Style::Epoch(_) => self.epoch(text.parse().ok()?),
            Style::Pattern(items, zoned) => {
                let mut parsed = Parsed::new();
                parse(&mut parsed, text, items.iter()).ok()?;
                if *zoned {
                    let time: DateTime<Utc> = parsed.to_datetime().ok()?.to_utc();
                    return Some(time.timestamp_micros());
                }
                let date = parsed.to_naive_date().ok()?;
                // A format without a time of day means midnight.
                let time = parsed.to_naive_time().unwrap_or_default();
                Some(self.zone.from_local_datetime(&date.and_time(time)).earliest()?.timestamp_micros())
            }
        }
    }

    /// Microseconds since 1970 of a number; `None` where the column's times are not written as numbers, or out of
    /// range.
    pub(super) fn epoch(&self, number: i64) -> Option<i64> {
        match self.style {
            Style::Epoch(per_second) if per_second <= 1_000_000 => number.checked_mul(1_000_000 / per_second),
            Style::Epoch(per_second) => Some(number.div_euclid(per_second / 1_000_000)),
            _ => None,
        }
    }
}

fn is_zone(item: &Item<'_>) -> bool {
    use Fixed::{
        RFC2822, RFC3339, TimezoneName, TimezoneOffset, TimezoneOffsetColon, TimezoneOffsetColonZ,
        TimezoneOffsetDoubleColon, TimezoneOffsetTripleColon, TimezoneOffsetZ,
    };
    match item {
        Item::Numeric(Numeric::Timestamp, _) => true,
        Item::Fixed(fixed) => matches!(
            fixed,
            RFC2822
                | RFC3339
                | TimezoneName
                | TimezoneOffset
                | TimezoneOffsetColon
                | TimezoneOffsetColonZ
                | TimezoneOffsetDoubleColon
                | TimezoneOffsetTripleColon
                | TimezoneOffsetZ
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(format: Option<&str>, zone: Tz, text: &str) -> Option<i64> {
        let mut format = TimeFormat::new(Type::Timestamp, format).unwrap();
        format.set_zone(zone);
        format.timestamp(text)
    }

    #[test]
    fn times_are_read_in_their_zone() {
        let second = 1_568_197_230_000_000;
        let shanghai = chrono_tz::Asia::Shanghai;
        let cases = [
            (None, Tz::UTC, "2019-09-11T10:20:30Z", Some(second)),
            (None, Tz::UTC, "2019-09-11 10:20:30.000001", Some(second + 1)),
            (None, shanghai, "2019-09-11 18:20:30", Some(second)),
            (None, shanghai, "2019-09-11T12:20:30+02:00", Some(second)),
            (None, Tz::UTC, "soon", None),
            (Some("%d.%m.%Y %H:%M:%S"), shanghai, "11.09.2019 18:20:30", Some(second)),
            (Some("%d.%m.%Y %H:%M:%S %z"), shanghai, "11.09.2019 12:20:30 +0200", Some(second)),
            (Some("%d.%m.%Y %H:%M:%S"), Tz::UTC, "2019-09-11 10:20:30", None),
            (Some("%Y%m%d"), Tz::UTC, "20190911", Some(second - 37_230_000_000)),
            (Some("epoch_ms"), shanghai, "1568197230000", Some(second)),
            (Some("epoch_s"), Tz::UTC, "9223372036854775807", None),
            (Some("epoch_ns"), Tz::UTC, "-1", Some(-1)),
            (None, Tz::UTC, "1568197230000", None),
        ];
        for (format, zone, text, expected) in cases {
            assert_eq!(timestamp(format, zone, text), expected, "{format:?} {text}");
        }
    }

    #[test]
    fn dates() {
        let date = |format, text| TimeFormat::new(Type::Date, format).unwrap().date(text);
        assert_eq!(date(None, "1970-01-02"), Some(1));
        assert_eq!(date(None, "1969-12-31"), Some(-1));
        assert_eq!(date(Some("%d/%m/%Y"), "01/03/1970"), Some(59));
        assert_eq!(date(None, "1970-02-30"), None);
    }
}
