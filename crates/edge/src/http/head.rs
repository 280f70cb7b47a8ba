//! The head of an HTTP/1 request as its bytes came: what must not go on, and how long the body is. Pure.
//!
//! Two judges look at it. The rules of RFC 9112 that keep two readers of one byte stream of one mind hold in every mode, so
//! some of what AWS's library calls ambiguous is refused here: folded headers, lines without a colon, a bare CR. The rest is
//! classified by that library, `http_desync_guardian`, and treated as the balancer's desync mode says. The transfer coding
//! `identity` is not taken.

use http_desync_guardian::request_analyzer::HttpRequestData;
use http_desync_guardian::{ClassificationReason, RequestSafetyTier};
use longshore_link::edge::DesyncMode;

/// Bytes of a request line, and of one header.
pub const LINE: usize = 16 * 1024;

/// Bytes of a request line and all headers.
pub const HEAD: usize = 64 * 1024;

/// Headers of one request.
pub const HEADERS: usize = 1024;

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

/// A request that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub framing: Framing,
    /// Another reader might see other boundaries: both connections are closed after it.
    pub ambiguous: bool,
    pub class: Option<Class>,
}

/// What the library says of a head that is not quite as HTTP/1.1 has it, by the names that AWS's access logs call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    pub tier: RequestSafetyTier,
    pub reason: ClassificationReason,
}

/// `None` if there is nothing to say. Of any head, also one that is refused.
pub fn classify(head: &[u8]) -> Option<Class> {
    let said = HttpRequestData::analyze_raw_request(head);
    (said.tier != RequestSafetyTier::Compliant).then_some(Class { tier: said.tier, reason: said.reason })
}

/// Why a request is refused: the status code of the answer.
pub type Refused = u16;

/// Judges a head, from the request line to the empty line.
///
/// # Errors
/// The status code to answer with: 400, 405, 414, 501 or 505.
pub fn judge(head: &[u8], mode: DesyncMode) -> Result<Admitted, Refused> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let is_old = request_line(first)?;
    let mut fields =
        Fields { target: first.split(|byte| *byte == b' ').nth(1).unwrap_or_default(), ..Fields::default() };
    for line in lines.take_while(|line| !line.is_empty()) {
        fields.take(line)?;
    }
    let framing = fields.framing(is_old)?;
    fields.host(is_old)?;
    let class = match fields.is_ordinary(first, framing) && has_whole_ends(head) {
        true => None,
        false => classify(head),
    };
    let tier = class.map_or(RequestSafetyTier::Compliant, |class| class.tier);
    let most = match mode {
        DesyncMode::Monitor => RequestSafetyTier::Severe,
        DesyncMode::Defensive => RequestSafetyTier::Ambiguous,
        DesyncMode::Strictest => RequestSafetyTier::Compliant,
    };
    let doubtful = tier >= RequestSafetyTier::Ambiguous || fields.is_doubtful();
    if tier > most || (doubtful && mode == DesyncMode::Strictest) {
        return Err(400);
    }
    Ok(Admitted { framing, ambiguous: doubtful && mode != DesyncMode::Monitor, class })
}

/// Whether every line ends with CR and LF.
fn has_whole_ends(head: &[u8]) -> bool {
    head.split_inclusive(|byte| *byte == b'\n').all(|line| line.ends_with(b"\r\n"))
}

/// Whether a lax reader might take a name for one that tells the boundaries. `true` if in doubt.
pub fn is_alike(name: &[u8]) -> bool {
    let first = name.iter().find(|byte| byte.is_ascii_alphanumeric());
    name.len() >= b"contentlength".len() && first.is_some_and(|first| b"cCtT".contains(first))
}

