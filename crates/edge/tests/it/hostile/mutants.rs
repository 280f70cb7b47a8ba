//! Streams of requests in which anything may be anything, cut anywhere: a target is sent the requests that a reader of its
//! own finds in them, with their bodies, in their order, and nothing else.
//!
//! That reader ([`Documented`]) knows what the edge says that it takes: bare LF, some empty lines, lengths told twice. Where
//! the edge may refuse a request or end the connection after it, a request is `doubtful`; its boundaries never are.
//! `LONGSHORE_FUZZ_SECONDS` makes it longer.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use longshore_edge::Edge;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{RngSeed, TestError, TestRunner};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::reader::{self, token};
use super::script::{self, Say, Script, statuses};
use crate::support::{PATIENCE, ok};

/// Streams that there are at least, and how many one edge and one target see.
const STREAMS: u32 = 2000;
const TOGETHER: u32 = 50;

/// What a request begins with, what comes after that, and what it may end with.
const LINES: &[&str] = &[
    "GET /a HTTP/1.1\r\nHost: a\r\n",
    "POST /b HTTP/1.1\r\nHost: a\r\n",
    "PUT /c?d HTTP/1.1\r\nHost: a\r\n",
    "POST /e HTTP/1.0\r\n",
    "DELETE http://a/f HTTP/1.1\nHost: a\n",
    "\r\nPATCH /g HTTP/1.1\r\nHost: a\r\n",
];

const HEADERS: &[&str] = &[
    "X-A: b\r\n",
    "X-A:\tb c \r\n",
    "X-B: b\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer_Encoding: chunked\r\n",
    " folded\r\n",
];

const ENDS: &[&str] = &[
    "\r\n",
    "\n",
    "Content-Length: 5\r\n\r\nhello",
    "Content-Length: 36\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n22\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: a\r\n\r\n",
    "\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "hello",
];

/// What a byte may become, or what may be put between two.
const BYTES: &[u8] = b"\r\n\0\t :,;+-_x015aA/\x0b\x7f\x80\xff";

#[derive(Clone, Copy, Debug)]
enum Change {
    Put(u8),
    Replace(u8),
    Drop,
}

impl Change {
    fn carry_out(self, bytes: &mut Vec<u8>, at: Index, is_edge: bool) {
        // Beside what ends a line or a name is where readers differ.
        let edges = (0..bytes.len()).filter(|at| matches!(bytes[*at], b'\r' | b'\n' | b':' | b' '));
        let edges: Vec<usize> = edges.flat_map(|at| [at, at + 1]).filter(|at| *at < bytes.len()).collect();
        let at = if is_edge && !edges.is_empty() { edges[at.index(edges.len())] } else { at.index(bytes.len()) };
        match self {
            Self::Put(byte) => bytes.insert(at, byte),
            Self::Replace(byte) => bytes[at] = byte,
            Self::Drop => drop(bytes.remove(at)),
        }
    }
}

fn change() -> impl Strategy<Value = (Change, Index, bool)> {
    let byte = || select(BYTES);
    let change = prop_oneof![byte().prop_map(Change::Put), byte().prop_map(Change::Replace), Just(Change::Drop)];
    (change, any::<Index>(), any::<bool>())
}

/// A stream, and where it is cut.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<Index>)> {
    let few = prop_oneof![3 => Just(0_usize), 1 => 1..3_usize].prop_flat_map(|count| vec(select(HEADERS), count));
    let request =
        (select(LINES), few, select(ENDS)).prop_map(|(line, headers, end)| [line, &headers.concat(), end].concat());
    let requests = vec(request, 1..5).prop_map(|requests| requests.concat().into_bytes());
    (requests, vec(change(), 0..3), vec(any::<Index>(), 0..4)).prop_map(|(mut bytes, changes, cuts)| {
        for (change, at, is_edge) in changes {
            if bytes.len() > 1 {
                change.carry_out(&mut bytes, at, is_edge);
            }
        }
        (bytes, cuts)
    })
}

/// A request as it should reach the target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// What the edge is to make of a stream.
#[derive(Debug, Default)]
struct Documented {
    wanted: Vec<Wanted>,
    /// Of each, whether the edge may refuse it, or end the connection after it.
    doubtful: Vec<bool>,
    /// Nothing is read after the last one.
    ended: bool,
}

