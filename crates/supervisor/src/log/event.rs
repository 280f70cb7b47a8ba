//! Lines to events.

use std::sync::Arc;

use regex_lite::Regex;

use super::line::{LARGEST, pieces};
use super::pattern;
use crate::spec::AwsLogs;

/// A moment in milliseconds since the Unix epoch and what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub time: u64,
    pub text: String,
}

/// How lines become events: each one, or joined until the next line that matches.
#[derive(Clone, Debug, Default)]
pub struct Joiner {
    begins: Option<Arc<Regex>>,
    waiting: Option<Event>,
}

impl Joiner {
    /// The multiline pattern wins over the datetime format, as only one may be given.
    pub fn new(options: &AwsLogs) -> Result<Joiner, String> {
        let from_format = options.datetime_format.as_deref().map(pattern::from_datetime);
        let Some(expression) = options.multiline_pattern.clone().or(from_format) else {
            return Ok(Joiner::default());
        };
        let pattern = Regex::new(&expression)
            .map_err(|e| format!("the awslogs-multiline-pattern is not a regular expression: {e}"))?;
        Ok(Joiner { begins: Some(Arc::new(pattern)), waiting: None })
    }

    /// Takes a line, hands out what is complete now. Empty lines are events of no destination.
    pub fn push(&mut self, time: u64, line: String, mut event: impl FnMut(Event)) {
        let Some(begins) = &self.begins else {
            if !line.is_empty() {
                emit(Event { time, text: line }, &mut event);
            }
            return;
        };
        let begins = begins.is_match(&line);
        match &mut self.waiting {
            Some(waiting) if !begins && waiting.text.len() + line.len() < LARGEST => {
                waiting.text.push('\n');
                waiting.text.push_str(&line);
            }
            _ => {
                self.flush(&mut event);
                self.waiting = (!line.is_empty()).then_some(Event { time, text: line });
            }
        }
    }

    /// Hands out what still waits for more lines.
    pub fn flush(&mut self, mut event: impl FnMut(Event)) {
        if let Some(waiting) = self.waiting.take() {
            emit(waiting, &mut event);
        }
    }

    /// Whether something waits for more lines.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }
}

/// Bytes that were no UTF-8 grow when they are replaced, so a line may have to be cut again.
fn emit(whole: Event, event: &mut impl FnMut(Event)) {
    if whole.text.len() <= LARGEST {
        return event(whole);
    }
    for piece in pieces(&whole.text, LARGEST) {
        event(Event { time: whole.time, text: piece.to_string() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(pattern: Option<&str>, lines: &[&str]) -> Vec<(u64, String)> {
        let options = AwsLogs { multiline_pattern: pattern.map(str::to_string), ..AwsLogs::default() };
        let mut joiner = Joiner::new(&options).unwrap();
        let mut events = Vec::new();
        for (time, line) in lines.iter().enumerate() {
            joiner.push(time as u64, line.to_string(), |e| events.push((e.time, e.text)));
        }
        joiner.flush(|e| events.push((e.time, e.text)));
        events
    }

    #[test]
    fn lines_join_until_the_next_beginning() {
        let lines = ["lost", "INFO a", " at b", "", " at c", "INFO d"];
        let expected = [(0, "lost".to_string()), (1, "INFO a\n at b\n\n at c".to_string()), (5, "INFO d".to_string())];
        assert_eq!(join(Some("^INFO"), &lines), expected);
    }

    #[test]
    fn without_a_pattern_each_line_is_an_event() {
        assert_eq!(join(None, &["a", "", "b"]), [(0, "a".to_string()), (2, "b".to_string())]);
    }

    #[test]
    fn an_event_never_grows_beyond_its_limit() {
        let line = "x".repeat(100_000);
        let events = join(Some("^INFO"), &["INFO", &line, &line, &line, &line]);
        assert!(events.iter().all(|(_, text)| text.len() <= LARGEST));
        assert_eq!(events.iter().map(|(_, text)| text.matches('x').count()).sum::<usize>(), 400_000);
    }

    #[test]
    fn replaced_bytes_are_cut_again() {
        let mut events = Vec::new();
        Joiner::default().push(1, "\u{fffd}".repeat(LARGEST), |e| events.push(e));
        assert_eq!(events.len(), 4);
        assert!(events.iter().all(|e| e.text.len() <= LARGEST));
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        let options = AwsLogs { multiline_pattern: Some("(".into()), ..AwsLogs::default() };
        assert!(Joiner::new(&options).is_err());
    }
}
