//! Dates and times from text and from numbers.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::timezone;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems, parse};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::decimal;
use super::types::{MOST_DIGITS, Type};
use super::wrong::Wrong;

/// How a column's dates or times are written. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimeFormat {
    style: Style,
    zone: Tz,
}

#[derive(Debug, Clone, PartialEq)]
enum Style {
    /// ISO 8601 and its usual variants.
    Iso,
    /// A number of these a second, since 1970.
    Epoch(i64),
    /// As `strftime` writes.
    Pattern { items: Arc<[Item<'static>]>, zoned: bool, timed: bool },
}

/// Days from the year 1 to 1970.
const EPOCH_DAY: i32 = 719_163;

impl TimeFormat {
    /// Reads the setting of a column of this type.
    pub(super) fn new(data_type: &Type, format: Option<&str>) -> Result<Self, String> {
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
                let style = Style::Pattern {
                    zoned: items.iter().any(is_zone),
                    timed: items.iter().any(is_time),
                    items: items.into(),
                };
                let format = TimeFormat { style, zone: Tz::UTC };
                format.check(pattern, data_type)?;
                return Ok(format);
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

    /// Whether what the pattern writes can be read again: `%I:%M` does not tell morning from evening.
    fn check(&self, pattern: &str, data_type: &Type) -> Result<(), String> {
        let Style::Pattern { items, zoned: false, .. } = &self.style else { return Ok(()) };
        let Some(day) = NaiveDate::from_ymd_opt(2001, 2, 3).and_then(|day| day.and_hms_opt(16, 5, 6)) else {
            return Ok(());
        };
        let mut written = String::new();
        if write!(written, "{}", day.format_with_items(items.iter())).is_err() {
            return Ok(());
        }
        let (read, what) = match data_type {
            Type::Date => (self.date(&written).is_ok(), "day"),
            _ => (self.timestamp(&written).is_ok(), "time"),
        };
        if read { Ok(()) } else { Err(format!("`{pattern}` does not tell which {what} it is: a part is missing")) }
    }

    /// Days since 1970.
    pub(super) fn date(&self, text: &str) -> Result<i32, Wrong> {
        let date = match &self.style {
            Style::Iso => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok(),
            Style::Epoch(_) => None,
            Style::Pattern { items, .. } => {
                let mut parsed = Parsed::new();
                parse(&mut parsed, text, items.iter()).and_then(|()| parsed.to_naive_date()).ok()
            }
        };
        let days = date.and_then(|date| date.num_days_from_ce().checked_sub(EPOCH_DAY));
        days.ok_or(Wrong::Kind(None))
    }

    /// Microseconds since 1970, UTC; what is finer is cut off.
    pub(super) fn timestamp(&self, text: &str) -> Result<i64, Wrong> {
        const UNLIKE: Wrong = Wrong::Kind(None);
        match &self.style {
            Style::Iso => {
                let (time, zone) = iso(text).ok_or(UNLIKE)?;
                match zone {
                    "" => micros(&self.zone, time),
                    "Z" | "z" => micros(&Utc, time),
                    other => micros(&other.parse::<timezone::Tz>().map_err(|_| UNLIKE)?, time),
                }
            }
            Style::Epoch(per_second) => match text.parse() {
                Ok(number) => self.epoch(number),
                Err(_) if text.contains(['.', 'e', 'E']) => fraction(text, *per_second),
                Err(error) => Err(match error.kind() {
                    std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => Wrong::Range,
                    _ => UNLIKE,
                }),
            },
            Style::Pattern { items, zoned, timed } => {
                let mut parsed = Parsed::new();
                parse(&mut parsed, text, items.iter()).map_err(|_| UNLIKE)?;
                if *zoned {
                    let time = parsed.to_datetime().map_err(|_| UNLIKE)?;
                    return micros(&Utc, time.naive_utc());
                }
                let date = parsed.to_naive_date().map_err(|_| UNLIKE)?;
                if parsed.hour_mod_12().is_some() && parsed.minute().is_none() {
                    parsed.set_minute(0).map_err(|_| UNLIKE)?;
                }
                // A format without a time of day means midnight.
                let time = if *timed { parsed.to_naive_time().map_err(|_| UNLIKE)? } else { NaiveTime::MIN };
                micros(&self.zone, date.and_time(time))
            }
        }
    }

    /// Microseconds since 1970 of a number; what is finer is cut off.
    pub(super) fn epoch(&self, number: i64) -> Result<i64, Wrong> {
        match self.style {
            Style::Epoch(per_second) => epoch(per_second, number),
            _ => Err(Wrong::Kind(None)),
        }
    }

    /// Whether days are written as ISO 8601 has them.
    pub(super) fn is_iso(&self) -> bool {
        self.style == Style::Iso
    }

    /// Whether times are written as numbers.
    pub(super) fn is_epoch(&self) -> bool {
        matches!(self.style, Style::Epoch(_))
    }
}

/// Microseconds since 1970 of a number of which so many are a second; what is finer is cut off.
pub(super) fn epoch(per_second: i64, number: i64) -> Result<i64, Wrong> {
    let micros = if per_second <= 1_000_000 {
        1_000_000_i64.checked_div(per_second).and_then(|micros| number.checked_mul(micros))
    } else {
        Some(number.div_euclid(per_second / 1_000_000))
    };
    micros.filter(|micros| is_time_of_calendar(*micros)).ok_or(Wrong::Range)
}

/// Of a number of days since 1970 that is a day of the years 1 to 9999: beyond them it is rather a date's digits.
pub(super) fn days(number: i64) -> Result<i32, Wrong> {
    const YEARS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;
    i32::try_from(number).ok().filter(|days| YEARS.contains(days)).ok_or(Wrong::Range)
}

/// Digits behind the point that a number of seconds and the like may have.
const FRACTION: u8 = 18;

/// Microseconds since 1970 of a number with a fraction; what is finer is cut off.
fn fraction(text: &str, per_second: i64) -> Result<i64, Wrong> {
    let scaled = decimal::parse(text, MOST_DIGITS, FRACTION)?;
    let micros = match 1_000_000_i128.checked_div(i128::from(per_second)) {
        Some(micros @ 1..) => scaled.checked_mul(micros).ok_or(Wrong::Range)?,
        _ => scaled.div_euclid(i128::from(per_second).div_euclid(1_000_000).max(1)),
    };
    let micros = i64::try_from(micros.div_euclid(10_i128.pow(FRACTION.into()))).map_err(|_| Wrong::Range)?;
    if is_time_of_calendar(micros) { Ok(micros) } else { Err(Wrong::Range) }
}

/// Whether a day of the calendar has this time, so that it can be written.
pub(super) fn is_time_of_calendar(micros: i64) -> bool {
    DateTime::from_timestamp_micros(micros).is_some()
}

/// The moment of a local time. Where clocks go back and show it twice, it is the first of the two; where they go forward
/// and skip it, there is none.
fn micros<Z: TimeZone>(zone: &Z, local: NaiveDateTime) -> Result<i64, Wrong> {
    // A leap second has no number of its own.
    if local.nanosecond() >= 1_000_000_000 {
        return Err(Wrong::Range);
    }
    let time = zone.from_local_datetime(&local).earliest().ok_or(Wrong::Skipped)?;
    Ok(time.timestamp_micros())
}

/// A time as ISO 8601 and its variants write it, and the zone behind it.
fn iso(text: &str) -> Option<(NaiveDateTime, &str)> {
    /// Behind `2019-09-11T`.
    const TIME: usize = 11;
    let time = text.bytes().skip(TIME).take_while(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.')).count();
    let split = text.len().min(TIME.saturating_add(time));
    let (time, zone) = (text.get(..split)?, text.get(split..)?);
    Some((string_to_datetime(&Utc, time).ok()?.naive_utc(), zone.trim_start()))
}

fn is_time(item: &Item<'_>) -> bool {
    use Numeric::{Hour, Hour12, Minute, Nanosecond, Second};
    match item {
        Item::Numeric(Hour | Hour12 | Minute | Second | Nanosecond, _) => true,
        Item::Fixed(fixed) => !matches!(
            fixed,
            Fixed::ShortMonthName | Fixed::LongMonthName | Fixed::ShortWeekdayName | Fixed::LongWeekdayName
        ),
        _ => false,
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

    fn timestamp(format: Option<&str>, zone: Tz, text: &str) -> Result<i64, Wrong> {
        let mut format = TimeFormat::new(&Type::Timestamp, format).unwrap();
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
            assert_eq!(timestamp(format, zone, text).ok(), expected, "{format:?} {text}");
        }
    }

    #[test]
    fn one_rule_for_the_hours_that_come_twice_or_never() {
        let berlin = chrono_tz::Europe::Berlin;
        let formats = [
            (None, "2024-10-27 02:30:00", "2024-03-31 02:30:00"),
            (None, "2024-10-27T02:30:00 Europe/Berlin", "2024-03-31T02:30:00 Europe/Berlin"),
            (Some("%d.%m.%Y %H:%M"), "27.10.2024 02:30", "31.03.2024 02:30"),
        ];
        for (format, twice, never) in formats {
            // Summer time still: 00:30 UTC.
            assert_eq!(timestamp(format, berlin, twice), Ok(1_729_989_000_000_000), "{twice}");
            assert_eq!(timestamp(format, berlin, never), Err(Wrong::Skipped), "{never}");
        }
        // A zone of its own says which.
        assert_eq!(timestamp(None, berlin, "2024-10-27T02:30:00+01:00"), Ok(1_729_992_600_000_000));
    }

    #[test]
    fn no_time_is_read_by_luck() {
        let cases = [
            (None, "9999-12-31T23:59:59.999999Z", Ok(253_402_300_799_999_999)),
            (None, "0001-01-01", Ok(-62_135_596_800_000_000)),
            (None, "2019-09-11T10:20:30.123456789012Z", Ok(1_568_197_230_123_456)),
            (None, "1969-12-31T23:59:59.999999999Z", Ok(-1)),
            (None, "2016-12-31T23:59:60Z", Err(Wrong::Range)),
            (None, "2019-09-11Z", Err(Wrong::Kind(None))),
            (None, "2019-09-11T10:20:30 somewhere", Err(Wrong::Kind(None))),
            (None, "2019-09-11T10:20", Err(Wrong::Kind(None))),
            (Some("%Y-%m-%d %H"), "2019-09-11 10", Ok(1_568_196_000_000_000)),
            (Some("epoch_s"), "9223372036854", Err(Wrong::Range)),
            (Some("epoch_us"), "9223372036854775807", Err(Wrong::Range)),
            (Some("epoch_us"), "9223372036854775808", Err(Wrong::Range)),
            (Some("epoch_ms"), "1.5", Ok(1500)),
            (Some("epoch_s"), "1568197230.25", Ok(1_568_197_230_250_000)),
            (Some("epoch_s"), "-0.0000015", Ok(-2)),
            (Some("epoch_s"), "1.5e9", Ok(1_500_000_000_000_000)),
            (Some("epoch_ns"), "1500.5", Ok(1)),
            (Some("epoch_s"), "1.5.2", Err(Wrong::Kind(None))),
        ];
        for (format, text, expected) in cases {
            assert_eq!(timestamp(format, Tz::UTC, text), expected, "{format:?} {text}");
        }
        for (data_type, format) in
            [(Type::Timestamp, "%Y-%m-%d %I:%M"), (Type::Timestamp, "%d.%m. %H:%M"), (Type::Date, "%m-%d")]
        {
            let error = TimeFormat::new(&data_type, Some(format)).unwrap_err();
            assert!(error.contains("does not tell which"), "{error}");
        }
        assert!(TimeFormat::new(&Type::Timestamp, Some("%Y-%m-%d %I:%M %p")).is_ok());
    }

    #[test]
    fn dates() {
        let date = |format, text| TimeFormat::new(&Type::Date, format).unwrap().date(text).ok();
        assert_eq!(date(None, "1970-01-02"), Some(1));
        assert_eq!(date(None, "1969-12-31"), Some(-1));
        assert_eq!(date(Some("%d/%m/%Y"), "01/03/1970"), Some(59));
        assert_eq!(date(None, "1970-02-30"), None);
    }
}