/// A head, as far as its boundaries go.
#[derive(Default)]
struct Head {
    method: String,
    target: String,
    old: bool,
    fields: Vec<(String, String)>,
}

impl Documented {
    fn of(mut rest: &[u8]) -> Self {
        let mut read = Self::default();
        while let Some((head, body)) = whole_head(rest) {
            let head = head.and_then(Head::of);
            let Some((head, bounds)) = head.and_then(|head| head.bounds().map(|bounds| (head, bounds))) else {
                read.ended = true;
                break;
            };
            let Some((body, trailers, after)) = bounds.read(body) else { break };
            let Some(target) = head.asked() else {
                read.ended = true;
                break;
            };
            let last = head.all("connection") == ["close"];
            read.doubtful.push(trailers || head.is_doubtful());
            read.wanted.push(Wanted { method: head.method, target, body });
            if last {
                read.ended = true;
                break;
            }
            rest = after;
        }
        read
    }

    /// Whether what has reached the target is what should: all of it, or all before a doubtful request or up to it.
    fn allows(&self, count: usize) -> bool {
        let doubtful = |at: usize| self.doubtful.get(at).copied().unwrap_or(false);
        count == self.wanted.len() || doubtful(count) || (count > 0 && doubtful(count - 1))
    }
}

type Lines<'b> = Vec<&'b [u8]>;

/// The lines of a head, and what follows it. `None` if there is no whole one; no lines if empty ones are too many.
fn whole_head(mut rest: &[u8]) -> Option<(Option<Lines<'_>>, &[u8])> {
    let (mut lines, mut empty) = (Vec::new(), 0);
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = &rest[end + 1..];
        match (line.is_empty(), lines.is_empty()) {
            (false, _) => lines.push(line),
            (true, false) => return Some((Some(lines), rest)),
            (true, true) if empty < 4 => empty += 1,
            (true, true) => return Some((None, rest)),
        }
    }
}

