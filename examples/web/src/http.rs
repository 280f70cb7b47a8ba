//! As much of HTTP/1.1 as the example needs.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longest head of a request or of an answer.
const LONGEST_HEAD: usize = 16 * 1024;
/// Longest answer that is read.
const LONGEST_ANSWER: u64 = 1024 * 1024;
/// How long another server may take.
const WITHIN: Duration = Duration::from_secs(3);

/// Reads the head of a request: method and path. `None` when the client said nothing.
pub fn read_request(stream: &mut impl Read) -> Result<Option<(String, String)>> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = stream.read(&mut part)?;
        if length == 0 && head.is_empty() {
            return Ok(None);
        }
        head.extend_from_slice(&part[..length]);
        if length == 0 || head.len() > LONGEST_HEAD {
            return Err(Error::from(ErrorKind::InvalidData));
        }
    }
    request_line(&head).map(Some).ok_or_else(|| Error::from(ErrorKind::InvalidData))
}

fn request_line(head: &[u8]) -> Option<(String, String)> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let good = words.next().is_none() && version.starts_with("HTTP/1.") && plain(method) && plain(path);
    good.then(|| (method.to_owned(), path.to_owned()))
}

/// Asks for `url` (`http://host[:port][/path]`): status and body.
pub fn get(url: &str) -> std::result::Result<(u16, String), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url:?} does not begin with http://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let text = exchange(&address, &format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
        .map_err(|error| format!("{url}: {error}"))?;
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    status.map(|status| (status, body.to_owned())).ok_or_else(|| format!("{url} did not answer in HTTP"))
}

fn exchange(address: &str, request: &str) -> Result<String> {
    let address = address.to_socket_addrs()?.next().ok_or_else(|| Error::from(ErrorKind::NotFound))?;
    let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The words that go with a status.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        _ => "Method Not Allowed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_requests_are_taken() {
        let read = |text: &str| read_request(&mut text.as_bytes());
        assert_eq!(read("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap(), Some(("GET".into(), "/a".into())));
        assert_eq!(read("").unwrap(), None);
        for bad in [
            "GET",
            "GET /a\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET /\u{1b}[1m HTTP/1.1\r\n\r\n",
            "GET /a HTTP/2\r\n\r\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&"x".repeat(2 * LONGEST_HEAD)).is_err());
    }
}