/// Says whether it is HTTP/1.0.
fn request_line(line: &[u8]) -> Result<bool, Refused> {
    if line.len() > LINE {
        return Err(414);
    }
    let parts: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return Err(400) };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(400);
    }
    let is_old = is_old(version)?;
    if method == b"TRACE" || method == b"CONNECT" {
        return Err(405);
    }
    let plain = target.iter().all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#');
    let known = target.starts_with(b"/") || authority(target).is_some() || (target == b"*" && method == b"OPTIONS");
    if plain && known && is_uri(target) { Ok(is_old) } else { Err(400) }
}

/// Whether a target is a URI for the library that reads it, which takes fewer characters than AWS. Those that it always takes are not read twice.
fn is_uri(target: &[u8]) -> bool {
    let is_odd = |byte: &u8| matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
    (target.starts_with(b"/") && !target.iter().any(is_odd)) || http::Uri::try_from(target).is_ok()
}

fn is_old(version: &[u8]) -> Result<bool, Refused> {
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(505)
        }
        [b'H', b'T', b'T', b'P', b'/', major] if major.is_ascii_digit() => Err(505),
        _ => Err(400),
    }
}

/// The authority of a target in absolute form.
fn authority(target: &[u8]) -> Option<&[u8]> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })?;
    rest.split(|byte| matches!(byte, b'/' | b'?')).next()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What the headers say about the request's boundaries and its host.
#[derive(Default)]
struct Fields<'h> {
    target: &'h [u8],
    count: usize,
    hosts: Vec<&'h [u8]>,
    lengths: Vec<&'h [u8]>,
    encodings: Vec<&'h [u8]>,
    /// A name that is none of these, but may be taken for one.
    alike: bool,
}

impl<'h> Fields<'h> {
    fn take(&mut self, line: &'h [u8]) -> Result<(), Refused> {
        self.count += 1;
        if line.len() > LINE || self.count > HEADERS {
            return Err(400);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(400_u16)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is_plain = |byte: &u8| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f);
        if name.is_empty() || !name.iter().copied().all(is_token) || !line[colon + 1..].iter().all(is_plain) {
            return Err(400);
        }
        let list = match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => &mut self.hosts,
            14 if name.eq_ignore_ascii_case(b"content-length") => &mut self.lengths,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => &mut self.encodings,
            _ => {
                self.alike |= is_alike(name);
                return Ok(());
            }
        };
        list.push(value);
        Ok(())
    }

    fn framing(&self, is_old: bool) -> Result<Framing, Refused> {
        let lengths: Vec<u64> = self.lengths.iter().map(|text| length(text)).collect::<Result<_, _>>()?;
        if lengths.iter().any(|length| *length != lengths[0]) {
            return Err(400);
        }
        if self.encodings.is_empty() {
            return Ok(Framing::Length(lengths.first().copied().unwrap_or(0)));
        }
        let is_chunked = |text: &&[u8]| text.eq_ignore_ascii_case(b"chunked");
        match self.encodings[..] {
            _ if is_old => Err(400),
            [only] if is_chunked(&only) => Ok(Framing::Chunked),
            ref all if all.iter().flat_map(|text| text.split(|byte| *byte == b',')).all(looks_chunked) => Err(400),
            _ => Err(501),
        }
    }

    fn host(&self, is_old: bool) -> Result<(), Refused> {
        let host = match self.hosts[..] {
            [] if is_old => return Ok(()),
            [host] => host,
            _ => return Err(400),
        };
        let other = authority(self.target).is_some_and(|authority| !authority.eq_ignore_ascii_case(host));
        if is_host(host) && !other { Ok(()) } else { Err(400) }
    }

    /// Whether the library would find nothing to say, of a head that has passed the rules here and whose lines are whole:
    /// boundaries are told once, or not and need not be, and nothing looks as if it told them. Most requests are so, and
    /// need not be read twice.
    fn is_ordinary(&self, line: &[u8], framing: Framing) -> bool {
        let has_no_body = line.starts_with(b"GET ") || line.starts_with(b"HEAD ");
        !self.alike
            && match (self.lengths.len(), self.encodings.len()) {
                (0, 0) => true,
                (1, 0) => !has_no_body,
                (0, 1) => !has_no_body && framing == Framing::Chunked,
                _ => false,
            }
    }

    /// Boundaries that are told twice.
    fn is_doubtful(&self) -> bool {
        self.lengths.len() + self.encodings.len() > 1
    }
}

