//! `DatetimeFeatures`: the parts of dates and times that stand in texts as ISO 8601 writes them.
//!
//! pandas reads texts of many other shapes, and guesses which part is the day. Here such a row is refused.

use foretell_pickle::View;

use super::{raises, variables};
use crate::attributes::{flag, some_attr};
use crate::families::shared::acts::{Builder, Refuse, texts};
use crate::loader::Loader;
use crate::{Error, InputKind};

pub(super) fn load(loader: &mut Loader<'_>, view: &View<'_>, build: &mut Builder) -> Result<(), Error> {
    if some_attr(view, "variables")?.is_some_and(|names| names.as_str() == Ok("index")) {
        return Err(Error::unsupported(view.path(), "dates of the index", "dates of columns"));
    }
    for name in ["dayfirst", "yearfirst"] {
        if flag(view, name, false)? {
            return Err(Error::unsupported(view.path(), format!("{name}=True"), format!("{name}=False")));
        }
    }
    if let Some(format) = some_attr(view, "format")?
        && !["mixed", "ISO8601"].contains(&format.as_str()?)
    {
        return Err(Error::unsupported(view.path(), "a format of its own", "format=None, mixed, ISO8601"));
    }
    let columns = variables(view, build)?;
    let parts = match some_attr(view, "features_to_extract_")? {
        Some(parts) => parts,
        None => view.attr("features_to_extract")?,
    };
    let mut wanted = Vec::new();
    for word in texts(&parts)? {
        let part = run::Part::named(&word)
            .ok_or_else(|| Error::unsupported(parts.path(), format!("the part {word}"), "those of feature_engine"))?;
        wanted.push((word, part));
    }
    columns.iter().for_each(|at| build.demand(loader, *at, InputKind::Text));
    if raises(view, "raise")? {
        build.act(Refuse { columns: columns.clone(), infinity: false });
    }
    for at in &columns {
        let name = build.name(*at).to_string();
        wanted.iter().for_each(|(word, _)| build.assign(format!("{name}_{word}")));
        build.act(run::Parts { at: *at, parts: wanted.iter().map(|(_, part)| *part).collect() });
    }
    if flag(view, "drop_original", true)? {
        columns.into_iter().for_each(|at| build.drop(at));
    }
    Ok(())
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "dates are checked where they are read")]
pub(in crate::families) mod run {
    use crate::categories::texts;
    use crate::families::shared::acts::{Act, Columns};
    use crate::step::Run;

    const NO_DATE: &str = "not a date as 2024-12-31, with or without a time as 18:30:05, nor such a time";

