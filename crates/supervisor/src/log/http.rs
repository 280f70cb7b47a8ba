//! Just enough HTTP/1.1 for one keep-alive connection to the control plane: POST a body, read the answer.
//!
//! Left out: TLS (the endpoint is on this machine or inside the operator's network), redirects, compression.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers are small; anything larger is not from CloudWatch Logs.
const LARGEST_ANSWER: u64 = 1 << 20;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// A connection that is opened when needed and kept.
#[derive(Default)]
pub struct Connection {
    open: Option<(String, BufReader<TcpStream>)>,
}

impl Connection {
    /// Posts to `/`. After any error the connection is closed; whether the server acted is then unknown.
    pub fn post(&mut self, address: &str, headers: &[(String, String)], body: &[u8]) -> Result<Answer> {
        let reused = self.open.as_ref().is_some_and(|(known, _)| known == address);
        let result = self.exchange(address, headers, body);
        match result {
            // The server may have closed an idle connection; the caller's requests bear repetition.
            Err(_) if reused => self.exchange(address, headers, body),
            other => other,
        }
    }

    fn exchange(&mut self, address: &str, headers: &[(String, String)], body: &[u8]) -> Result<Answer> {
        let mut stream = match self.open.take() {
            Some((known, stream)) if known == address => stream,
            _ => connect(address)?,
        };
        stream.get_mut().write_all(&head(address, headers, body.len()))?;
        stream.get_mut().write_all(body)?;
        let (answer, keep) = read_answer(&mut stream)?;
        if keep {
            self.open = Some((address.to_string(), stream));
        }
        Ok(answer)
    }
}

fn connect(address: &str) -> Result<BufReader<TcpStream>> {
    let address: SocketAddr = address.parse().map_err(|e| Error::new(ErrorKind::InvalidInput, e))?;
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(BufReader::with_capacity(2048, stream))
}

fn head(address: &str, headers: &[(String, String)], length: usize) -> Vec<u8> {
    let mut text = format!("POST / HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        let plain = |text: &str| text.bytes().all(|byte| byte >= b' ' && byte != 0x7f);
        if plain(name) && plain(value) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn read_answer(stream: &mut impl BufRead) -> Result<(Answer, bool)> {
    let (status, headers) = read_head(stream)?;
    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let mut keep = !find("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let body = if find("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(stream)?
    } else if let Some(length) = find("content-length") {
        read_exactly(stream, length.parse().map_err(|e| Error::new(ErrorKind::InvalidData, e))?)?
    } else {
        keep = false;
        let mut body = Vec::new();
        stream.take(LARGEST_ANSWER).read_to_end(&mut body)?;
        body
    };
    Ok((Answer { status, body }, keep))
}

type Headers = Vec<(String, String)>;

/// The first head that is not an interim (1xx) one.
fn read_head(stream: &mut impl BufRead) -> Result<(u16, Headers)> {
    loop {
        let first = read_line(stream)?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
        let status = status.filter(|_| first.starts_with("HTTP/1.")).ok_or_else(|| invalid("status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = read_line(stream)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_string()));
            if headers.len() > 100 {
                return Err(invalid("headers"));
            }
        }
        if status >= 200 {
            return Ok((status, headers));
        }
    }
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = u64::from_str_radix(digits, 16).map_err(|_| invalid("chunk"))?;
        if length == 0 {
            while !read_line(stream)?.is_empty() {}
            return Ok(body);
        }
        body.extend(read_exactly(stream, length)?);
        if body.len() as u64 > LARGEST_ANSWER || !read_line(stream)?.is_empty() {
            return Err(invalid("chunk"));
        }
    }
}

fn read_exactly(stream: &mut impl BufRead, length: u64) -> Result<Vec<u8>> {
    if length > LARGEST_ANSWER {
        return Err(invalid("length"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

fn read_line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = Vec::new();
    stream.take(16 << 10).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the answer ended early"));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| invalid("text"))
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("bad {what} in the answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Option<(u16, String, bool)> {
        let read = read_answer(&mut text.as_bytes()).ok();
        read.map(|(answer, keep)| (answer.status, String::from_utf8(answer.body).unwrap(), keep))
    }

    #[test]
    fn answers_are_read() {
        let some = |status, body: &str, keep| Some((status, body.to_string(), keep));
        let rows = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", some(200, "{}", true)),
            ("HTTP/1.1 400 Bad\r\ncontent-length:2\r\nConnection: close\r\n\r\n{}", some(400, "{}", false)),
            ("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", some(200, "", true)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n",
                some(200, "{}", true),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nto the end", some(200, "to the end", false)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", None),
            ("SSH-2.0-x\r\n\r\n", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(answer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_header_cannot_smuggle_another() {
        let headers = [("A".to_string(), "1\r\nEvil: 2".to_string()), ("B".to_string(), "3".to_string())];
        let text = String::from_utf8(head("127.0.0.1:1", &headers, 0)).unwrap();
        assert!(!text.contains("Evil") && text.contains("B: 3\r\n"));
    }
}
