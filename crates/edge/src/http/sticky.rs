//! Cookies that keep a client with its target, and with its group where an action has several. Pure: the time comes in.
//!
//! ```text
//!   AWSALB, AWSALBCORS       the target, for the group's seconds after each answer
//!   AWSALBAPP-0 … -3         the target, for the group's seconds after the target has set the application's own cookie;
//!                            counts only beside that one
//!   AWSALBTG, AWSALBTGCORS   the group, for the action's seconds after each answer
//! ```
//! As AWS has it, a browser keeps each for seven days; how long it holds is in the cookie itself, which nobody but an edge reads
//! ([`Seal`]). What does not open, is too old, or names what there is no more counts as absent. The cookies with `CORS` are
//! twins that browsers send along from other sites, too. One cookie of `AWSALBAPP` is enough here, where AWS needs up to four;
//! the others are `_remove_`, and so are all four if the target has not set its own.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use longshore_link::edge::{Stickiness, WeightedGroup};

use crate::seal::Seal;

const TARGET: [&str; 2] = ["AWSALB", "AWSALBCORS"];
const GROUP: [&str; 2] = ["AWSALBTG", "AWSALBTGCORS"];
const APPLICATION: [&str; 4] = ["AWSALBAPP-0", "AWSALBAPP-1", "AWSALBAPP-2", "AWSALBAPP-3"];

/// The value of a cookie that says nothing.
const NOTHING: &str = "_remove_";

/// Milliseconds that a browser keeps a cookie.
const KEPT: i64 = 7 * 86_400_000;

/// Cookies of one name that are tried.
const TRIED: usize = 4;

/// What reads and writes cookies at a moment.
#[derive(Clone, Copy)]
pub struct Cookies<'s> {
    pub seal: &'s Seal,
    /// Milliseconds since 1970.
    pub now: i64,
    /// Whether the client came by TLS.
    pub secure: bool,
}

/// What is sealed in a cookie for a target: what it is called in its group.
pub type Name = Vec<u8>;

/// What a target is called in a cookie.
pub fn name(id: &str, port: u16) -> Name {
    [&port.to_be_bytes(), id.as_bytes()].concat()
}

impl Cookies<'_> {
    /// The one of an action's groups that a request's cookies name.
    pub fn group<'g>(&self, headers: &HeaderMap, groups: &'g [WeightedGroup]) -> Option<&'g WeightedGroup> {
        let arn = self.read(headers, &GROUP, GROUP[0])?;
        groups.iter().find(|group| group.target_group.as_bytes() == arn)
    }

    /// The target of a group that a request's cookies name.
    pub fn target(&self, headers: &HeaderMap, group: &str, stickiness: &Stickiness) -> Option<Name> {
        match stickiness {
            Stickiness::LbCookie { .. } => self.read(headers, &TARGET, &use_of(TARGET[0], group)),
            Stickiness::AppCookie(own) if values(headers, &own.name).next().is_some() => {
                self.read(headers, &APPLICATION[..1], &use_of(&own.name, group))
            }
            Stickiness::AppCookie(_) | Stickiness::None | Stickiness::SourceIp => None,
        }
    }

    /// Adds the cookies that keep a client with a group for so many seconds.
    pub fn keep_group(&self, answer: &mut HeaderMap, group: &str, seconds: u32) {
        if let Some(value) = self.write(GROUP[0], group.as_bytes(), seconds) {
            self.put_twins(answer, &GROUP, &value);
        }
    }

    /// Adds the cookies that keep a client with a target; `was_kept` is that a cookie has led it there.
    pub fn keep_target(
        &self,
        answer: &mut HeaderMap,
        group: &str,
        stickiness: &Stickiness,
        target: &[u8],
        was_kept: bool,
    ) {
        match stickiness {
            Stickiness::LbCookie { seconds } => {
                if let Some(value) = self.write(&use_of(TARGET[0], group), target, *seconds) {
                    self.put_twins(answer, &TARGET, &value);
                }
            }
            Stickiness::AppCookie(own) if is_set(answer, &own.name) => {
                let value = self.write(&use_of(&own.name, group), target, own.seconds);
                self.put_application(answer, value.as_deref().unwrap_or(NOTHING));
            }
            Stickiness::AppCookie(_) if !was_kept => self.put_application(answer, NOTHING),
            Stickiness::AppCookie(_) | Stickiness::None | Stickiness::SourceIp => {}
        }
    }

    /// What the first cookie of these names says that holds.
    fn read(&self, headers: &HeaderMap, names: &[&str], use_: &str) -> Option<Vec<u8>> {
        let mut sealed = names.iter().flat_map(|name| values(headers, name).take(TRIED));
        sealed.find_map(|value| {
            let text = self.seal.open(use_, value)?;
            let (until, what) = text.split_first_chunk()?;
            (i64::from_be_bytes(*until) > self.now).then(|| what.to_vec())
        })
    }

    fn write(&self, use_: &str, what: &[u8], seconds: u32) -> Option<String> {
        let until = self.now.saturating_add(i64::from(seconds) * 1000);
        self.seal.close(use_, &[&until.to_be_bytes(), what].concat())
    }

    fn put_twins(&self, answer: &mut HeaderMap, names: &[&str; 2], value: &str) {
        let secure = if self.secure { "; Secure" } else { "" };
        self.put(answer, names[0], value, "");
        self.put(answer, names[1], value, &format!("; SameSite=None{secure}"));
    }

    fn put_application(&self, answer: &mut HeaderMap, value: &str) {
        for (number, name) in APPLICATION.iter().enumerate() {
            self.put(answer, name, if number == 0 { value } else { NOTHING }, "");
        }
    }

    fn put(&self, answer: &mut HeaderMap, name: &str, value: &str, attributes: &str) {
        let until = Timestamp::from_millisecond(self.now.saturating_add(KEPT)).unwrap_or_default();
        let Ok(until) = DateTimePrinter::new().timestamp_to_rfc9110_string(&until) else { return };
        let cookie = format!("{name}={value}; Expires={until}; Path=/{attributes}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.append(SET_COOKIE, cookie);
        }
    }
}

