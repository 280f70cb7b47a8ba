//! Chance, for choices among targets and names of traces; nothing here is a secret.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::time::SystemTime;

use http::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

static PRINTER: DateTimePrinter = DateTimePrinter::new();

thread_local! {
    static SEED: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
    /// The second that is written, and how.
    static DATE: RefCell<(i64, HeaderValue)> =
        const { RefCell::new((0, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))) };
}

/// Any number: the next of a sequence (SplitMix64) that each thread begins somewhere else.
pub fn number() -> u64 {
    SEED.with(|seed| {
        let next = seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        seed.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// The name of a new trace: `1-TIME-ID`, eight and twenty-four hexadecimal digits.
pub fn trace() -> String {
    let seconds = now_millis().div_euclid(1000).unsigned_abs();
    let mut name = String::with_capacity(40);
    name.push_str("1-");
    push_hex(&mut name, seconds, 8);
    name.push('-');
    push_hex(&mut name, number(), 8);
    push_hex(&mut name, number(), 16);
    name
}

/// The last digits of a number.
fn push_hex(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = (number >> (4 * place)) & 0xf;
        text.push(char::from(b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)]));
    }
}

/// The value of `Date` now.
pub fn date() -> HeaderValue {
    let second = now_millis().div_euclid(1000);
    DATE.with_borrow_mut(|(known, date)| {
        if *known != second {
            let written = Timestamp::from_second(second).and_then(|now| PRINTER.timestamp_to_rfc9110_string(&now));
            let value = written.ok().and_then(|text| HeaderValue::try_from(text).ok());
            (*known, *date) = (second, value.unwrap_or_else(|| date.clone()));
        }
        date.clone()
    })
}

/// Microseconds since 1970.
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970.
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
