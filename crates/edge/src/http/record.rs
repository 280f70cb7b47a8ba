//! One request's line in the access log: what is known of it is gathered on its way, and written when it has ended.

mod line;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use http::header::{LOCATION, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use longshore_link::edge::{Action, Listener};

use super::head::{Admitted, Class};
use super::relay::Outgoing;
use super::{Connection, answer};
use crate::access::{Place, Writer};
use crate::chance;
use crate::flow::Flow;
use crate::front::Front;
use crate::member::Member;

/// Bytes of a client's name for itself.
const AGENT: usize = 8 * 1024;

/// Where a balancer's lines go.
#[derive(Clone, Debug)]
pub struct Log {
    pub writer: Writer,
    pub place: Arc<Place>,
}

/// What only those know who send the request on.
#[derive(Debug, Default)]
pub struct Note {
    /// `X-Amzn-Trace-Id`, as the target gets it.
    pub trace: OnceLock<String>,
    pub flow: OnceLock<Arc<Flow>>,
}

impl Note {
    /// The headers that go to the target, and what moves the request there.
    pub fn take(&self, headers: &HeaderMap, flow: &Arc<Flow>) {
        let trace = headers.get("x-amzn-trace-id").map(|trace| String::from_utf8_lossy(trace.as_bytes()).into_owned());
        let _ = trace.map(|trace| self.trace.set(trace));
        let _ = self.flow.set(flow.clone());
    }
}

/// What has been found out so far. Dropping it writes the line.
#[derive(Debug)]
pub struct Record {
    log: Log,
    came: i64,
    began: Instant,
    kind: &'static str,
    client: String,
    /// As the client wrote it.
    request: String,
    agent: String,
    /// Bytes of the request's head.
    head: u64,
    class: Option<Class>,
    /// Protocol, cipher, and the server's name.
    tls: [String; 3],
    connection: String,
    note: Arc<Note>,
    priority: Option<u32>,
    action: &'static str,
    redirect: String,
    target: Option<(String, String)>,
    asked: Option<Instant>,
    answered: Option<Answered>,
    /// Bytes of the answer.
    sent: u64,
}

#[derive(Debug)]
struct Answered {
    at: Instant,
    status: u16,
    is_own: bool,
}

impl Record {
    /// The record of a request; `None` if its balancer keeps no log.
    pub fn begin<B>(
        front: &Front,
        connection: &Connection,
        request: &mut Request<B>,
        admitted: Admitted,
    ) -> Option<Box<Self>> {
        let mut record = Self::new(front, connection)?;
        let uri = request.uri();
        let host = super::host(request);
        let (scheme, port) = (connection.hop.protocol, connection.hop.port);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let version = if request.version() == Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" };
        let version = if request.version() == Version::HTTP_10 { "HTTP/1.0" } else { version };
        record.request = format!("{} {scheme}://{host}:{port}{path} {version}", request.method());
        record.kind = if request.version() == Version::HTTP_2 { "h2" } else { scheme };
        let agent = request.headers().get(USER_AGENT).map(|agent| agent.as_bytes()).unwrap_or_default();
        record.agent = line::escape(&agent[..agent.len().min(AGENT)]);
        record.head = path.len() as u64 + 16 + size(request.headers());
        record.class = admitted.class;
        request.extensions_mut().insert(record.note.clone());
        Some(record)
    }

    /// The record of what is no request.
    pub fn of_none(front: &Front, connection: &Connection, class: Option<Class>) -> Option<Box<Self>> {
        let mut record = Self::new(front, connection)?;
        record.class = class;
        Some(record)
    }

    fn new(front: &Front, connection: &Connection) -> Option<Box<Self>> {
        let log = front.log.clone()?;
        let hop = &connection.hop;
        Some(Box::new(Self {
            log,
            came: chance::now_micros(),
            began: Instant::now(),
            kind: hop.protocol,
            client: hop.client.to_string(),
            request: format!("- {}://-:{}- -", hop.protocol, hop.port),
            agent: String::new(),
            head: 0,
            class: None,
            tls: connection.tls.clone().unwrap_or_default(),
            connection: connection
                .name
                .get_or_init(|| format!("TID_{:016x}{:016x}", chance::number(), chance::number()))
                .clone(),
            note: Arc::default(),
            priority: None,
            action: "",
            redirect: String::new(),
            target: None,
            asked: None,
            answered: None,
            sent: 0,
        }))
    }

    /// The action that is carried out, of the rule that it is in.
    pub fn ruled(&mut self, listener: &Listener, action: &Action) {
        let rule = listener.rules.iter().find(|rule| std::ptr::eq(&rule.action, action));
        self.priority = Some(rule.map_or(0, |rule| rule.priority));
        self.action = match action {
            Action::Forward { .. } => "forward",
            Action::Redirect(_) => "redirect",
            Action::FixedResponse { .. } => "fixed-response",
        };
    }

    /// The request goes to this target now.
    pub fn asks(&mut self, target: &Member) {
        self.target = Some((target.address().to_string(), target.key.group.clone()));
        self.asked = Some(Instant::now());
    }

    /// The answer, which the record stays with until all of it is given, or given up.
    pub fn attach(record: Option<Box<Self>>, answer: Response<Outgoing>) -> Response<Outgoing> {
        let Some(mut record) = record else { return answer };
        let (status, headers) = (answer.status(), answer.headers());
        let is_own = answer.extensions().get::<answer::Own>().is_some();
        record.answered = Some(Answered { at: Instant::now(), status: status.as_u16(), is_own });
        if status == StatusCode::SWITCHING_PROTOCOLS {
            record.kind = if record.kind == "https" { "wss" } else { "ws" };
        }
        if record.action == "redirect" {
            record.redirect = line::escape(headers.get(LOCATION).map(|value| value.as_bytes()).unwrap_or_default());
        }
        record.sent(16 + size(headers));
        answer.map(|body| body.noted(record))
    }

    /// So many bytes of the answer's body go to the client.
    pub fn sent(&mut self, count: u64) {
        self.sent += count;
    }
}

/// Bytes of a head's lines.
fn size(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len() + 4) as u64).sum::<u64>() + 4
}

impl Drop for Record {
    fn drop(&mut self) {
        self.log.writer.put(&self.log.place, self.line());
    }
}
