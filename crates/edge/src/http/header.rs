//! Headers on their way to a target and back. Pure.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use longshore_link::edge::{Attributes, ForwardedFor};

/// Addresses that `X-Forwarded-For` may have; with more, the request is answered with 463.
pub const FORWARDED: usize = 30;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TRACE: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Headers that are between two neighbours only.
const HOP_BY_HOP: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Beginnings of the names of headers that targets take for the balancer's own word.
const OWN: &[&str] = &["x-amzn-oidc-", "x-amzn-mtls-", "x-amzn-tls-"];

/// The connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    pub client: SocketAddr,
    /// The listener's.
    pub port: u16,
    /// `http` or `https`.
    pub protocol: &'static str,
}

/// Whether `X-Forwarded-For` names more than [`FORWARDED`] addresses.
pub fn is_too_far(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(&FORWARDED_FOR).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).count() > FORWARDED
}

/// The protocol that a request asks to change to, if it names one rightly.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let named = names(headers).any(|name| name == UPGRADE.as_str());
    headers.get(UPGRADE).filter(|_| named && headers.get_all(UPGRADE).iter().count() == 1).cloned()
}

/// Makes a request's headers those that the target gets. `trace` is what a new trace is called.
pub fn prepare(headers: &mut HeaderMap, attributes: &Attributes, hop: &Hop, trace: &str) {
    strip(headers);
    headers.remove(EXPECT);
    drop_look_alikes(headers);
    drop_own(headers);
    if attributes.drop_invalid_header_fields {
        drop_invalid(headers);
    }
    forwarded_for(headers, attributes, hop);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(hop.protocol));
    headers.insert(FORWARDED_PORT, HeaderValue::from(hop.port));
    trace_id(headers, trace);
    if !attributes.preserve_host_header {
        complete_host(headers, hop);
    }
}

/// Takes out what is between two neighbours only, also what `Connection` names; never what tells a request's boundaries to
/// the next reader, nor what the balancer itself adds.
pub fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> =
        names(headers).filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
    for name in named.into_iter().filter(|name| !is_kept(name)) {
        headers.remove(name);
    }
    // Most heads have none of them.
    remove_all(headers, |name| HOP_BY_HOP.contains(&name.as_str()));
}

/// What a client cannot have taken out by naming it.
fn is_kept(name: &HeaderName) -> bool {
    [HOST, CONTENT_LENGTH].contains(name)
        || name.as_str().starts_with("x-forwarded-")
        || name.as_str().starts_with("x-amzn-")
}

/// The names in `Connection`, in lower case.
fn names(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|name| name.trim().to_ascii_lowercase())
}

/// Whether a connection ends with this message.
pub fn is_last(headers: &HeaderMap) -> bool {
    names(headers).any(|name| name == "close")
}

