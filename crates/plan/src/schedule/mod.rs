//! Schedules in Secrets Manager's language: `rate(10 days)` and `cron(0 8 1 * ? *)`, all in UTC.
//!
//! A rate counts from when it is asked; a cron expression names hours of days. Both are at least four hours apart, as AWS has
//! it. Left out: `W` (the weekday nearest to a day) and years other than `*`.

mod cron;

use longshore_wire::Timestamp;

use crate::after;
use cron::Cron;

pub const HOUR_MILLIS: i64 = 60 * 60 * 1000;
pub const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

/// Hours from one window to the next, at least.
const LEAST_HOURS: i64 = 4;

/// Days from one window to the next, at most.
const MOST_DAYS: i64 = 999;

/// When something is to happen again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// So many milliseconds after the last time.
    Every(i64),
    At(Cron),
}

impl Schedule {
    /// `None` for what is no schedule, or one that comes too often.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
        if let Some(rate) = inner("rate(") {
            return every(rate).map(Self::Every);
        }
        Cron::parse(inner("cron(")?).map(Self::At)
    }

    /// The next time after `now`, where the last was just then. `None` if there is none, as for the thirtieth of February.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(millis) => Some(after(now, *millis)),
            Self::At(cron) => cron.next(now),
        }
    }
}

/// Milliseconds of `VALUE UNIT`.
fn every(rate: &str) -> Option<i64> {
    let (value, unit) = rate.split_once(' ')?;
    let value = value.parse::<i64>().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()))?;
    let hours = match unit.trim() {
        "hour" | "hours" => value,
        "day" | "days" => value.checked_mul(24)?,
        _ => return None,
    };
    (LEAST_HOURS..=MOST_DAYS * 24).contains(&hours).then_some(hours * HOUR_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().expect(text).as_millisecond())
    }

    /// The next three times after the evening of a Thursday.
    fn check(text: &str, expected: [&str; 3]) {
        let schedule = Schedule::parse(text).unwrap_or_else(|| panic!("{text} does not read"));
        let mut now = at("2024-02-29T20:30:00Z");
        for next in expected {
            now = schedule.next(now).unwrap_or_else(|| panic!("{text} never comes"));
            assert_eq!(now, at(next), "{text}");
        }
    }

    #[test]
    fn a_schedule_comes_when_it_says() {
        check("rate(4 hours)", ["2024-03-01T00:30:00Z", "2024-03-01T04:30:00Z", "2024-03-01T08:30:00Z"]);
        check("rate(1 day)", ["2024-03-01T20:30:00Z", "2024-03-02T20:30:00Z", "2024-03-03T20:30:00Z"]);
        check("cron(0 8 * * ? *)", ["2024-03-01T08:00:00Z", "2024-03-02T08:00:00Z", "2024-03-03T08:00:00Z"]);
        check("cron(0 /8 * * ? *)", ["2024-03-01T00:00:00Z", "2024-03-01T08:00:00Z", "2024-03-01T16:00:00Z"]);
        check("cron(0 21 29 FEB ? *)", ["2024-02-29T21:00:00Z", "2028-02-29T21:00:00Z", "2032-02-29T21:00:00Z"]);
        check("cron(0 0 L * ? *)", ["2024-03-31T00:00:00Z", "2024-04-30T00:00:00Z", "2024-05-31T00:00:00Z"]);
        check("cron(0 6,18 ? * SUN *)", ["2024-03-03T06:00:00Z", "2024-03-03T18:00:00Z", "2024-03-10T06:00:00Z"]);
        check("cron(0 3 ? 1/6 2#1 *)", ["2024-07-01T03:00:00Z", "2025-01-06T03:00:00Z", "2025-07-07T03:00:00Z"]);
        check("cron(0 3 ? * 6L *)", ["2024-03-29T03:00:00Z", "2024-04-26T03:00:00Z", "2024-05-31T03:00:00Z"]);
        check("cron(0 10 1-3 jan-feb ? *)", ["2025-01-01T10:00:00Z", "2025-01-02T10:00:00Z", "2025-01-03T10:00:00Z"]);
        check("cron(0 0 ? * MON-FRI *)", ["2024-03-01T00:00:00Z", "2024-03-04T00:00:00Z", "2024-03-05T00:00:00Z"]);
    }

    #[test]
    fn what_is_no_schedule_is_none() {
        for text in [
            "",
            "rate",
            "rate()",
            "rate(1)",
            "rate(3 hours)",
            "rate(1000 days)",
            "rate(+5 days)",
            "rate(-5 days)",
            "rate(5 weeks)",
            "rate(9223372036854775807 days)",
            "rate(5 days",
            "cron()",
            "cron(0 8 * * ?)",
            "cron(0 8 * * ? * *)",
            "cron(5 8 * * ? *)",
            "cron(* 8 * * ? *)",
            "cron(0 * * * ? *)",
            "cron(0 8,9 * * ? *)",
            "cron(0 22,1 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 8 0 * ? *)",
            "cron(0 8 32 * ? *)",
            "cron(0 8 * 13 ? *)",
            "cron(0 8 ? * ? *)",
            "cron(0 8 * * * *)",
            "cron(0 8 1 * MON *)",
            "cron(0 8 ? * 8 *)",
            "cron(0 8 ? * 2#6 *)",
            "cron(0 8 1W * ? *)",
            "cron(0 8 * * ? 2030)",
            "cron(0 8 5-2 * ? *)",
            "cron(0 8 */0 * ? *)",
            "cron(0 8 1,,2 * ? *)",
            "cron(0 8 ? * FOO *)",
            "at(2030-01-01T00:00:00)",
        ] {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_that_never_comes_is_not_waited_for() {
        let schedule = Schedule::parse("cron(0 8 30 2 ? *)").expect("it reads");
        assert_eq!(schedule.next(at("2024-02-29T20:30:00Z")), None);
    }
}
