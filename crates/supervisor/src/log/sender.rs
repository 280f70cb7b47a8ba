//! The thread that sends events to CloudWatch Logs.
//!
//! Each batch has a number and is repeated, unchanged, until the server has acknowledged it or refused it for good.
//! The header `x-longshore-batch: <pump>/<number>` lets the server drop a batch that it has already stored, when only
//! its answer was lost. Group and stream are made when they turn out to be missing. Where they may not be made, or not be
//! written to, the batch is dropped after a while, as a container that waits for its log would else wait for ever.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::buffer::{Buffer, Fate};
use super::event::Event;
use super::http::Connection;
use super::{Endpoint, STACK_BYTES, Wake, leave_signals_to_others};
use crate::error::{Error, Result};
use crate::spec::AwsLogs;

const TARGET: &str = "Logs_20140328";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A batch is dropped when so many answers in a row, or all answers of so long, said that group or stream is missing, or
/// that it may not be written.
const CLOSED_TRIES: u32 = 10;
const CLOSED_TIME: Duration = Duration::from_secs(30);

/// What came of one call.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// ResourceNotFoundException: the group or the stream is missing.
    Missing(String),
    /// AccessDeniedException: policies do not allow it.
    Denied(String),
    /// Will not be taken however often it is sent.
    Refused(String),
    /// Not now: throttled, or the sender is not known at the moment.
    Later,
    /// There was no answer.
    Away,
}

/// Answers in a row that say that there is no place for a batch.
#[derive(Default)]
struct Closed {
    count: u32,
    since: Option<Instant>,
}

impl Closed {
    /// One more. True if there have been enough.
    fn again(&mut self) -> bool {
        self.count += 1;
        self.count >= CLOSED_TRIES || self.since.get_or_insert_with(Instant::now).elapsed() >= CLOSED_TIME
    }
}

/// State of the sending thread.
pub struct Sender {
    options: AwsLogs,
    pump: String,
    endpoint: Endpoint,
    buffer: Arc<Buffer>,
    wake: Wake,
    connection: Connection,
    number: u64,
}

impl Sender {
    /// Starts the thread; it first makes sure of the stream and then waits for events, until the process ends.
    pub fn start(options: AwsLogs, pump: String, endpoint: Endpoint, buffer: Arc<Buffer>, wake: Wake) -> Result<()> {
        let connection = Connection::default();
        let mut sender = Sender { options, pump, endpoint, buffer, wake, connection, number: 0 };
        let builder = thread::Builder::new().name("log-sender".into()).stack_size(STACK_BYTES);
        builder.spawn(move || sender.run()).map(drop).map_err(Error::system("start a log thread"))
    }

    fn run(&mut self) -> ! {
        leave_signals_to_others();
        let ready = match self.make_stream() {
            Outcome::Missing(reason) | Outcome::Denied(reason) | Outcome::Refused(reason) => {
                Err(format!("failed to create CloudWatch log stream: {reason}"))
            }
            Outcome::Taken | Outcome::Later | Outcome::Away => Ok(()),
        };
        self.buffer.set_ready(ready);
        loop {
            let batch = self.buffer.next_batch();
            self.number += 1;
            let fate = self.deliver(&batch);
            drop(batch);
            self.buffer.sent(fate);
            (self.wake)();
        }
    }

    /// Repeats a batch until its fate is known.
    fn deliver(&mut self, batch: &[Event]) -> Fate {
        let body = self.put_body(batch);
        let mut pause = FIRST_PAUSE;
        let mut closed = Closed::default();
        loop {
            let outcome = self.put(&body);
            match &outcome {
                Outcome::Taken => return Fate::Taken,
                Outcome::Refused(reason) => {
                    self.complain(batch, "refused", reason);
                    return Fate::Refused;
                }
                Outcome::Missing(reason) | Outcome::Denied(reason) if closed.again() => {
                    self.complain(batch, "dropped", reason);
                    return Fate::Abandoned;
                }
                Outcome::Missing(_) | Outcome::Denied(_) => {}
                Outcome::Later | Outcome::Away => closed = Closed::default(),
            }
            self.buffer.tried(outcome != Outcome::Away);
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One attempt, with group and stream made if need be.
    fn put(&mut self, body: &[u8]) -> Outcome {
        let first = self.call("PutLogEvents", body, true);
        if !matches!(first, Outcome::Missing(_)) {
            return first;
        }
        match self.make_stream() {
            Outcome::Taken => self.call("PutLogEvents", body, true),
            other => other,
        }
    }

    fn complain(&self, batch: &[Event], what: &str, reason: &str) {
        eprintln!("log stream {}: {} events {what}: {reason}", self.options.stream, batch.len());
    }

    fn put_body(&self, batch: &[Event]) -> Vec<u8> {
        let list: Vec<Value> = batch.iter().map(|e| json!({"timestamp": e.time, "message": e.text})).collect();
        let body = json!({
            "logGroupName": self.options.group,
            "logStreamName": self.options.stream,
            "logEvents": list,
        });
        body.to_string().into_bytes()
    }

    fn make_stream(&mut self) -> Outcome {
        let group = json!({"logGroupName": self.options.group}).to_string();
        let stream = json!({"logGroupName": self.options.group, "logStreamName": self.options.stream}).to_string();
        let first = self.call("CreateLogStream", stream.as_bytes(), false);
        if !(matches!(first, Outcome::Missing(_)) && self.options.create_group) {
            return first;
        }
        match self.call("CreateLogGroup", group.as_bytes(), false) {
            Outcome::Taken => self.call("CreateLogStream", stream.as_bytes(), false),
            other => other,
        }
    }

    fn call(&mut self, operation: &str, body: &[u8], numbered: bool) -> Outcome {
        let endpoint = self.endpoint.get();
        let mut headers = vec![
            ("Content-Type".to_string(), "application/x-amz-json-1.1".to_string()),
            ("X-Amz-Target".to_string(), format!("{TARGET}.{operation}")),
        ];
        headers.extend(endpoint.headers);
        if numbered {
            headers.push(("x-longshore-batch".to_string(), format!("{}/{}", self.pump, self.number)));
        }
        match self.connection.post(&endpoint.address, &headers, body) {
            Ok(answer) => judge(answer.status, &answer.body),
            Err(_) => Outcome::Away,
        }
    }
}

fn judge(status: u16, body: &[u8]) -> Outcome {
    if (200..300).contains(&status) {
        return Outcome::Taken;
    }
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = value["__type"].as_str().and_then(|code| code.rsplit('#').next()).unwrap_or_default();
    let message = value["message"].as_str().or(value["Message"].as_str()).unwrap_or_default();
    let text = format!("{code}: {message}");
    match code {
        "ResourceAlreadyExistsException" | "DataAlreadyAcceptedException" => Outcome::Taken,
        "ResourceNotFoundException" => Outcome::Missing(text),
        "AccessDeniedException" => Outcome::Denied(text),
        "InvalidParameterException" | "SerializationException" | "ValidationException" => Outcome::Refused(text),
        _ if status == 413 => Outcome::Refused(text),
        _ => Outcome::Later,
    }
}