impl Head {
    fn of(lines: Lines<'_>) -> Option<Self> {
        let mut texts = lines.iter().map(|line| line.iter().map(|byte| char::from(*byte)).collect::<String>());
        let first = texts.next()?;
        let [method, target, version] = first.split(' ').collect::<Vec<_>>()[..] else { return None };
        let known = !method.is_empty() && method.bytes().all(token) && !["TRACE", "CONNECT"].contains(&method);
        let printable = target.chars().all(|char| char.is_ascii_graphic() && char != '#');
        if !known || !printable || !["HTTP/1.1", "HTTP/1.0"].contains(&version) {
            return None;
        }
        let mut fields = Vec::new();
        for text in texts {
            let (name, value) = text.split_once(':')?;
            let plain = value.chars().all(|char| char == '\t' || (char >= ' ' && char != '\x7f'));
            if name.is_empty() || !name.chars().all(|char| char.is_ascii() && token(char as u8)) || !plain {
                return None;
            }
            fields.push((name.to_lowercase(), value.trim_matches(|char| matches!(char, ' ' | '\t')).to_owned()));
        }
        Some(Self { method: method.into(), target: target.into(), old: version == "HTTP/1.0", fields })
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    fn bounds(&self) -> Option<Bounds> {
        let digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let lengths: Option<Vec<u64>> =
            self.all("content-length").iter().map(|text| Some(*text).filter(digits)?.parse().ok()).collect();
        let lengths = lengths.filter(|all| all.iter().all(|length| *length == all[0]))?;
        match self.all("transfer-encoding").as_slice() {
            [] => Some(Bounds::Length(lengths.first().copied().unwrap_or(0))),
            [only] if only.eq_ignore_ascii_case("chunked") && !self.old => Some(Bounds::Chunks),
            _ => None,
        }
    }

    /// The path that the target is asked for, if the request has one host and asks for it.
    fn asked(&self) -> Option<String> {
        match self.all("host").as_slice() {
            [] if self.old => {}
            [host] if !host.is_empty() => {}
            _ => return None,
        }
        let lower = self.target.to_lowercase();
        let rest = ["http://", "https://"].iter().find_map(|scheme| lower.strip_prefix(scheme));
        match rest {
            None if self.target.starts_with('/') => Some(self.target.clone()),
            None => None,
            Some(rest) => {
                let path = rest.find(['/', '?']).map_or("", |at| &self.target[self.target.len() - rest.len() + at..]);
                let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
                Some(path)
            }
        }
    }

    /// Broader than what the edge doubts: also what this reader leaves to others, such as which characters a host has.
    fn is_doubtful(&self) -> bool {
        let told = self.all("content-length").len() + self.all("transfer-encoding").len();
        let letters = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        let alike = |(name, _): &(String, String)| {
            let bare = letters(name);
            let close = bare.contains("length")
                || bare.contains("encoding")
                || bare.contains("contentl")
                || bare.contains("transfere");
            close && name != "content-length" && name != "transfer-encoding"
        };
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/?=.-".contains(&byte));
        let connection = !matches!(self.all("connection").as_slice(), [] | ["close" | "keep-alive"]);
        let get = ["get", "head"].contains(&self.method.to_lowercase().as_str());
        let odd =
            !plain(&self.target) || !self.all("host").iter().all(|host| plain(host) && !host.contains(['/', '?', '=']));
        told > 1 || (get && told > 0) || self.fields.iter().any(alike) || connection || self.old || odd
    }
}

enum Bounds {
    Length(u64),
    Chunks,
}

impl Bounds {
    /// The body, whether trailers came with it, and what follows; `None` if it is not whole, or has a fault.
    fn read<'b>(&self, rest: &'b [u8]) -> Option<(Vec<u8>, bool, &'b [u8])> {
        match self {
            Self::Length(length) => {
                let (body, after) = rest.split_at_checked(usize::try_from(*length).ok()?)?;
                Some((body.to_vec(), false, after))
            }
            Self::Chunks => chunks(rest),
        }
    }
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, bool, &[u8])> {
    let mut body = Vec::new();
    loop {
        let (line, after) = strict_line(rest)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let digits = (1..=15).contains(&size.len()) && size.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(size).ok().filter(|_| digits)?;
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = after;
        if size == 0 {
            break;
        }
        let (data, after) = rest.split_at_checked(size)?;
        body.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n")?;
    }
    let mut trailers = false;
    loop {
        let (line, after) = strict_line(rest)?;
        rest = after;
        if line.is_empty() {
            return Some((body, trailers, rest));
        }
        trailers = true;
        line.first().filter(|byte| byte.is_ascii_alphanumeric())?;
    }
}

/// A line up to CR and LF, of text.
fn strict_line(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    let text = rest[..end].iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
    text.then_some((&rest[..end], &rest[end + 2..]))
}

/// An edge and its target, and what the target has heard so far.
struct Range {
    runtime: Runtime,
    _edge: Edge,
    to: SocketAddr,
    target: Script,
    heard: Vec<usize>,
}

impl Range {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (target, edge, to) = runtime.block_on(async {
            // Each request is answered with what it asked for.
            let target = Script::start(|turn| {
                let requests = reader::read(turn.came).requests;
                requests.get(turn.said).map(|request| Say::open(&ok(&format!("[{}]", request.target))))
            });
            let target = target.await;
            let (edge, to) = script::balance(&target).await;
            (target, edge, to)
        });
        Self { runtime, _edge: edge, to, target, heard: Vec::new() }
    }

    /// Requests that the target has heard since it was asked last.
    fn fresh(&mut self) -> Vec<Wanted> {
        let all = self.target.requests();
        let mut fresh = Vec::new();
        for (place, requests) in all.into_iter().enumerate() {
            let before = self.heard.get(place).copied().unwrap_or(0);
            if place == self.heard.len() {
                self.heard.push(0);
            }
            self.heard[place] = requests.len();
            let wanted = |request: reader::Request| Wanted {
                method: request.method,
                target: request.target,
                body: request.body,
            };
            fresh.extend(requests.into_iter().skip(before).map(wanted));
        }
        fresh
    }

    /// Sends a stream in its pieces, and checks what came of it.
    fn check(&mut self, bytes: &[u8], cuts: &[Index]) -> Result<(), TestCaseError> {
        let documented = Documented::of(bytes);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.sort_unstable();
        let answers = self.runtime.block_on(converse(self.to, bytes, &places, &documented));
        let mut fresh = self.fresh();
        let codes = statuses(&answers);
        let count = codes.iter().take_while(|code| **code == "200").count();
        let shown = || format!("{}\n{documented:?}\n{fresh:?}\n{answers}", bytes.escape_ascii());
        prop_assert!(fresh.len() == count && documented.allows(count), "{}", shown());
        prop_assert!(codes.len() - count <= 1, "{}", shown());
        let order: Vec<String> =
            documented.wanted[..count].iter().map(|wanted| format!("[{}]", wanted.target)).collect();
        let told: Vec<&str> = answers.split("\r\n\r\n").skip(1).take(count).collect();
        prop_assert!(order.iter().zip(&told).all(|(order, told)| told.starts_with(order.as_str())), "{}", shown());
        let mut wanted = documented.wanted[..count].to_vec();
        wanted.sort();
        fresh.sort();
        prop_assert_eq!(&fresh, &wanted, "{}", bytes.escape_ascii());
        Ok(())
    }
}

