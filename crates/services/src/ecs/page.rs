//! Pages of list answers: how many entries, where the next page begins, and the token that says so.
//!
//! A token is a position under a message authentication code. The code covers the account, the operation and the filter,
//! so a token that was forged, cut, or taken from another account, operation or filter reads as no token at all
//! ([`decode`] gives `None`), and the caller is told no more than that.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use longshore_wire::Fault;

use super::fault;
use crate::Context;

/// Bytes of the authentication code that a token carries.
const CODE: usize = 16;

/// Longest token that is looked at, in bytes.
const LONGEST: usize = 4096;

/// Where a token is good: one account, one operation, one filter.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pub account: &'a str,
    pub operation: &'a str,
    /// The request's filter in any stable text form.
    pub filter: &'a str,
}

/// The token of a position.
pub fn encode(key: &[u8; 32], scope: Scope<'_>, position: &str) -> String {
    let mut bytes = code(key, scope, position)[..CODE].to_vec();
    bytes.extend_from_slice(position.as_bytes());
    BASE64.encode(bytes)
}

/// The position of a token made by [`encode`] with the same key and scope.
pub fn decode(key: &[u8; 32], scope: Scope<'_>, token: &str) -> Option<String> {
    let short = (token.len() <= LONGEST).then_some(token)?;
    let bytes = BASE64.decode(short).ok()?;
    let (given, position) = bytes.split_at_checked(CODE)?;
    let position = std::str::from_utf8(position).ok()?;
    let wanted = code(key, scope, position);
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(given, &wanted[..CODE]).is_ok();
    same.then(|| position.to_owned())
}

fn code(key: &[u8; 32], scope: Scope<'_>, position: &str) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in [scope.account, scope.operation, scope.filter, position] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.sign().as_ref().to_vec()
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    after: Option<String>,
    limit: usize,
}

/// What a request says about its page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    pub token: Option<&'a str>,
    pub max_results: Option<i32>,
}

impl Page {
    /// Reads the request's `nextToken` and `maxResults`. Without `maxResults` a page holds `cap` entries.
    ///
    /// # Errors
    /// `InvalidParameterException` when `maxResults` is not within 1 and `cap`, or the token is not one of ours for this
    /// account, operation and filter.
    pub fn open(
        context: &Context<'_>,
        operation: &str,
        filter: &str,
        asked: Asked<'_>,
        cap: i32,
    ) -> Result<Self, Fault> {
        let limit = asked.max_results.unwrap_or(cap);
        if !(1..=cap).contains(&limit) {
            return Err(fault::invalid_parameter(format!("maxResults must be between 1 and {cap}.")));
        }
        let scope = Scope { account: context.account().as_str(), operation, filter };
        let after = match asked.token.filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(
                decode(&context.settings.page_key, scope, token)
                    .ok_or_else(|| fault::invalid_parameter("Invalid token."))?,
            ),
        };
        Ok(Self { after, limit: limit as usize })
    }

    /// The position that the page begins behind.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// Entries on the page at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a page from `rows`, which begin behind [`after`](Self::after) and carry their positions. The second part is
    /// the token of the next page, made with the scope that the page was opened with.
    pub fn take<T>(
        &self,
        context: &Context<'_>,
        operation: &str,
        filter: &str,
        rows: impl IntoIterator<Item = (String, T)>,
    ) -> (Vec<T>, Option<String>) {
        self.take_seen(context, operation, filter, rows, None)
    }

    /// As [`take`](Self::take); when the rows end because no more were looked at than up to the position `seen`, the next
    /// page begins behind it. So a page may hold fewer entries than asked for, even none, and still have a next one.
    pub fn take_seen<T>(
        &self,
        context: &Context<'_>,
        operation: &str,
        filter: &str,
        rows: impl IntoIterator<Item = (String, T)>,
        seen: Option<String>,
    ) -> (Vec<T>, Option<String>) {
        let mut rows = rows.into_iter();
        let mut last = None;
        let mut taken = Vec::new();
        for (position, row) in rows.by_ref().take(self.limit) {
            last = Some(position);
            taken.push(row);
        }
        let more = rows.next().is_some();
        let scope = Scope { account: context.account().as_str(), operation, filter };
        let next = last.filter(|_| more).or(seen.filter(|_| !more));
        let token = next.map(|position| encode(&context.settings.page_key, scope, &position));
        (taken, token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];
    const SCOPE: Scope<'_> = Scope { account: "000000000000", operation: "ListTasks", filter: "cluster=prod" };

    #[test]
    fn a_token_gives_its_position_back() {
        for position in ["", "a", "000000000000/prod/0123", "ü\0"] {
            let token = encode(&KEY, SCOPE, position);
            assert_eq!(decode(&KEY, SCOPE, &token).as_deref(), Some(position));
        }
    }

    #[test]
    fn a_token_is_good_in_its_own_scope_only() {
        let token = encode(&KEY, SCOPE, "here");
        let others = [
            Scope { account: "111111111111", ..SCOPE },
            Scope { operation: "ListServices", ..SCOPE },
            Scope { filter: "cluster=test", ..SCOPE },
            Scope { operation: "ListTask", filter: "scluster=prod", ..SCOPE },
        ];
        for scope in others {
            assert_eq!(decode(&KEY, scope, &token), None, "{scope:?}");
        }
        assert_eq!(decode(&[8; 32], SCOPE, &token), None);
    }

    #[test]
    fn a_cut_or_forged_token_is_none() {
        let token = encode(&KEY, SCOPE, "here");
        for end in 0..token.len() {
            assert_eq!(decode(&KEY, SCOPE, &token[..end]), None, "cut at {end}");
        }
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            assert_eq!(decode(&KEY, SCOPE, &forged), None, "changed at {index}");
        }
        assert_eq!(decode(&KEY, SCOPE, &"A".repeat(LONGEST + 1)), None);
    }
}
