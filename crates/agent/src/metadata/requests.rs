//! What a task says on its way to the API, request by request: none is for what is Longshore's own.
//!
//! ```text
//!   bytes ──► a head, held back until it is whole ──► its path is looked at ──► goes on, and the body that it announces
//! ```
//! The control plane reads heads by the same parser. What the two might read differently is refused: a body's length said twice
//! in different words, a transfer coding (no SDK uses one here).

use http::Uri;
use longshore_link::{INNER_PATHS, LONGEST_HEAD};

/// Headers of a request, as at the gateway.
const MOST_HEADERS: usize = 100;

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("tasks may not call this")]
    Closed,
    #[error("the request does not read")]
    Malformed,
}

impl Refusal {
    /// The whole answer, after which the connection ends.
    pub(super) fn answer(self) -> String {
        let status = match self {
            Self::Closed => "403 Forbidden",
            Self::Malformed => "400 Bad Request",
        };
        let length = self.to_string().len() + 1;
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{self}\n")
    }
}

/// Follows the requests of one connection.
#[derive(Default)]
pub(super) struct Requests {
    /// What has come of a head.
    head: Vec<u8>,
    /// Bytes of the body that are still to come.
    body: u64,
}

impl Requests {
    /// Takes what came, and gives what goes on.
    ///
    /// # Errors
    /// [`Refusal`]; nothing that comes after it may go on.
    pub(super) fn admit(&mut self, mut came: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut goes_on = Vec::new();
        while !came.is_empty() {
            came = match self.body {
                0 => self.take_head(came, &mut goes_on)?,
                _ => self.take_body(came, &mut goes_on),
            };
        }
        Ok(goes_on)
    }

    fn take_body<'a>(&mut self, came: &'a [u8], goes_on: &mut Vec<u8>) -> &'a [u8] {
        let length = usize::try_from(self.body).unwrap_or(usize::MAX).min(came.len());
        let (body, rest) = came.split_at(length);
        goes_on.extend_from_slice(body);
        self.body -= length as u64;
        rest
    }

    /// Takes as much as there is of a head; once it is whole, it goes on.
    fn take_head<'a>(&mut self, came: &'a [u8], goes_on: &mut Vec<u8>) -> Result<&'a [u8], Refusal> {
        let before = self.head.len();
        let taken = &came[..came.len().min(LONGEST_HEAD - before)];
        self.head.extend_from_slice(taken);
        // A head ends with a line: one that comes byte by byte is read at its beginning and then once a line.
        let read = if before == 0 || taken.contains(&b'\n') { read_head(&self.head)? } else { None };
        let Some((length, body)) = read else {
            return if self.head.len() == LONGEST_HEAD { Err(Refusal::Malformed) } else { Ok(&[]) };
        };
        goes_on.extend_from_slice(&self.head[..length]);
        self.head.clear();
        self.body = body;
        // What came before was no whole head, so that this one ends in what came now.
        Ok(&came[length - before..])
    }
}

/// The length of a head, and that of the body that it announces; `None` if it is not whole.
fn read_head(bytes: &[u8]) -> Result<Option<(usize, u64)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let read = request.parse(bytes).map_err(|_| Refusal::Malformed)?;
    let httparse::Status::Complete(length) = read else { return Ok(None) };
    let target: Uri = request.path.unwrap_or_default().parse().map_err(|_| Refusal::Malformed)?;
    if INNER_PATHS.iter().any(|prefix| target.path().starts_with(prefix)) {
        return Err(Refusal::Closed);
    }
    Ok(Some((length, body_length(request.headers)?)))
}

fn body_length(headers: &[httparse::Header<'_>]) -> Result<u64, Refusal> {
    let named = |name: &'static str| headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    let mut lengths = named("content-length").map(|header| header.value);
    let Some(first) = lengths.next() else {
        return if named("transfer-encoding").next().is_some() { Err(Refusal::Malformed) } else { Ok(0) };
    };
    if named("transfer-encoding").next().is_some() || lengths.any(|other| other != first) {
        return Err(Refusal::Malformed);
    }
    let digits = Some(first).filter(|text| text.iter().all(u8::is_ascii_digit));
    let text = digits.and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).ok_or(Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str, headers: &str, body: &str) -> String {
        format!("{line} HTTP/1.1\r\nhost: 169.254.170.2:4566\r\n{headers}\r\n{body}")
    }

    /// What goes on of bytes that come in pieces of a size.
    fn in_pieces(bytes: &[u8], size: usize) -> Result<Vec<u8>, Refusal> {
        let mut requests = Requests::default();
        let pieces: Result<Vec<_>, _> = bytes.chunks(size).map(|piece| requests.admit(piece)).collect();
        pieces.map(|pieces| pieces.concat())
    }

    #[test]
    fn requests_go_on_as_they_are_however_they_come() {
        let told = [
            request("POST /", "Content-Length: 27\r\n", "POST /_longshore/reset\r\n\r\nx"),
            request("GET /healthz", "", ""),
            request("POST /", "content-length: 0\r\n", ""),
            request("POST http://127.0.0.1:4566/?a=/_longshore/reset", "content-length: 2\r\n", "{}"),
        ]
        .concat();
        for size in [1, 2, 7, 64, told.len()] {
            assert_eq!(in_pieces(told.as_bytes(), size), Ok(told.clone().into_bytes()), "{size}");
        }
    }

    #[test]
    fn what_is_longshores_own_is_closed() {
        let good = request("POST /", "content-length: 2\r\n", "{}");
        for line in [
            "POST /_longshore/reset",
            "GET /_longshore",
            "POST http://127.0.0.1:4566/_longshore/reset",
            "POST /_longshore/reset?x=1",
            "GET /acs/ws",
            "GET /tcs/ws",
            "GET /edge/ws",
        ] {
            let closed = request(line, "content-length: 0\r\n", "");
            for told in [closed.clone(), format!("\r\n{closed}"), format!("{good}{closed}")] {
                for size in [1, told.len()] {
                    assert_eq!(in_pieces(told.as_bytes(), size), Err(Refusal::Closed), "{told:?} in {size}");
                }
            }
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for headers in [
            "transfer-encoding: chunked\r\n",
            "content-length: 2\r\ntransfer-encoding: chunked\r\n",
            "content-length: 2\r\ncontent-length: 3\r\n",
            "content-length: +2\r\n",
            "content-length: \r\n",
            "content-length: 2, 2\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length : 2\r\n",
        ] {
            let told = request("POST /", headers, "{}");
            assert_eq!(in_pieces(told.as_bytes(), told.len()), Err(Refusal::Malformed), "{headers:?}");
        }
        let long = request("GET /", &format!("x: {}\r\n", "a".repeat(LONGEST_HEAD)), "");
        assert_eq!(in_pieces(long.as_bytes(), 8192), Err(Refusal::Malformed));
        assert_eq!(in_pieces(b"\x16\x03\x01\x02\x00\x01", 6), Err(Refusal::Malformed));
    }

    #[test]
    fn nothing_of_a_head_goes_on_before_it_is_whole() {
        let told = request("GET /", "", "");
        let mut requests = Requests::default();
        let (most, last) = told.split_at(told.len() - 1);
        assert_eq!(requests.admit(most.as_bytes()), Ok(Vec::new()));
        assert_eq!(requests.admit(last.as_bytes()), Ok(told.clone().into_bytes()));
    }
}
