//! Whether a request's signature holds: first everything that can be told without the secret, then the signature itself.
//!
//! ```text
//!     signature = Signature::of_request(&head)?           who says it is
//!     signature.admissible(&head, &endpoint)?             for this endpoint, now, over all that matters
//!     signature.is_by(secret, &head, body)                by the holder of this secret
//! ```
//! Where there is no secret, [`Signature::is_by`] with any other one takes as long as with the right one.

use super::canonical::{CanonicalRequest, payload_hash};
use super::denial::Denial;
use super::{Signature, Signer, SigningKey, is_equal};
use http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// How far a request's clock may be off, in minutes (AWS's own examples use 15).
pub const SKEW_MINUTES: i64 = 15;

/// The longest life of a presigned request, in seconds.
pub const LONGEST_PRESIGNED_SECONDS: i64 = 604_800;

/// Where and when a signature is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// Regions that a scope may name: this endpoint's, and for global services that of their one endpoint.
    pub regions: &'a [&'a str],
    /// The service in the scope.
    pub service: &'a str,
    /// Seconds since the epoch, by the clock that clients go by.
    pub now: i64,
}

impl Signature {
    /// Checks all that needs no secret: scope, time, and that every header that matters is signed.
    ///
    /// # Errors
    /// A [`Denial`] in AWS's words.
    pub fn admissible(&self, head: &Parts, endpoint: &Endpoint<'_>) -> Result<(), Denial> {
        if !head.uri.path().starts_with('/') {
            return incomplete("The request target must be a path.");
        }
        self.check_scope(endpoint)?;
        self.check_time(endpoint.now)?;
        self.check_headers(head)
    }

    /// Whether the holder of `secret_key` signed this head and body. The path is normalised, as every service but S3 does.
    pub fn is_by(&self, secret_key: &str, head: &Parts, body: &[u8]) -> bool {
        self.is_of(&self.signer(secret_key).key(), head, body)
    }

    /// As [`Signature::is_by`], with the key that the secret becomes for this signature's scope ([`Signature::signer`]).
    pub fn is_of(&self, key: &SigningKey, head: &Parts, body: &[u8]) -> bool {
        self.verifies(key, head, body, true)
    }

    /// As [`Signature::is_of`], with a choice of how the path is canonicalised.
    pub fn verifies(&self, key: &SigningKey, head: &Parts, body: &[u8], normalize_path: bool) -> bool {
        let hash = payload_hash(body);
        let Some(canonical) = self.canonical(head, &hash, normalize_path) else { return false };
        let told = head.headers.get(CONTENT_HASH).is_none_or(|told| told.as_bytes() == hash.as_bytes());
        is_equal(&key.sign(&self.signer("").string_to_sign(&canonical)), &self.signature) && told
    }

    /// Who would have signed it with this secret.
    pub fn signer<'a>(&'a self, secret_key: &'a str) -> Signer<'a> {
        let timestamp = self.timestamp.as_deref().unwrap_or_default();
        Signer { secret_key, timestamp, region: &self.scope.region, service: &self.scope.service }
    }

