//! Signature Version 4: reading who signed a request and for what, and signing one.
//!
//! [`Signature::of_request`] reads the `Authorization` header or a presigned query, [`Signature::admissible`] and
//! [`Signature::is_by`] verify it, and a [`Denial`] says why not; [`Signer`] computes signatures, for our own agent's requests
//! and for checking those of others. Nothing here looks at a clock: the caller says what time it is. Left out: what only S3
//! does (bodies that are not signed, or signed in chunks) and the asymmetric version 4A.

mod canonical;
mod denial;
mod join;
mod parse;
mod standing;
mod verify;

pub use canonical::{CanonicalRequest, UNSIGNED_PAYLOAD, payload_hash};
pub use denial::Denial;
pub use join::{join_authorization, join_token};
pub use parse::{Scope, Signature};
pub use standing::Standing;
pub use verify::{Endpoint, LONGEST_PRESIGNED_SECONDS, SKEW_MINUTES};

use aws_lc_rs::{constant_time, digest, hmac};

/// The only algorithm of this version.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A secret with its scope: what it takes to sign.
pub struct Signer<'a> {
    pub secret_key: &'a str,
    /// `YYYYMMDDTHHMMSSZ`.
    pub timestamp: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

impl Signer<'_> {
    /// `date/region/service/aws4_request`.
    pub fn scope(&self) -> String {
        [self.date(), self.region, self.service, "aws4_request"].join("/")
    }

    /// The text that is signed.
    pub fn string_to_sign(&self, canonical: &str) -> String {
        [ALGORITHM, self.timestamp, &self.scope(), &payload_hash(canonical.as_bytes())].join("\n")
    }

    /// The signature of a canonical request, in small hexadecimal digits.
    pub fn signature(&self, canonical: &str) -> String {
        self.key().sign(&self.string_to_sign(canonical))
    }

    /// The key of the scope.
    pub fn key(&self) -> SigningKey {
        let secret = format!("AWS4{}", self.secret_key);
        let parts = [self.date(), self.region, self.service, "aws4_request"];
        let first = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        SigningKey(
            parts
                .iter()
                .fold(first, |key, part| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())),
        )
    }

    /// A name for [`Signer::key`] that does not tell the secret: the SHA-256 of it and the scope.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        [self.secret_key, "/", &self.scope()].iter().for_each(|part| context.update(part.as_bytes()));
        let mut sum = [0; 32];
        sum.copy_from_slice(context.finish().as_ref());
        sum
    }

    /// Whether `signature` is the canonical request's, in time that does not depend on where it differs.
    pub fn verifies(&self, canonical: &str, signature: &str) -> bool {
        is_equal(&self.signature(canonical), signature)
    }

    /// The value of the `Authorization` header for a request signed over `signed_headers` (sorted, lower case).
    pub fn authorization(&self, access_key: &str, signed_headers: &[&str], signature: &str) -> String {
        let (scope, signed) = (self.scope(), signed_headers.join(";"));
        format!("{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={signature}")
    }

    /// As [`Signer::authorization`], for a POST to `/` that is signed over all these headers: sorted, in lower case, each once.
    pub fn post_authorization(&self, access_key: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let request = CanonicalRequest {
            method: "POST",
            path: "/",
            query: "",
            headers,
            signed_headers: &names,
            payload_hash: &payload_hash(body),
            normalize_path: true,
        };
        self.authorization(access_key, &names, &self.signature(&request.render()))
    }

    fn date(&self) -> &str {
        self.timestamp.get(..8).unwrap_or(self.timestamp)
    }
}

/// What a secret becomes for one day, region and service. It signs any number of requests there.
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// In small hexadecimal digits.
    fn sign(&self, text: &str) -> String {
        canonical::hex(hmac::sign(&self.0, text.as_bytes()).as_ref())
    }
}

/// In time that does not depend on where they differ.
fn is_equal(one: &str, other: &str) -> bool {
    constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}