    /// A date and a time; without a date the time alone.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Moment {
        date: Option<(i64, i64, i64)>,
        time: (i64, i64, i64),
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::families) enum Part {
        Month,
        Quarter,
        Semester,
        Year,
        Week,
        DayOfWeek,
        DayOfMonth,
        DayOfYear,
        Weekend,
        MonthStart,
        MonthEnd,
        QuarterStart,
        QuarterEnd,
        YearStart,
        YearEnd,
        LeapYear,
        DaysInMonth,
        Hour,
        Minute,
        Second,
    }

    fn is_leap(year: i64) -> bool {
        (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
    }

    fn days_in(year: i64, month: i64) -> i64 {
        match month {
            2 if is_leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    fn day_of_year(year: i64, month: i64, day: i64) -> i64 {
        (1..month).map(|before| days_in(year, before)).sum::<i64>() + day
    }

    /// Monday is 0.
    fn weekday(year: i64, month: i64, day: i64) -> i64 {
        let before = year - 1;
        let days = before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
        (days + day_of_year(year, month, day) - 1).rem_euclid(7)
    }

    /// The number of a week as ISO 8601 counts them: the first is the one with the year's first Thursday.
    fn week(year: i64, month: i64, day: i64) -> i64 {
        let weeks_of = |year: i64| {
            let first = weekday(year, 1, 1);
            if first == 3 || (first == 2 && is_leap(year)) { 53 } else { 52 }
        };
        match (day_of_year(year, month, day) - weekday(year, month, day) + 9) / 7 {
            0 => weeks_of(year - 1),
            week if week > weeks_of(year) => 1,
            week => week,
        }
    }

    /// Whole digits between marks.
    fn numbers<const N: usize>(
        text: &str,
        mark: char,
        widths: [std::ops::RangeInclusive<usize>; N],
    ) -> Option<[i64; N]> {
        let mut out = [0; N];
        let mut parts = text.split(mark);
        for (place, width) in out.iter_mut().zip(widths) {
            let part = parts.next()?;
            if !width.contains(&part.len()) || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *place = part.parse().ok()?;
        }
        parts.next().is_none().then_some(out)
    }

    fn time(text: &str) -> Option<(i64, i64, i64)> {
        // What is smaller than a second is no part that is asked for.
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let read = numbers(whole, ':', [2..=2, 2..=2, 2..=2]);
        let short = || numbers(text, ':', [2..=2, 2..=2]).map(|[hour, minute]| [hour, minute, 0]);
        let [hour, minute, second] = read.or_else(short)?;
        (hour < 24 && minute < 60 && second < 60).then_some((hour, minute, second))
    }

    fn date(text: &str) -> Option<(i64, i64, i64)> {
        let [year, month, day] = numbers(text, '-', [4..=4, 2..=2, 2..=2])?;
        // The years that pandas counts in nanoseconds.
        let fits = (1678..=2261).contains(&year) && (1..=12).contains(&month);
        (fits && (1..=days_in(year, month)).contains(&day)).then_some((year, month, day))
    }

    impl Moment {
        /// `2024-02-29`, `2024-02-29 18:30`, `2024-02-29T18:30:05.25`, `18:30`.
        pub(super) fn read(text: &str) -> Option<Moment> {
            if let Some(date) = date(text) {
                return Some(Moment { date: Some(date), time: (0, 0, 0) });
            }
            match text.split_once(['T', ' ']) {
                Some((first, second)) => Some(Moment { date: Some(date(first)?), time: time(second)? }),
                None => Some(Moment { date: None, time: time(text)? }),
            }
        }
    }

    impl Part {
        pub(in crate::families) fn named(word: &str) -> Option<Part> {
            Some(match word {
                "month" => Part::Month,
                "quarter" => Part::Quarter,
                "semester" => Part::Semester,
                "year" => Part::Year,
                "week" => Part::Week,
                "day_of_week" => Part::DayOfWeek,
                "day_of_month" => Part::DayOfMonth,
                "day_of_year" => Part::DayOfYear,
                "weekend" => Part::Weekend,
                "month_start" => Part::MonthStart,
                "month_end" => Part::MonthEnd,
                "quarter_start" => Part::QuarterStart,
                "quarter_end" => Part::QuarterEnd,
                "year_start" => Part::YearStart,
                "year_end" => Part::YearEnd,
                "leap_year" => Part::LeapYear,
                "days_in_month" => Part::DaysInMonth,
                "hour" => Part::Hour,
                "minute" => Part::Minute,
                "second" => Part::Second,
                _ => return None,
            })
        }

        /// By the name of the attribute that pandas has for it.
        pub(in crate::families) fn of_pandas(word: &str) -> Option<Part> {
            match word {
                "day" => Some(Part::DayOfMonth),
                "dayofweek" | "day_of_week" | "weekday" => Some(Part::DayOfWeek),
                "dayofyear" | "day_of_year" => Some(Part::DayOfYear),
                "days_in_month" | "daysinmonth" => Some(Part::DaysInMonth),
                "hour" | "minute" | "month" | "quarter" | "second" | "year" => Part::named(word),
                "is_leap_year" => Some(Part::LeapYear),
                "is_month_end" => Some(Part::MonthEnd),
                "is_month_start" => Some(Part::MonthStart),
                "is_quarter_end" => Some(Part::QuarterEnd),
                "is_quarter_start" => Some(Part::QuarterStart),
                "is_year_end" => Some(Part::YearEnd),
                "is_year_start" => Some(Part::YearStart),
                _ => None,
            }
        }

        /// `None` where the moment has no date to take it from.
        pub(super) fn of(self, moment: Moment) -> Option<i64> {
            let (hour, minute, second) = moment.time;
            match self {
                Part::Hour => return Some(hour),
                Part::Minute => return Some(minute),
                Part::Second => return Some(second),
                _ => {}
            }
            let (year, month, day) = moment.date?;
            let is_first = day == 1;
            let is_last = day == days_in(year, month);
            Some(match self {
                Part::Month => month,
                Part::Quarter => (month + 2) / 3,
                Part::Semester => 1 + i64::from(month > 6),
                Part::Year => year,
                Part::Week => week(year, month, day),
                Part::DayOfWeek => weekday(year, month, day),
                Part::DayOfMonth => day,
                Part::DayOfYear => day_of_year(year, month, day),
                Part::Weekend => i64::from(weekday(year, month, day) > 4),
                Part::MonthStart => i64::from(is_first),
                Part::MonthEnd => i64::from(is_last),
                Part::QuarterStart => i64::from(is_first && month % 3 == 1),
                Part::QuarterEnd => i64::from(is_last && month % 3 == 0),
                Part::YearStart => i64::from(is_first && month == 1),
                Part::YearEnd => i64::from(is_last && month == 12),
                Part::LeapYear => i64::from(is_leap(year)),
                _ => days_in(year, month),
            })
        }

        /// What the library gives of a missing date.
        fn of_missing(self) -> Option<f64> {
            match self {
                Part::Semester => Some(2.0),
                Part::Weekend => Some(1.0),
                Part::MonthStart | Part::MonthEnd | Part::QuarterStart | Part::QuarterEnd => Some(0.0),
                Part::YearStart | Part::YearEnd | Part::LeapYear => Some(0.0),
                Part::Week | Part::DaysInMonth => None,
                _ => Some(f64::NAN),
            }
        }
    }

    #[derive(Debug)]
    pub(in crate::families) struct Parts {
        pub(in crate::families) at: usize,
        pub(in crate::families) parts: Vec<Part>,
    }

    impl Act for Parts {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let mut moments = vec![Ok(None); table.rows];
            texts(&table.all[self.at], |row, text| {
                moments[row] = text.map(|text| Moment::read(text).ok_or(NO_DATE)).transpose();
            });
            for part in &self.parts {
                let mut column = Vec::with_capacity(table.rows);
                for (row, moment) in moments.iter().enumerate() {
                    let found = moment.and_then(|moment| match moment {
                        None => part.of_missing().ok_or("missing value"),
                        Some(moment) => part.of(moment).map(|part| part as f64).ok_or("a time without a date"),
                    });
                    column.push(found.unwrap_or_else(|reason| {
                        table.refuse(row, self.at, reason, run);
                        0.0
                    }));
                }
                let behind = table.all.len();
                table.put(behind, column);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_what_can_be_read_in_one_way_is_a_date() {
            let moment = Moment::read("2024-02-29T18:30:05.25").unwrap();
            assert_eq!(
                (Part::Hour.of(moment), Part::Second.of(moment), Part::Year.of(moment)),
                (Some(18), Some(5), Some(2024))
            );
            assert_eq!(Part::Month.of(Moment::read("18:30").unwrap()), None);
            for text in [
                "03/04/2024",
                "2024-2-3",
                "2023-02-29",
                "2024-13-01",
                "24:00",
                "2024-01-01 7:05",
                "20240101",
                "",
                "1.5",
            ] {
                assert_eq!(Moment::read(text), None, "{text}");
            }
        }

        #[test]
        fn weeks_are_those_of_iso_8601() {
            let of = |text: &str| Part::Week.of(Moment::read(text).unwrap()).unwrap();
            let weeks = ["2021-01-03", "2021-01-04", "2020-12-31", "2019-12-30", "2016-01-01", "2026-12-28"].map(of);
            assert_eq!(weeks, [53, 1, 53, 1, 53, 53]);
        }
    }
}
