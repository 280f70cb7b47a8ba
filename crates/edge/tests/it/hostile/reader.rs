//! A strict reader of HTTP/1.1 that owes nothing to the edge's: what a target has been sent must read by it.

/// A request as it came. Names of headers are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// What a connection carried: whole requests, and how it went on after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub requests: Vec<Request>,
    pub rest: Rest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    Nothing,
    /// The beginning of a request.
    Unfinished,
    /// What no request begins with.
    Bad(String),
}

/// Why there is no request.
enum No {
    More,
    Bad(String),
}

type Read<'b, T> = Result<(T, &'b [u8]), No>;

/// Reads all that a connection carried.
pub fn read(mut bytes: &[u8]) -> Reading {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        match request(bytes) {
            Ok((request, rest)) => {
                requests.push(request);
                bytes = rest;
            }
            Err(No::More) => return Reading { requests, rest: Rest::Unfinished },
            Err(No::Bad(why)) => return Reading { requests, rest: Rest::Bad(why) },
        }
    }
    Reading { requests, rest: Rest::Nothing }
}

impl Request {
    pub fn all<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }

    /// The value of a header that is there once.
    pub fn one<'r>(&'r self, name: &'r str) -> Option<&'r [u8]> {
        let mut all = self.all(name);
        let first = all.next();
        if all.next().is_some() { None } else { first }
    }
}

fn request(bytes: &[u8]) -> Read<'_, Request> {
    let (first, mut rest) = line(bytes)?;
    let (method, target) = request_line(first)?;
    let mut headers = Vec::new();
    loop {
        let (header, more) = line(rest)?;
        rest = more;
        if header.is_empty() {
            break;
        }
        headers.push(field(header)?);
    }
    let mut request = Request { method, target, headers, body: Vec::new() };
    let (body, rest) = body(&request, rest)?;
    request.body = body;
    Ok((request, rest))
}

/// Up to CR and LF, of which there is nothing else in it.
fn line(bytes: &[u8]) -> Read<'_, &[u8]> {
    let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return Err(No::More) };
    let line = &bytes[..end];
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return bad("a control byte in", line);
    }
    Ok((line, &bytes[end + 2..]))
}

fn request_line(line: &[u8]) -> Result<(String, String), No> {
    let text = std::str::from_utf8(line).unwrap_or("\0");
    let parts: Vec<&str> = text.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return bad("a request line", line) };
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    let good = !method.is_empty() && method.bytes().all(token) && target.bytes().all(printable);
    if good && (target.starts_with('/') || target == "*") {
        return Ok((method.to_owned(), target.to_owned()));
    }
    bad("a request line", line)
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), No> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return bad("no colon in", line) };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let plain = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if name.is_empty() || !name.iter().copied().all(token) || !value.iter().all(plain) {
        return bad("a header", line);
    }
    Ok((String::from_utf8_lossy(name).to_lowercase(), value.trim_ascii().to_vec()))
}

pub fn token(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*')
        || matches!(byte, b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

fn body<'b>(request: &Request, rest: &'b [u8]) -> Read<'b, Vec<u8>> {
    let lengths: Vec<&[u8]> = request.all("content-length").collect();
    let codings: Vec<&[u8]> = request.all("transfer-encoding").collect();
    if request.one("host").is_none() {
        return bad("not one host in", request.target.as_bytes());
    }
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok((Vec::new(), rest)),
        ([length], []) => {
            let digits = length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| digits).and_then(|text| text.parse().ok());
            let Some(length) = length else { return bad("a length in", request.target.as_bytes()) };
            rest.split_at_checked(length).map(|(body, rest)| (body.to_vec(), rest)).ok_or(No::More)
        }
        ([], [b"chunked"]) => chunks(rest),
        _ => bad("two boundaries in", request.target.as_bytes()),
    }
}

/// Chunks without extensions and trailers, which the edge takes out.
fn chunks(mut rest: &[u8]) -> Read<'_, Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (size, more) = line(rest)?;
        let digits = !size.is_empty() && size.len() < 8 && size.iter().all(u8::is_ascii_hexdigit);
        let size =
            std::str::from_utf8(size).ok().filter(|_| digits).and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size else { return bad("a size", &more[..more.len().min(20)]) };
        let (data, more) = more.split_at_checked(size).ok_or(No::More)?;
        let (end, more) = line(more)?;
        if !end.is_empty() {
            return bad("after a chunk", end);
        }
        body.extend_from_slice(data);
        if size == 0 {
            return Ok((body, more));
        }
        rest = more;
    }
}

fn bad<T>(what: &str, bytes: &[u8]) -> Result<T, No> {
    Err(No::Bad(format!("{what} \"{}\"", bytes.escape_ascii())))
}

#[test]
fn the_reader_takes_what_is_strict_and_nothing_else() {
    let whole = b"POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let reading = read(whole);
    assert_eq!((reading.requests[0].body.as_slice(), reading.rest), (&b"abc"[..], Rest::Nothing));
    for end in 1..whole.len() {
        assert_eq!(read(&whole[..end]), Reading { requests: Vec::new(), rest: Rest::Unfinished }, "{end}");
    }
    for bad in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"GET / HTTP/1.1\nhost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ] {
        assert!(matches!(read(bad).rest, Rest::Bad(_)), "{}", bad.escape_ascii());
    }
}
