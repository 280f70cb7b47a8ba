//! The door that all balancers of this machine share: one address, at which the name in a client's first bytes says whose
//! listener of that port is meant. So `http://NAME-id.REGION.elb.localhost/` leads to the balancer although every name below
//! `localhost` stands for one address.
//!
//! ```text
//!   client ──► 127.0.0.1:80 ──► Host: web-1.us-east-1.elb.localhost ──► the front of web's own 127.64.x.y:80
//!              127.0.0.1:443 ─► server name of the ClientHello ───────► likewise
//! ```
//! A port that one listener alone has needs no name: all its clients are that one's. A connection belongs to the balancer that its
//! first bytes name, and to one of its zones, which take turns ([`zone`]); a request of it that names another balancer is answered
//! with 421, so that a client that takes connections to one address for one server's ([RFC 9113], section 9.1.1) is served by
//! no other balancer's rules. It has nothing of its own: it shares the fronts of the sites, and their shares of the connections
//! once it has been led there.
//!
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, Cursor};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arc_swap::ArcSwap;
use longshore_link::edge::Balancer;
use tokio::io::{AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::rustls::server::Acceptor;

use crate::choose;
use crate::http::head;
use crate::listen::{self, Entry, Serve};
use crate::slots::{Slot, Slots};
use crate::zone;

/// For a client to say whom it means.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes in which a client says it.
const LOOKED_AT: usize = 16 * 1024;

/// Between the first two looks at what a client has sent so far, and at most. Each time is twice the last.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const AT_MOST: Duration = Duration::from_millis(320);

/// The first byte of a ClientHello's record.
const HANDSHAKE: u8 = 0x16;

const UNKNOWN: &[u8] = b"HTTP/1.1 404 Not Found\r\nServer: awselb/2.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 83\r\nConnection: close\r\n\r\n\
    Several load balancers listen on this port, and none of them has the host's name.\r\n";

/// The listeners of one port, by the names of their balancers in small letters.
pub type Entries = BTreeMap<String, Ways>;

/// The ways into a listener, one a zone.
#[derive(Debug)]
pub struct Ways {
    zones: Vec<Entry>,
    turn: AtomicUsize,
}

impl Ways {
    /// `None` without zones.
    pub fn new(zones: Vec<Entry>) -> Option<Self> {
        (!zones.is_empty()).then(|| Self { zones, turn: AtomicUsize::new(0) })
    }

    /// The way of the next client. Where clients stay with their targets by their addresses, they stay in their zones.
    fn next(&self, client: SocketAddr) -> Option<Entry> {
        let best = zone::best(&self.zones, Entry::well);
        let turn = match self.zones.first()?.client_hash(client) {
            Some(hash) => choose::within(hash, best.len()),
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        best.get(turn.checked_rem(best.len())?).map(|entry| Entry::clone(entry))
    }
}

/// Whether a door at this address leads to a balancer: to an internal one only if no other machine reaches the door.
pub fn leads_to(door: IpAddr, balancer: &Balancer) -> bool {
    !balancer.internal || door.to_canonical().is_loopback()
}

/// The socket of one port. Dropping it closes it; its connections go on as those of the listeners that they were led to.
#[derive(Debug)]
pub struct Door {
    entries: Arc<ArcSwap<Entries>>,
    stop: watch::Sender<bool>,
}

impl Door {
    /// Listens on `address`. `slots` are the connections that all sites have together.
    ///
    /// # Errors
    /// Those of binding the socket.
    pub async fn open(address: SocketAddr, entries: Entries, slots: &Slots) -> io::Result<Self> {
        let entries = Arc::new(ArcSwap::from_pointee(entries));
        let stop = watch::Sender::new(false);
        listen::listen(address, Guide(entries.clone()), slots, stop.subscribe()).await?;
        Ok(Self { entries, stop })
    }

    /// Where the next client is led.
    pub fn swap(&self, entries: Entries) {
        self.entries.store(Arc::new(entries));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Leads a client to the listener that it means.
#[derive(Clone)]
struct Guide(Arc<ArcSwap<Entries>>);

impl Serve for Guide {
    async fn serve(self, stream: TcpStream, client: SocketAddr, slot: Slot) {
        let entries = self.0.load_full();
        let found = match only(&entries) {
            Some(only) => Some(only),
            None => match tokio::time::timeout(PATIENCE, named(&stream)).await {
                Ok(Ok(Name::Is(name))) => entries.get_key_value(&name),
                _ => return,
            },
        };
        let Some((name, ways)) = found else { return refuse(stream).await };
        let Some(mut entry) = ways.next(client) else { return };
        // It is that listener's from now on.
        drop(slot);
        let Some(slot) = entry.share.take() else { return entry.reject(stream) };
        entry.others = Some(Others { own: name.clone(), entries: self.0.clone() });
        entry.serve(stream, client, slot).await;
    }

    fn reject(&self, stream: TcpStream) {
        match only(&self.0.load()).and_then(|(_, only)| only.zones.first()) {
            Some(only) => only.reject(stream),
            // Whose it is nobody knows.
            None => listen::reset(&stream),
        }
    }
}

/// The listener that has the port alone.
fn only(entries: &Entries) -> Option<(&String, &Ways)> {
    entries.iter().next().filter(|_| entries.len() == 1)
}

/// The names of the other balancers that a door leads to.
#[derive(Clone, Debug)]
pub struct Others {
    entries: Arc<ArcSwap<Entries>>,
    own: String,
}

impl Others {
    /// Whether this host is one of them.
    pub fn have(&self, host: &str) -> bool {
        !host.eq_ignore_ascii_case(&self.own) && self.entries.load().contains_key(&host.to_ascii_lowercase())
    }
}

/// What a client calls the balancer.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Is(String),
    /// What it says names nobody, and is not for an answer by HTTP.
    None,
}

async fn refuse(mut stream: TcpStream) {
    let _ = stream.write_all(UNKNOWN).await;
    let _ = stream.shutdown().await;
}

thread_local! {
    /// What is looked at, so that a client that says little holds no room for it.
    static SEEN: RefCell<Box<[u8]>> = RefCell::new(vec![0; LOOKED_AT].into_boxed_slice());
}

/// Looks at what a client sends and takes nothing of it.
async fn named(stream: &TcpStream) -> io::Result<Name> {
    let (mut before, mut pauses) = (0, pauses());
    loop {
        let (length, name) = poll_fn(|cx| poll_look(stream, before, cx)).await?;
        match name {
            Some(name) => return Ok(name),
            None if length == 0 || length == LOOKED_AT => return Ok(Name::None),
            None => tokio::time::sleep(pauses.next().unwrap_or(AT_MOST)).await,
        }
        before = length;
    }
}

/// How much a client has sent, and the name in it if there is more than `before`.
fn poll_look(stream: &TcpStream, before: usize, cx: &mut Context<'_>) -> Poll<io::Result<(usize, Option<Name>)>> {
    SEEN.with_borrow_mut(|seen| {
        let mut seen = ReadBuf::new(seen);
        let length = ready!(stream.poll_peek(cx, &mut seen))?;
        let name = if length > before { read(seen.filled()) } else { None };
        Poll::Ready(Ok((length, name)))
    })
}

/// Between looks.
fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(LOOK_AGAIN), |last| Some((*last * 2).min(AT_MOST)))
}

/// The name in what came so far; `None` while it is not there.
fn read(sent: &[u8]) -> Option<Name> {
    if sent.first() == Some(&HANDSHAKE) { of_hello(sent) } else { of_head(sent) }
}

/// The server name of a ClientHello; `None` while it is not whole.
fn of_hello(sent: &[u8]) -> Option<Name> {
    let mut acceptor = Acceptor::default();
    let mut sent = Cursor::new(sent);
    while acceptor.read_tls(&mut sent).is_ok_and(|read| read > 0) {}
    match acceptor.accept() {
        Ok(accepted) => {
            let name = accepted?.client_hello().server_name().map(str::to_ascii_lowercase);
            Some(name.map_or(Name::None, Name::Is))
        }
        Err(_) => Some(Name::None),
    }
}

/// The host of a request's head, without its port; `None` while it has not come.
fn of_head(sent: &[u8]) -> Option<Name> {
    let text = String::from_utf8_lossy(sent);
    let (lines, whole) = match text.split_once("\r\n\r\n") {
        Some((lines, _)) => (lines, true),
        None => (text.rsplit_once("\r\n").map_or("", |(lines, _)| lines), false),
    };
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_ascii_lowercase())
    };
    let host = lines.lines().skip(1).find_map(field);
    let bare = |host: String| String::from_utf8_lossy(head::split_port(host.as_bytes()).0).into_owned();
    match host {
        Some(host) => Some(Name::Is(bare(host))),
        None => whole.then_some(Name::None),
    }
}

