//! `MINUTES HOURS DAY-OF-MONTH MONTH DAY-OF-WEEK YEAR`; the first is 0, the last `*`, and one of the two kinds of days is `?`.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use longshore_wire::Timestamp;

use super::{HOUR_MILLIS, LEAST_HOURS};

/// How far ahead is looked: past the next leap year, even around a century that has none.
const DAYS_AHEAD: usize = 8 * 366;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Hours of days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    hours: Set,
    months: Set,
    days: Days,
}

/// Which days of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    OfMonth(Set),
    Last,
    OfWeek(Set),
    /// The last such day of the week, 1 for Sunday.
    LastOfWeek(u8),
    /// The day of the week, and which one of the month.
    Nth(u8, u8),
}

/// Small numbers, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set(u64);

impl Set {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.0 >> number & 1 == 1)
    }
}

/// What a field's numbers are, and what they are also called: names begin at the least number.
struct Field {
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const HOURS: Field = Field { least: 0, most: 23, names: &[] };
const DAYS_OF_MONTH: Field = Field { least: 1, most: 31, names: &[] };
const MONTHS_OF_YEAR: Field = Field { least: 1, most: 12, names: &MONTHS };
const DAYS_OF_WEEK: Field = Field { least: 1, most: 7, names: &WEEKDAYS };

impl Cron {
    /// `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let ["0", hours, of_month, months, of_week, "*"] = fields[..] else { return None };
        let hours = HOURS.set(hours).filter(|hours| are_apart(*hours))?;
        Some(Self { hours, months: MONTHS_OF_YEAR.set(months)?, days: Days::parse(of_month, of_week)? })
    }

    /// The first hour of one of its days after `now`, if there is one within eight years.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let first = jiff::Timestamp::from_millisecond(now.millis()).ok()?.to_zoned(TimeZone::UTC).date();
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok()).take(DAYS_AHEAD);
        days.filter(|day| self.months.has(day.month()) && self.days.have(*day)).find_map(|day| self.hour(day, now))
    }

    /// The first of its hours on a day that is after `now`.
    fn hour(&self, day: Date, now: Timestamp) -> Option<Timestamp> {
        let midnight = day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
        let hours = (0..24).filter(|hour| self.hours.has(*hour));
        let mut times = hours.map(|hour| Timestamp::from_millis(midnight + i64::from(hour) * HOUR_MILLIS));
        times.find(|time| *time > now)
    }
}

/// Whether hours are far enough from each other, around midnight too.
fn are_apart(hours: Set) -> bool {
    let within: Vec<i64> = (0..24).filter(|hour| hours.has(*hour)).map(i64::from).collect();
    let around = within.first().map(|first| first + 24);
    let next = within.iter().skip(1).copied().chain(around);
    !within.is_empty() && within.iter().zip(next).all(|(hour, next)| next - hour >= LEAST_HOURS)
}

impl Days {
    fn parse(of_month: &str, of_week: &str) -> Option<Self> {
        match (of_month, of_week) {
            ("?", "?") => None,
            ("L", "?") => Some(Self::Last),
            (_, "?") => DAYS_OF_MONTH.set(of_month).map(Self::OfMonth),
            ("?", _) => Self::of_week(of_week),
            _ => None,
        }
    }

    fn of_week(text: &str) -> Option<Self> {
        if let Some((day, which)) = text.split_once('#') {
            let which = which.parse().ok().filter(|which| (1..=5).contains(which))?;
            return Some(Self::Nth(DAYS_OF_WEEK.number(day)?, which));
        }
        match text.strip_suffix('L') {
            Some(day) => DAYS_OF_WEEK.number(day).map(Self::LastOfWeek),
            None => DAYS_OF_WEEK.set(text).map(Self::OfWeek),
        }
    }

    fn have(&self, day: Date) -> bool {
        let weekday = day.weekday().to_sunday_one_offset();
        match self {
            Self::OfMonth(set) => set.has(day.day()),
            Self::Last => day.day() == day.days_in_month(),
            Self::OfWeek(set) => set.has(weekday),
            Self::LastOfWeek(wanted) => is(*wanted, day.weekday()) && day.day() + 7 > day.days_in_month(),
            Self::Nth(wanted, which) => is(*wanted, day.weekday()) && (day.day() - 1) / 7 + 1 == *which as i8,
        }
    }
}

fn is(number: u8, weekday: Weekday) -> bool {
    i16::from(weekday.to_sunday_one_offset()) == i16::from(number)
}

impl Field {
    /// A list of numbers, ranges and steps.
    fn set(&self, text: &str) -> Option<Set> {
        text.split(',').try_fold(Set(0), |set, part| Some(Set(set.0 | self.part(part)?.0)))
    }

    /// `*`, `A`, `A-B`, and each of them (or nothing, for all) with `/STEP`.
    fn part(&self, text: &str) -> Option<Set> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u8>().ok().filter(|step| *step > 0)?)),
            None => (text, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None if range == "*" || (range.is_empty() && step.is_some()) => (self.least, self.most),
            None if step.is_some() => (self.number(range)?, self.most),
            None => (self.number(range)?, self.number(range)?),
        };
        let numbers = (first..=last).step_by(usize::from(step.unwrap_or(1)));
        (first <= last).then(|| Set(numbers.fold(0, |bits, number| bits | 1 << number)))
    }

    fn number(&self, text: &str) -> Option<u8> {
        if let Some(index) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Some(self.least + index as u8);
        }
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| plain && (self.least..=self.most).contains(number))
    }
}