/// What a cookie is sealed for: its name, and the group.
fn use_of(cookie: &str, group: &str) -> String {
    format!("{cookie} {group}")
}

/// The values of a request's cookies of this name.
fn values<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| value(pair, name))
}

/// The value of `name=value`.
fn value<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
    rest.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii)
}

/// Whether an answer sets the cookie of this name.
fn is_set(answer: &HeaderMap, name: &str) -> bool {
    answer.get_all(SET_COOKIE).iter().any(|line| value(line.as_bytes(), name).is_some())
}

#[cfg(test)]
mod tests {
    use longshore_link::edge::AppCookie;
    use proptest::prelude::*;

    use super::*;

    fn sent(cookies: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookies).expect("a value"))])
    }

    fn set(answer: &HeaderMap) -> Vec<&str> {
        answer.get_all(SET_COOKIE).iter().map(|line| line.to_str().expect("text")).collect()
    }

    /// The name and value of a cookie as a browser sends it.
    fn back(line: &str) -> &str {
        line.split(';').next().expect("a cookie")
    }

    fn at(seal: &Seal, now: i64) -> Cookies<'_> {
        Cookies { seal, now, secure: true }
    }

    #[test]
    fn a_cookie_keeps_its_target_for_the_seconds_of_the_group() {
        let seal = Seal::new(None);
        let kind = Stickiness::LbCookie { seconds: 10 };
        let target = name("10.0.0.1", 80);
        let mut answer = HeaderMap::new();
        at(&seal, 0).keep_target(&mut answer, "blue", &kind, &target, false);
        let set = set(&answer);
        let (one, twin) = (back(set[0]), back(set[1]));
        assert_eq!(set[0], format!("{one}; Expires=Thu, 08 Jan 1970 00:00:00 GMT; Path=/"));
        let expected = format!("{twin}; Expires=Thu, 08 Jan 1970 00:00:00 GMT; Path=/; SameSite=None; Secure");
        assert_eq!((set.len(), set[1]), (2, expected.as_str()));
        assert_eq!(twin.strip_prefix("AWSALBCORS"), one.strip_prefix("AWSALB"));
        let read = |cookies: &str, now, group| at(&seal, now).target(&sent(cookies), group, &kind);
        for cookies in [one, twin, &format!("a=b;AWSALB=junk; {one};c"), &format!("AWSALB=junk; {twin}")] {
            assert_eq!(read(cookies, 9_999, "blue").as_ref(), Some(&target), "{cookies}");
            assert_eq!((read(cookies, 10_000, "blue"), read(cookies, 0, "green")), (None, None), "{cookies}");
        }
        for junk in ["", "AWSALB", "AWSALB=", "AWSALB=_remove_", &format!("X{one}"), &one.to_lowercase(), &one[..20]] {
            assert_eq!(read(junk, 0, "blue"), None, "{junk}");
        }
        let plain = Cookies { secure: false, ..at(&seal, 0) };
        let mut answer = HeaderMap::new();
        plain.keep_target(&mut answer, "blue", &kind, &target, true);
        assert!(self::set(&answer)[1].ends_with("; Path=/; SameSite=None"));
    }

    #[test]
    fn an_applications_cookie_counts_beside_the_balancers() {
        let seal = Seal::new(None);
        let kind = Stickiness::AppCookie(AppCookie { name: "sid".into(), seconds: 10 });
        let keep = |own: Option<&'static str>, was_kept| {
            let mut answer = HeaderMap::new();
            answer.extend(own.map(|own| (SET_COOKIE, HeaderValue::from_static(own))));
            at(&seal, 0).keep_target(&mut answer, "blue", &kind, b"x", was_kept);
            answer
        };
        let none = keep(Some("side=1"), false);
        let gone = |name| format!("{name}=_remove_; Expires=Thu, 08 Jan 1970 00:00:00 GMT; Path=/");
        assert_eq!(set(&none)[1..], APPLICATION.map(gone));
        assert_eq!(set(&keep(None, true)), [""; 0]);
        let answer = keep(Some("sid=1; Path=/"), false);
        let cookie = back(set(&answer)[1]);
        assert!(cookie.starts_with("AWSALBAPP-0=") && set(&answer)[2].starts_with("AWSALBAPP-1=_remove_;"));
        let read = |cookies: &str, now| at(&seal, now).target(&sent(cookies), "blue", &kind);
        assert_eq!(read(&format!("{cookie}; sid=2"), 9_999).as_deref(), Some(&b"x"[..]));
        for (cookies, now) in [(format!("{cookie}; sid=2"), 10_000), (cookie.to_owned(), 0), ("sid=2".to_owned(), 0)] {
            assert_eq!(read(&cookies, now), None, "{cookies}");
        }
    }

    #[test]
    fn a_group_is_kept_while_the_action_has_it() {
        let seal = Seal::new(None);
        let mut answer = HeaderMap::new();
        at(&seal, 0).keep_group(&mut answer, "green", 10);
        let set = set(&answer);
        assert!(set[0].starts_with("AWSALBTG=") && set[1].starts_with("AWSALBTGCORS="));
        let named = |name: &str, weight| WeightedGroup { target_group: name.to_owned(), weight };
        let (both, other) = ([named("blue", 1), named("green", 0)], [named("blue", 1)]);
        assert_eq!(at(&seal, 9_999).group(&sent(back(set[0])), &both), Some(&both[1]));
        assert_eq!(at(&seal, 9_999).group(&sent(back(set[1])), &both), Some(&both[1]));
        assert_eq!(at(&seal, 9_999).group(&sent(back(set[0])), &other), None);
        assert_eq!(at(&seal, 10_000).group(&sent(back(set[0])), &both), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_cookie(bytes in proptest::collection::vec(0x20..0xff_u8, 0..100), own in "(AWSALB|AWSALBAPP-0|sid|)=?") {
            let line = [own.as_bytes(), &bytes].concat();
            let Ok(value) = HeaderValue::from_bytes(&line) else { return Ok(()) };
            let headers = HeaderMap::from_iter([(COOKIE, value), (COOKIE, HeaderValue::from_static("sid=1"))]);
            let seal = Seal::new(None);
            let application = Stickiness::AppCookie(AppCookie { name: "sid".into(), seconds: 10 });
            for kind in [Stickiness::LbCookie { seconds: 10 }, application] {
                prop_assert_eq!(at(&seal, 0).target(&headers, "blue", &kind), None);
            }
        }
    }
}