    fn canonical(&self, head: &Parts, payload_hash: &str, normalize_path: bool) -> Option<String> {
        let mut headers = Vec::with_capacity(head.headers.len());
        for (name, value) in &head.headers {
            if self.signed_headers.iter().any(|signed| signed == name.as_str()) {
                headers.push((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?));
            }
        }
        let signed: Vec<&str> = self.signed_headers.iter().map(String::as_str).collect();
        let query = head.uri.query().unwrap_or_default();
        let unsigned = if self.presigned { without_signature(query) } else { query.to_owned() };
        let canonical = CanonicalRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: &unsigned,
            headers: &headers,
            signed_headers: &signed,
            payload_hash,
            normalize_path,
        };
        Some(canonical.render())
    }

    fn check_scope(&self, endpoint: &Endpoint<'_>) -> Result<(), Denial> {
        let scope = &self.scope;
        if !endpoint.regions.contains(&scope.region.as_str()) {
            return invalid(format!("Credential should be scoped to a valid region, not '{}'.", short(&scope.region)));
        }
        if scope.service != endpoint.service {
            return invalid(format!("Credential should be scoped to correct service: '{}'.", endpoint.service));
        }
        let Some(timestamp) = &self.timestamp else {
            return incomplete("Authorization header requires existence of 'X-Amz-Date' header.");
        };
        let date = timestamp.get(..8).unwrap_or(timestamp);
        if scope.date != date {
            return invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', \
                 from '{}'.",
                short(&scope.date),
                short(date),
                short(timestamp)
            ));
        }
        Ok(())
    }

    fn check_time(&self, now: i64) -> Result<(), Denial> {
        let timestamp = self.timestamp.as_deref().unwrap_or_default();
        let Some(signed) = seconds(timestamp) else {
            return incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See http://en.wikipedia.org/wiki/ISO_8601",
                short(timestamp)
            ));
        };
        let skew = SKEW_MINUTES * 60;
        let life = match &self.expires {
            None => skew,
            Some(text) => presigned_life(text)?,
        };
        if signed > now + skew {
            return Err(Denial::Stale(format!(
                "Signature not yet current: {timestamp} is still later than {} ({} + {SKEW_MINUTES} min.)",
                compact(now + skew),
                compact(now)
            )));
        }
        if signed + life < now {
            let limit = if self.expires.is_none() { format!("{SKEW_MINUTES} min.") } else { format!("{life} s.") };
            return Err(Denial::Stale(format!(
                "Signature expired: {timestamp} is now earlier than {} ({} - {limit})",
                compact(now - life),
                compact(now)
            )));
        }
        Ok(())
    }

    /// Host and every `x-amz-*` header must be signed, and what is said to be signed must be there, sorted, once.
    fn check_headers(&self, head: &Parts) -> Result<(), Denial> {
        let signed = &self.signed_headers;
        if !signed.windows(2).all(|pair| pair[0] < pair[1]) || signed.iter().any(|name| name.bytes().any(is_upper)) {
            return invalid("SignedHeaders must be sorted names in lower case, each once.");
        }
        if let Some(absent) = signed.iter().find(|name| !head.headers.contains_key(name.as_str())) {
            return invalid(format!("The signed header '{}' is not in the request.", short(absent)));
        }
        if !signed.iter().any(|name| name == "host") {
            return invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
        }
        let amazon = head.headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-"));
        let mut unsigned = amazon.filter(|name| signed.iter().all(|other| other != name));
        match unsigned.next() {
            Some(name) => invalid(format!("'{}' must be a 'SignedHeader' in the AWS Authorization.", short(name))),
            None => Ok(()),
        }
    }
}

const CONTENT_HASH: &str = "x-amz-content-sha256";

fn invalid<T>(message: impl Into<String>) -> Result<T, Denial> {
    Err(Denial::Invalid(message.into()))
}

fn incomplete<T>(message: impl Into<String>) -> Result<T, Denial> {
    Err(Denial::Incomplete(message.into()))
}

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

fn short(text: &str) -> &str {
    crate::fault::excerpt(text)
}

fn presigned_life(text: &str) -> Result<i64, Denial> {
    let digits = !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let life = if digits { text.parse().unwrap_or(0) } else { 0 };
    if (1..=LONGEST_PRESIGNED_SECONDS).contains(&life) {
        return Ok(life);
    }
    incomplete(format!("X-Amz-Expires must be a number between 1 and {LONGEST_PRESIGNED_SECONDS} (seconds)"))
}

fn without_signature(query: &str) -> String {
    let kept: Vec<&str> = query.split('&').filter(|field| !field.starts_with("X-Amz-Signature=")).collect();
    kept.join("&")
}

/// Seconds since the epoch of `YYYYMMDDTHHMMSSZ`; `None` if it is no such time.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
    let digits = |from: usize, to: usize| {
        let part = bytes.get(from..to).filter(|part| part.iter().all(u8::is_ascii_digit))?;
        std::str::from_utf8(part).ok()?.parse::<i16>().ok()
    };
    let small = |from| digits(from, from + 2).and_then(|number| i8::try_from(number).ok());
    if !shaped {
        return None;
    }
    let time = DateTime::new(digits(0, 4)?, small(4)?, small(6)?, small(9)?, small(11)?, small(13)?, 0).ok()?;
    Some(TimeZone::UTC.to_timestamp(time).ok()?.as_second())
}

/// `YYYYMMDDTHHMMSSZ` of seconds since the epoch.
fn compact(seconds: i64) -> String {
    let instant = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.strftime("%Y%m%dT%H%M%SZ").to_string()
}
