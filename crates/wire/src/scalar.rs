//! Scalars that Rust lacks: timestamps in milliseconds, blobs, untyped documents.

use crate::TimestampFormat;
use jiff::fmt::{rfc2822, strtime};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Milliseconds since the epoch, the resolution AWS keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The instant nearest to `seconds` after the epoch; `None` outside the years AWS takes (±9999) or if not finite.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        const LIMIT: f64 = 253_402_300_800.0;
        (seconds.is_finite() && seconds.abs() < LIMIT).then(|| Timestamp((seconds * 1000.0).round() as i64))
    }

    /// The instant spelt by `text` in `format`.
    pub fn parse(text: &str, format: TimestampFormat) -> Option<Self> {
        match format {
            TimestampFormat::EpochSeconds => Timestamp::from_seconds(text.parse().ok()?),
            TimestampFormat::Iso8601 => Some(Timestamp(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())),
            TimestampFormat::Rfc822 => {
                let zoned = rfc2822::DateTimeParser::new().parse_zoned(text).ok()?;
                Some(Timestamp(zoned.timestamp().as_millisecond()))
            }
        }
    }

    /// The spelling in `format`. Instants outside years ±9999 are clamped.
    pub fn format(self, format: TimestampFormat) -> String {
        match format {
            TimestampFormat::EpochSeconds => self.decimal_seconds(),
            TimestampFormat::Iso8601 => self.iso8601(),
            TimestampFormat::Rfc822 => strtime::format("%a, %d %b %Y %H:%M:%S GMT", self.instant()).unwrap_or_default(),
        }
    }

    /// `1422172800`, or `1422172800.123` when there are milliseconds.
    pub(crate) fn decimal_seconds(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let millis = self.0.unsigned_abs();
        let mut text = [sign, itoa::Buffer::new().format(millis / 1000)].concat();
        if !millis.is_multiple_of(1000) {
            let _ = write!(text, ".{:03}", millis % 1000);
        }
        text
    }

    fn iso8601(self) -> String {
        let digits = if self.0 % 1000 == 0 { 0 } else { 3 };
        format!("{:.digits$}", self.instant())
    }

    fn instant(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

/// Bytes; base64 in JSON and XML.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob(pub Vec<u8>);

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Blob(bytes)
    }
}

/// Any JSON value, kept as it came.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Document {
    #[default]
    Null,
    Boolean(bool),
    Integer(i64),
    Double(f64),
    String(String),
    List(Vec<Document>),
    Map(BTreeMap<String, Document>),
}
