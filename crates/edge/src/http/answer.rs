//! What the balancer answers itself.
//!
//! A page with the status in it, as a browser shows it, and `Server: awselb/2.0`, by which clients know that it is not their
//! target's answer.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION, SERVER};
use http::{HeaderValue, Response, StatusCode};

use super::relay::Outgoing;
use crate::count::Tally;

/// A status that AWS names otherwise than HTTP does, or that is AWS's own.
const REASONS: &[(u16, &str)] = &[
    (460, "Client Closed Request"),
    (463, "X-Forwarded-For Too Long"),
    (464, "Incompatible Protocol"),
    (503, "Service Temporarily Unavailable"),
    (504, "Gateway Time-out"),
];

/// That an answer is the balancer's own: what a target's answers get it does not.
#[derive(Clone, Copy, Debug)]
pub struct Own;

/// That the client may leave before its answer has come: then it is counted as 460, which nobody is sent.
pub struct Awaited<'t>(Option<&'t Tally>);

impl<'t> Awaited<'t> {
    pub fn by(tally: &'t Tally) -> Self {
        Self(Some(tally))
    }

    /// The answer has come.
    pub fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        if let Some(tally) = self.0 {
            tally.answered(460);
        }
    }
}

/// The page of a status.
pub fn page(status: u16) -> Response<Outgoing> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let title = format!("{} {}", status.as_u16(), reason(status));
    let page = format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n");
    answer(status, "text/html", Bytes::from(page))
}

/// What a status is called.
pub fn reason(status: StatusCode) -> &'static str {
    let known = REASONS.iter().find(|(code, _)| *code == status.as_u16()).map(|(_, reason)| *reason);
    known.or(status.canonical_reason()).unwrap_or_default()
}

/// The page of a status, after which the connection is closed.
pub fn last_page(status: u16) -> Response<Outgoing> {
    let mut answer = page(status);
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The answer of a `fixed-response` action. A content type that is no header value is left out.
pub fn fixed(status: u16, content_type: Option<&str>, body: Option<&str>) -> Response<Outgoing> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    answer(status, content_type.unwrap_or("text/plain"), Bytes::from(body.unwrap_or_default().to_owned()))
}

/// The answer of a `redirect` action; 400 for a location that is no header value.
pub fn redirect(status: u16, location: &str) -> Response<Outgoing> {
    let Ok(location) = HeaderValue::from_str(location) else { return page(400) };
    let mut answer = page(status);
    answer.headers_mut().insert(LOCATION, location);
    answer
}

fn answer(status: StatusCode, content_type: &str, body: Bytes) -> Response<Outgoing> {
    let mut answer = Response::new(Outgoing::own(body));
    *answer.status_mut() = status;
    answer.extensions_mut().insert(Own);
    let headers = answer.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("awselb/2.0"));
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    answer
}