#[cfg(test)]
mod tests {
    use longshore_link::edge::BalancerKind;

    use super::*;

    #[test]
    fn an_internal_balancer_is_behind_doors_of_this_machine_alone() {
        let mut balancer = Balancer::new("b", BalancerKind::Application);
        for (door, expected) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("192.0.2.1", false),
            ("10.0.0.1", false),
        ] {
            let door: IpAddr = door.parse().expect("an address");
            balancer.internal = true;
            assert_eq!(leads_to(door, &balancer), expected, "{door}");
            balancer.internal = false;
            assert!(leads_to(door, &balancer), "{door}");
        }
    }

    #[test]
    fn a_host_is_read_as_soon_as_its_line_is_there() {
        let is = |name: &str| Some(Name::Is(name.to_owned()));
        for (sent, expected) in [
            ("", None),
            ("GET / HTTP/1.1\r\nHost: a.localhost", None),
            ("GET / HTTP/1.1\r\nHost: A.localhost:80\r\n", is("a.localhost")),
            ("GET / HTTP/1.1\r\nx: y\r\nhOST:a\r\nZ: w", is("a")),
            ("GET / HTTP/1.1\r\nx: host: b\r\n\r\nHost: c\r\n", Some(Name::None)),
            ("GET http://host:c/ HTTP/1.0\r\n\r\n", Some(Name::None)),
        ] {
            assert_eq!(of_head(sent.as_bytes()), expected, "{sent:?}");
        }
    }

    #[test]
    fn looks_become_rare() {
        let millis: Vec<u128> = pauses().take(9).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [5, 10, 20, 40, 80, 160, 320, 320, 320]);
    }

    #[test]
    fn what_is_no_handshake_names_nobody() {
        assert_eq!(of_hello(b"\x16\x03\x01\x00\x05hello"), Some(Name::None));
        assert_eq!(of_hello(b"\x16\x03\x01\x02"), None);
    }

    #[test]
    fn the_answer_to_strangers_has_the_length_that_it_says() {
        let text = std::str::from_utf8(UNKNOWN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
