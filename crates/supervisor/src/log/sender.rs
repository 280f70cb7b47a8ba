//! The thread that sends events to CloudWatch Logs.
//!
//! Each batch has a number and is repeated, unchanged, until the server has acknowledged it or refused it for good.
//! The header `x-longshore-batch: <pump>/<number>` lets the server drop a batch that it has already stored, when only
//! its answer was lost. Group and stream are made when they turn out to be missing.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::buffer::Buffer;
use super::event::Event;
use super::http::Connection;
use super::{Endpoint, STACK_BYTES, Wake, leave_signals_to_others};
use crate::error::{Error, Result};
use crate::spec::AwsLogs;

const TARGET: &str = "Logs_20140328";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What came of one call.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// ResourceNotFoundException: the group or the stream is missing.
    Missing(String),
    /// Will not be taken however often it is sent.
    Refused(String),
    /// Not now: not reachable, throttled, not allowed at the moment.
    Later(String),
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
            Outcome::Missing(reason) | Outcome::Refused(reason) => {
                Err(format!("failed to create CloudWatch log stream: {reason}"))
            }
            Outcome::Taken | Outcome::Later(_) => Ok(()),
        };
        self.buffer.set_ready(ready);
        loop {
            let batch = self.buffer.next_batch();
            self.number += 1;
            let lost = self.deliver(&batch);
            drop(batch);
            self.buffer.sent(lost);
            (self.wake)();
        }
    }

    /// Returns how many events were given up.
    fn deliver(&mut self, batch: &[Event]) -> usize {
        let body = self.put_body(batch);
        let mut pause = FIRST_PAUSE;
        loop {
            let mut outcome = self.call("PutLogEvents", &body, true);
            if matches!(outcome, Outcome::Missing(_)) {
                outcome = match self.make_stream() {
                    Outcome::Taken => self.call("PutLogEvents", &body, true),
                    other => other,
                };
            }
            match outcome {
                Outcome::Taken => return 0,
                Outcome::Refused(reason) => {
                    eprintln!("log stream {}: {} events refused: {reason}", self.options.stream, batch.len());
                    return batch.len();
                }
                Outcome::Missing(_) | Outcome::Later(_) => thread::sleep(pause),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
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
            Err(e) => Outcome::Later(format!("{}: {e}", endpoint.address)),
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
        "InvalidParameterException" | "SerializationException" | "ValidationException" => Outcome::Refused(text),
        _ if status == 413 => Outcome::Refused(text),
        _ => Outcome::Later(text),
    }
}
