//! The fields of a line, in AWS's order. Not known, and `-`: which certificate a client was shown, the reasons of errors.

use std::fmt::Write as _;
use std::time::Instant;

use jiff::Timestamp;

use super::Record;
use crate::chance;

impl Record {
    pub(super) fn line(&self) -> String {
        // A client that has gone before the answer.
        let status = self.answered.as_ref().map_or(460, |answered| answered.status);
        let relayed = self.answered.as_ref().filter(|answered| !answered.is_own);
        let (target, group) = self.target.as_ref().map_or(("-", "-"), |(target, group)| (target, group));
        let target_status = relayed.map_or_else(|| "-".to_owned(), |answered| answered.status.to_string());
        let [protocol, cipher, name] = self.tls.each_ref().map(|text| dash(text));
        let trace = self.note.trace.get().cloned().unwrap_or_else(|| format!("Root={}", chance::trace()));
        let received = self.head + self.note.flow.get().map_or(0, |flow| flow.carried());
        let mut line = String::with_capacity(512 + self.request.len() + self.agent.len());
        let _ = write!(
            line,
            "{} {} {} {} {target} {} {status} {target_status} {received} {} \"{}\" \"{}\" {cipher} {protocol} {group} \"{}\" ",
            self.kind,
            time(chance::now_micros()),
            self.log.place.name,
            self.client,
            self.times(),
            self.sent,
            escape(self.request.as_bytes()),
            dash(&self.agent),
            escape(trace.as_bytes()),
        );
        let listed = if relayed.is_some() { target } else { "-" };
        let class = self.class.map(|class| (format!("{:?}", class.tier), format!("{:?}", class.reason)));
        let (class, reason) = class.unwrap_or_else(|| ("-".to_owned(), "-".to_owned()));
        let priority = self.priority.map_or_else(|| "-".to_owned(), |priority| priority.to_string());
        let _ = write!(
            line,
            "\"{}\" \"-\" {priority} {} \"{}\" \"{}\" \"-\" \"{listed}\" \"{target_status}\" \"{class}\" \"{reason}\" {}",
            escape(name.as_bytes()),
            time(self.came),
            dash(self.action),
            dash(&self.redirect),
            self.connection,
        );
        line
    }

    /// Seconds until the request went on, until the target answered, and until the answer went on.
    fn times(&self) -> String {
        let relayed = self.answered.as_ref().filter(|answered| !answered.is_own);
        match self.asked.zip(relayed) {
            Some((asked, answered)) => {
                let between = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
                format!("{:.3} {:.3} 0.000", between(self.began, asked), between(asked, answered.at))
            }
            None => "-1 -1 -1".to_owned(),
        }
    }
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn time(micros: i64) -> String {
    let at = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// What is not plain text, a quotation mark and a backslash become `\xHH`.
pub fn escape(text: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                let _ = write!(escaped, "\\x{byte:02X}");
            }
            _ => escaped.push(char::from(*byte)),
        }
    }
    escaped
}