/// Sends pieces, waits for the answers that there are to be, and ends.
async fn converse(to: SocketAddr, bytes: &[u8], cuts: &[usize], documented: &Documented) -> String {
    let mut client = TcpStream::connect(to).await.expect("a connection");
    client.set_nodelay(true).expect("no delay");
    let mut from = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        // The edge may close before it has read all.
        let _ = client.write_all(&bytes[from..cut]).await;
        from = cut;
        tokio::task::yield_now().await;
    }
    let mut answers = Vec::new();
    let read = async {
        let is_due = |answers: &[u8]| statuses(&String::from_utf8_lossy(answers)).len() < documented.wanted.len();
        while documented.ended || is_due(&answers) {
            if client.read_buf(&mut answers).await.expect("no reset") == 0 {
                return;
            }
        }
        let _ = client.shutdown().await;
        client.read_to_end(&mut answers).await.expect("no reset");
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| panic!("no end: {} {documented:?}", bytes.escape_ascii()));
    answers.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn a_target_is_sent_the_requests_of_a_stream_and_nothing_else() {
    let seconds = std::env::var("LONGSHORE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let began = Instant::now();
    let usual = ProptestConfig::default();
    let seed = match usual.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs() << 20),
    };
    let (mut round, mut reached) = (0, 0);
    while round < STREAMS / TOGETHER || began.elapsed() < Duration::from_secs(seconds) {
        round += 1;
        let rng_seed = RngSeed::Fixed(seed + u64::from(round));
        let config = ProptestConfig { cases: TOGETHER, failure_persistence: None, rng_seed, ..usual.clone() };
        let range = RefCell::new(Range::new());
        match TestRunner::new(config).run(&stream(), |(bytes, cuts)| range.borrow_mut().check(&bytes, &cuts)) {
            Ok(()) => reached += range.borrow().heard.iter().sum::<usize>(),
            Err(TestError::Fail(why, (bytes, _))) => panic!("b\"{}\": {why}", bytes.escape_ascii()),
            Err(error) => panic!("{error}"),
        }
    }
    println!("{} streams, {reached} requests", round * TOGETHER);
    // Else too little of what is drawn is any good.
    assert!(reached > (round * TOGETHER / 2) as usize, "{reached} of {} streams", round * TOGETHER);
}

#[test]
fn the_reader_of_what_is_documented_finds_what_is_there() {
    let read = |text: &str| {
        let read = Documented::of(text.as_bytes());
        let targets: Vec<String> = read.wanted.into_iter().map(|wanted| wanted.target).collect();
        (targets.join(" "), read.doubtful.iter().any(|doubtful| *doubtful), read.ended)
    };
    let whole = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunks = "POST /b HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n5;x\r\nhello\r\n0\r\n\r\n";
    let cases = [
        (whole.repeat(2), "/a /a", false, false),
        (format!("\r\n\n{chunks}{whole}"), "/b /a", false, false),
        (format!("{whole}x{whole}"), "/a /a", false, false),
        (format!("{chunks} {whole}"), "/b", false, true),
        (format!("{whole}\n\n\n\n\n"), "/a", false, true),
        (whole[..whole.len() - 1].to_owned(), "", false, false),
        ("GET http://a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "/?b", true, true),
    ];
    for (text, targets, doubtful, ended) in cases {
        assert_eq!(read(&text), (targets.to_owned(), doubtful, ended), "{text:?}");
    }
}
