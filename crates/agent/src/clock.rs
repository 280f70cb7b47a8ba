//! The time of day, in the forms that the node's reports and documents need.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds with a fraction, as the AWS JSON protocols write a time.
pub(crate) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// `2026-11-21T08:11:54.123Z`
pub(crate) fn rfc3339(milliseconds: u64) -> String {
    format!("{:.3}", timestamp(milliseconds))
}

/// `20261121T081154Z`, as signatures write it.
pub(crate) fn compact(milliseconds: u64) -> String {
    timestamp(milliseconds).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn timestamp(milliseconds: u64) -> Timestamp {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|time| Timestamp::from_millisecond(time).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_forms_of_their_readers() {
        let time = 1_795_248_714_120;
        assert_eq!(rfc3339(time), "2026-11-21T08:11:54.120Z");
        assert_eq!(compact(time), "20261121T081154Z");
        assert_eq!(seconds(time), 1_795_248_714.12);
        assert!(now() > time / 2);
    }
}