/// Whether an answer's body is coded in no way but `chunked`: another coding would be lost on the way.
pub fn is_plainly_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_none_or(|first| first.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Whether a client of HTTP/1.0 asks for the connection to stay.
pub fn is_kept_alive(headers: &HeaderMap) -> bool {
    names(headers).any(|name| name == "keep-alive")
}

/// Headers that a lax reader might take for those that tell the boundaries, such as `Content_Length`.
fn drop_look_alikes(headers: &mut HeaderMap) {
    let letters = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let is_alike = |name: &HeaderName| {
        if name == CONTENT_LENGTH || name == TRANSFER_ENCODING || !super::head::is_alike(name.as_str().as_bytes()) {
            return false;
        }
        let bare = letters(name.as_str());
        bare == "contentlength" || bare == "transferencoding"
    };
    remove_all(headers, is_alike);
}

/// What a client says in the balancer's name: who has signed in, which certificate was shown.
fn drop_own(headers: &mut HeaderMap) {
    remove_all(headers, |name| OWN.iter().any(|own| name.as_str().starts_with(own)));
}

/// Names that AWS calls invalid: of other characters than letters, digits and hyphens.
fn drop_invalid(headers: &mut HeaderMap) {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    remove_all(headers, |name| !name.as_str().bytes().all(is_valid));
}

fn remove_all(headers: &mut HeaderMap, is_bad: impl Fn(&HeaderName) -> bool) {
    let bad: Vec<HeaderName> = headers.keys().filter(|name| is_bad(name)).cloned().collect();
    for name in bad {
        headers.remove(name);
    }
}

fn forwarded_for(headers: &mut HeaderMap, attributes: &Attributes, hop: &Hop) {
    match attributes.forwarded_for {
        ForwardedFor::Preserve => {}
        ForwardedFor::Remove => {
            headers.remove(FORWARDED_FOR);
        }
        ForwardedFor::Append => {
            let mut all = Vec::new();
            for line in headers.get_all(&FORWARDED_FOR).iter().filter(|line| !line.is_empty()) {
                all.extend_from_slice(line.as_bytes());
                all.extend_from_slice(b", ");
            }
            all.extend_from_slice(client(hop.client, attributes.forwarded_for_port).as_bytes());
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(all)) {
                headers.insert(FORWARDED_FOR, value);
            }
        }
    }
}

fn client(client: SocketAddr, with_port: bool) -> String {
    match (client.ip().to_canonical(), with_port) {
        (ip, false) => ip.to_string(),
        (IpAddr::V4(ip), true) => format!("{ip}:{}", client.port()),
        (IpAddr::V6(ip), true) => format!("[{ip}]:{}", client.port()),
    }
}

/// A request without a trace begins one; one with a root gets a part of its own.
fn trace_id(headers: &mut HeaderMap, trace: &str) {
    let Some(came) = headers.get(TRACE) else {
        return put(headers, TRACE, ["Root=", trace].concat());
    };
    let came = came.to_str().unwrap_or_default();
    let is_self = |field: &&str| field.trim_start().starts_with("Self=");
    let rest: Vec<&str> = came.split(';').filter(|field| !field.is_empty() && !is_self(field)).collect();
    let value = match rest.is_empty() {
        true => format!("Root={trace}"),
        false => format!("Self={trace};{}", rest.join(";")),
    };
    put(headers, TRACE, value);
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// A listener's port that is not the protocol's own belongs to the host.
fn complete_host(headers: &mut HeaderMap, hop: &Hop) {
    let own = if hop.protocol == "https" { 443 } else { 80 };
    let Some(host) = headers.get(HOST).filter(|_| hop.port != own) else { return };
    let (name, port) = super::head::split_port(host.as_bytes());
    if port.is_some() {
        return;
    }
    let port = hop.port.to_string();
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from([name, b":", port.as_bytes()].concat())) {
        headers.insert(HOST, value);
    }
}