/// An element of a list that says, or all but says, `chunked`; an empty one does, too.
fn looks_chunked(text: &[u8]) -> bool {
    let bare: Vec<u8> = text.iter().filter(|byte| byte.is_ascii_alphabetic()).copied().collect();
    bare.is_empty() || bare.eq_ignore_ascii_case(b"chunked")
}

/// A length of digits.
///
/// # Errors
/// 400 for anything else.
pub fn length(text: &[u8]) -> Result<u64, Refused> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    number.ok_or(400)
}

/// Whether it is a name or address with or without a port.
pub fn is_host(host: &[u8]) -> bool {
    let (name, port) = split_port(host);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%[]:".contains(byte);
    let is_port = |port: &[u8]| {
        let number = std::str::from_utf8(port).ok().and_then(|text| text.parse::<u16>().ok());
        port.iter().all(u8::is_ascii_digit) && number.is_some_and(|number| number > 0)
    };
    let bracketed = name.starts_with(b"[") && name.ends_with(b"]");
    let colons = name.contains(&b':');
    !name.is_empty() && name.iter().all(is_plain) && (bracketed || !colons) && port.is_none_or(is_port)
}

/// A host without its port, and the port.
pub fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = if host.starts_with(b"[") { host.iter().position(|byte| *byte == b']').unwrap_or(0) } else { 0 };
    match host[from..].iter().position(|byte| *byte == b':') {
        Some(colon) => (&host[..from + colon], Some(&host[from + colon + 1..])),
        None => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Vec<u8> {
        format!("{}\r\n\r\n", text.replace('\n', "\r\n")).into_bytes()
    }

    /// The body's boundaries, and whether they are doubtful.
    type Judged = Result<(Framing, bool), Refused>;

    fn judged(head: &[u8], mode: DesyncMode) -> Judged {
        judge(head, mode).map(|admitted| (admitted.framing, admitted.ambiguous))
    }

    fn defensive(text: &str) -> Judged {
        judged(&head(text), DesyncMode::Defensive)
    }

    fn plain(framing: Framing) -> Judged {
        Ok((framing, false))
    }

    fn doubtful(framing: Framing) -> Judged {
        Ok((framing, true))
    }

    #[test]
    fn lengths_and_codings_are_of_one_mind_or_refused() {
        let none = Framing::Length(0);
        let cases = [
            ("", plain(none)),
            ("Content-Length: 5", plain(Framing::Length(5))),
            ("Content-Length: ", Err(400)),
            ("Content-Length: +5", Err(400)),
            ("Content-Length: -1", Err(400)),
            ("Content-Length: 0x5", Err(400)),
            ("Content-Length: 5,5", Err(400)),
            ("Content-Length: 5, 6", Err(400)),
            ("Content-Length: 18446744073709551616", Err(400)),
            ("Content-Length: 5\nContent-Length: 6", Err(400)),
            ("Content-Length: 5\nContent-Length: 5", doubtful(Framing::Length(5))),
            ("Content-Length: 5\nTransfer-Encoding: chunked", doubtful(Framing::Chunked)),
            ("Transfer-Encoding: chunked", plain(Framing::Chunked)),
            ("Transfer-Encoding: CHUNKED", plain(Framing::Chunked)),
            ("Transfer-Encoding: ,chunked", Err(400)),
            ("Transfer-Encoding: chunked, chunked", Err(400)),
            ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", Err(400)),
            ("Transfer-Encoding: \"chunked\"", Err(400)),
            ("Transfer-Encoding: gzip, chunked", Err(501)),
            ("Transfer-Encoding: identity", Err(501)),
            ("Transfer-Encoding: x chunked", Err(501)),
            ("Transfer-Encoding: chunked;q=1", Err(501)),
            ("Transfer_Encoding: chunked", doubtful(none)),
            ("Transfer-Encoding : chunked", Err(400)),
            ("Transfer-Encoding:\n chunked", Err(400)),
        ];
        for (headers, expected) in cases {
            let text = format!("POST / HTTP/1.1\nHost: a\n{headers}");
            assert_eq!(defensive(text.trim_end_matches('\n')), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_coding_is_nothing_for_http_1_0_and_doubtful_on_get() {
        assert_eq!(defensive("POST / HTTP/1.0\nTransfer-Encoding: chunked"), Err(400));
        assert_eq!(defensive("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked"), doubtful(Framing::Chunked));
        assert_eq!(defensive("GET / HTTP/1.1\nHost: a\nContent-Length: 0"), plain(Framing::Length(0)));
        assert_eq!(defensive("GET / HTTP/1.1\nHost: a\nContent-Length: 3"), doubtful(Framing::Length(3)));
    }

    #[test]
    fn request_lines_are_of_three_parts() {
        let fine = plain(Framing::Length(0));
        let long = format!("/{}", "a".repeat(LINE));
        let cases = [
            ("GET / HTTP/1.1", fine),
            ("OPTIONS * HTTP/1.1", fine),
            ("GET http://a/b HTTP/1.1", fine),
            ("GET http://b/ HTTP/1.1", Err(400)),
            ("GET http://a@b/ HTTP/1.1", Err(400)),
            ("GET * HTTP/1.1", Err(400)),
            ("GET a HTTP/1.1", Err(400)),
            ("GET  / HTTP/1.1", Err(400)),
            ("GET\t/ HTTP/1.1", Err(400)),
            ("GET / a HTTP/1.1", Err(400)),
            ("GET /#a HTTP/1.1", Err(400)),
            ("GET /\u{e9} HTTP/1.1", Err(400)),
            ("GET /", Err(400)),
            ("GET / HTTP/1.10", Err(400)),
            ("GET / http/1.1", Err(400)),
            ("GET / HTTP/2.0", Err(505)),
            ("GET / HTTP/0.9", Err(505)),
            ("GET / HTTP/2", Err(505)),
            ("TRACE / HTTP/1.1", Err(405)),
            ("CONNECT a:443 HTTP/1.1", Err(405)),
            ("G(T / HTTP/1.1", Err(400)),
            (&format!("GET {long} HTTP/1.1"), Err(414)),
        ];
        for (line, expected) in cases {
            assert_eq!(defensive(&format!("{line}\nHost: a")), expected, "{line:?}");
        }
    }

    #[test]
    fn a_target_that_is_taken_reads_as_one() {
        for byte in 0x21..0x7f_u8 {
            for target in [format!("/{}", char::from(byte)), format!("/?{}", char::from(byte))] {
                let reads = http::Uri::try_from(target.as_str()).is_ok() && byte != b'#';
                assert_eq!(defensive(&format!("GET {target} HTTP/1.1\nHost: a")).is_ok(), reads, "{target}");
            }
        }
    }

    #[test]
    fn headers_have_a_name_a_colon_and_plain_values() {
        let fine = plain(Framing::Length(0));
        let cases: &[(&str, Judged)] = &[
            ("A: b", fine),
            ("A:b\tc", fine),
            ("A b: c", Err(400)),
            ("A : c", Err(400)),
            (": c", Err(400)),
            ("A", Err(400)),
            ("A: b\n c: d", Err(400)),
            ("A: b\n\tc: d", Err(400)),
            ("A: \0", Err(400)),
            ("A\0: b", Err(400)),
            ("A: b\rc: d", Err(400)),
            ("\u{e9}: b", Err(400)),
        ];
        for (header, expected) in cases {
            assert_eq!(defensive(&format!("GET / HTTP/1.1\nHost: a\n{header}")), *expected, "{header:?}");
        }
        let long = format!("GET / HTTP/1.1\nHost: a\nB: {}", "b".repeat(LINE));
        assert_eq!(defensive(&long), Err(400));
        let many = format!("GET / HTTP/1.1\nHost: a{}", "\nb: c".repeat(HEADERS));
        assert_eq!(defensive(&many), Err(400));
    }

    #[test]
    fn a_request_has_one_host() {
        let hosts = |lines: &str| defensive(format!("GET / HTTP/1.1\n{lines}").trim_end()).is_ok();
        for good in ["Host: a", "Host: a.b-c:80", "Host: 127.0.0.1:8080", "Host: [::1]", "Host: [::1]:80"] {
            assert!(hosts(good), "{good}");
        }
        let bad = [
            "",
            "Host:",
            "Host: a\nHost: a",
            "Host: a,b",
            "Host: a:0",
            "Host: a:65536",
            "Host: a:+8",
            "Host: u@a",
            "Host: a b",
            "Host: a/b",
            "Host: ::1",
            "Host: a:",
        ];
        for bad in bad {
            assert!(!hosts(bad), "{bad}");
        }
        assert!(defensive("GET / HTTP/1.0").is_ok());
    }

    #[test]
    fn the_mode_says_what_becomes_of_doubtful_requests() {
        let doubtful = head("POST / HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked");
        assert_eq!(judged(&doubtful, DesyncMode::Monitor), plain(Framing::Chunked));
        assert_eq!(judged(&doubtful, DesyncMode::Strictest), Err(400));
        let odd = head("GET / HTTP/1.1\nHost: a\nContent-Length: 0");
        assert_eq!(judged(&odd, DesyncMode::Defensive), plain(Framing::Length(0)));
        assert_eq!(judged(&odd, DesyncMode::Strictest), Err(400));
    }

    /// Heads of parts that are good, odd or bad.
    fn some_head() -> impl Strategy<Value = Vec<u8>> {
        let line = proptest::sample::select(vec![
            "GET / HTTP/1.1",
            "HEAD / HTTP/1.1",
            "POST / HTTP/1.1",
            "POST / HTTP/1.0",
            "GET / HTTP/1.0",
            "PUT /a?b HTTP/1.1",
        ]);
        let header = prop_oneof![
            proptest::sample::select(vec![
                "Content-Length: 5",
                "content-length:0",
                "Content-Length: 5 ",
                "Transfer-Encoding: chunked",
                "transfer-encoding:\tCHUNKED ",
                "Content_Length: 5",
                "Transfer.Encoding: chunked",
                "a: b",
                "User-Agent: c/1",
                "X-Content-Length: 5",
                "-Transfer-Encoding: x",
                "Content-Length-: 1",
                "ContentLength: 1",
                "Contentlength: 1",
                "!content!length!: 1",
                "_transfer_encoding_: y",
                "content-encoding: gzip",
                "Accept: */*",
            ])
            .prop_map(str::to_owned),
            "[CcTt!_-]{0,3}[a-z_!-]{1,20}: ?[ -~]{0,8}",
        ];
        let end = prop_oneof![20 => Just("\r\n"), 1 => Just("\n")];
        let lines = proptest::collection::vec((header, end.clone()), 0..5);
        (line, end.clone(), lines, end).prop_map(|(line, first, lines, last)| {
            let headers: String = lines.into_iter().map(|(header, end)| header + end).collect();
            format!("{line}{first}Host: a\r\n{headers}{last}").into_bytes()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn what_is_not_shown_to_the_library_is_compliant_to_it(head in some_head()) {
            let tier = HttpRequestData::analyze_raw_request(&head).tier;
            if let Ok(admitted) = judge(&head, DesyncMode::Strictest) {
                prop_assert_eq!((tier, admitted.ambiguous), (RequestSafetyTier::Compliant, false));
            }
            if let Ok(admitted) = judge(&head, DesyncMode::Defensive) {
                prop_assert!(admitted.ambiguous || tier < RequestSafetyTier::Ambiguous);
            }
        }
    }
}