/// The headers of a change of protocol, which [`strip`] has taken out.
pub fn put_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
    headers.remove(TE);
    headers.remove(TRAILER);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once(": ")) {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("a value"));
        }
        headers
    }

    fn show(headers: &HeaderMap) -> String {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        lines.sort();
        lines.join("\n")
    }

    fn prepared(text: &str, attributes: &Attributes) -> String {
        let hop = Hop { client: "192.0.2.7:4711".parse().expect("an address"), port: 8080, protocol: "http" };
        let mut headers = map(text);
        prepare(&mut headers, attributes, &hop, "1-0-new");
        show(&headers)
    }

    const ADDED: &str =
        "x-amzn-trace-id: Root=1-0-new\nx-forwarded-for: 192.0.2.7\nx-forwarded-port: 8080\nx-forwarded-proto: http";

    #[test]
    fn what_is_between_neighbours_stays_there() {
        let came = "Connection: close, X-Secret, x-amzn-trace-id, host, x-forwarded-for\nX-Secret: 1\nKeep-Alive: 5\nTE: trailers\n\
                    Upgrade: h2c\nProxy-Connection: a\nExpect: 100-continue\nHost: a:1\nContent_Length: 7\nTransfer.Encoding: b";
        assert_eq!(prepared(came, &Attributes::default()), format!("host: a:1\n{ADDED}"));
    }

    #[test]
    fn forwarded_headers_are_appended_replaced_or_left() {
        let came = "x-forwarded-for: 1.1.1.1\nx-forwarded-for: 2.2.2.2\nx-forwarded-proto: https\nx-forwarded-port: 1";
        let with = |forwarded_for, forwarded_for_port| Attributes {
            forwarded_for,
            forwarded_for_port,
            ..Attributes::default()
        };
        let line = |attributes: Attributes| {
            let all = prepared(came, &attributes);
            assert!(all.contains("x-forwarded-proto: http\n") || all.ends_with("x-forwarded-proto: http"));
            assert!(all.contains("x-forwarded-port: 8080"));
            all.lines().filter(|line| line.starts_with("x-forwarded-for")).collect::<Vec<_>>().join("|")
        };
        assert_eq!(line(with(ForwardedFor::Append, false)), "x-forwarded-for: 1.1.1.1, 2.2.2.2, 192.0.2.7");
        assert_eq!(line(with(ForwardedFor::Append, true)), "x-forwarded-for: 1.1.1.1, 2.2.2.2, 192.0.2.7:4711");
        assert_eq!(line(with(ForwardedFor::Preserve, false)), "x-forwarded-for: 1.1.1.1|x-forwarded-for: 2.2.2.2");
        assert_eq!(line(with(ForwardedFor::Remove, false)), "");
    }

    #[test]
    fn a_trace_that_came_goes_on() {
        for (came, expected) in [
            ("Root=1-a-b", "Self=1-0-new;Root=1-a-b"),
            ("Self=1-c-d;Root=1-a-b;Extra=e", "Self=1-0-new;Root=1-a-b;Extra=e"),
            ("Self=1-c-d", "Root=1-0-new"),
            (";;", "Root=1-0-new"),
        ] {
            let all = prepared(&format!("x-amzn-trace-id: {came}"), &Attributes::default());
            assert!(all.contains(&format!("x-amzn-trace-id: {expected}\n")), "{came}: {all}");
        }
    }

    #[test]
    fn the_host_gets_the_port_of_its_listener_unless_it_is_kept() {
        let keep = Attributes { preserve_host_header: true, ..Attributes::default() };
        for (came, changed) in [("a", "a:8080"), ("a:9", "a:9"), ("[::1]", "[::1]:8080"), ("[::1]:9", "[::1]:9")] {
            assert!(
                prepared(&format!("host: {came}"), &Attributes::default()).starts_with(&format!("host: {changed}\n"))
            );
            assert!(prepared(&format!("host: {came}"), &keep).starts_with(&format!("host: {came}\n")));
        }
    }

    #[test]
    fn names_of_other_characters_go_if_the_balancer_says_so() {
        let drop = Attributes { drop_invalid_header_fields: true, ..Attributes::default() };
        assert!(prepared("x_y: 1", &Attributes::default()).contains("x_y: 1"));
        assert_eq!(prepared("x_y: 1", &drop), ADDED);
    }

    #[test]
    fn thirty_addresses_may_have_forwarded_a_request() {
        let chain = |count: usize| map(&format!("x-forwarded-for: {}", vec!["1.1.1.1"; count].join(",")));
        assert!(!is_too_far(&chain(30)));
        assert!(is_too_far(&chain(31)));
    }

    #[test]
    fn an_upgrade_is_named_by_connection_and_only_one() {
        assert!(upgrade(&map("connection: keep-alive, Upgrade\nupgrade: websocket")).is_some());
        assert!(upgrade(&map("upgrade: websocket")).is_none());
        assert!(upgrade(&map("connection: upgrade\nupgrade: a\nupgrade: b")).is_none());
    }
}
