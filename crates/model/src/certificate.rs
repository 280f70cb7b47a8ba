//! Certificates of AWS Certificate Manager, and the authority that issues those that are requested.

use std::collections::BTreeMap;

use longshore_api::acm as api;
use longshore_wire::{Timestamp, record};

use crate::arn::{Arn, Place};
use crate::ids::AccountId;

/// Certificates of an account: AWS's quota.
pub const MOST_CERTIFICATES: usize = 2500;

/// An authority renews what it issued so long before its end, in milliseconds: 60 days, as AWS does.
pub const RENEWED_BEFORE: i64 = 60 * 24 * 60 * 60 * 1000;

record! {
    /// A certificate, imported or issued here.
    pub struct Certificate {
        pub account: String = "account",
        /// A UUID.
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub kind: api::CertificateType = "kind",
        /// When it was imported or issued last.
        pub obtained_at: Timestamp = "obtainedAt",
        /// When it was issued anew, if ever.
        pub renewed_at: Option<Timestamp> = "renewedAt",
        pub facts: CertificateFacts = "facts",
        /// PEM, one certificate.
        pub body: String = "body",
        /// PEM: those that signed it, in order.
        pub chain: Option<String> = "chain",
        /// The private key in PEM, sealed.
        pub key: String = "key",
        /// How its names were to be validated, of one that was requested.
        pub validation: Option<api::ValidationMethod> = "validation",
        pub transparency: Option<api::CertificateTransparencyLoggingPreference> = "transparency",
        /// The idempotency token of the request.
        pub token: Option<String> = "token",
        pub tags: BTreeMap<String, String> = "tags",
    }

    /// What a certificate says of itself.
    pub struct CertificateFacts {
        /// The name it is listed by: the subject's common name, or the first other one.
        pub domain: String = "domain",
        /// Names it is good for.
        pub names: Vec<String> = "names",
        /// Hex digits in pairs.
        pub serial: String = "serial",
        pub subject: String = "subject",
        pub issuer: String = "issuer",
        pub not_before: Timestamp = "notBefore",
        pub not_after: Timestamp = "notAfter",
        pub key_algorithm: api::KeyAlgorithm = "keyAlgorithm",
        /// `SHA256WITHRSA`
        pub signature_algorithm: String = "signatureAlgorithm",
        pub key_usages: Vec<api::KeyUsageName> = "keyUsages",
        pub extended_key_usages: Vec<ExtendedUsage> = "extendedKeyUsages",
    }

    /// What a key may be used for besides.
    pub struct ExtendedUsage {
        pub name: api::ExtendedKeyUsageName = "name",
        pub oid: String = "oid",
    }

    /// The authority of an installation, which issues certificates that are requested.
    pub struct CertificateAuthority {
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        /// The common name of its certificate.
        pub name: String = "name",
        /// PEM.
        pub certificate: String = "certificate",
        /// The private key in PEM, sealed.
        pub key: String = "key",
    }
}

/// The key of the one authority.
pub const LOCAL: &str = "local";

/// `ACCOUNT/ID`; without the id, what the keys of an account's certificates begin with.
pub fn key(account: &str, id: &str) -> String {
    format!("{account}/{id}")
}

/// The key of the certificate with this ARN, whatever region it names.
pub fn key_of(arn: &str) -> Option<String> {
    let parsed = Arn::parse(arn).filter(|arn| arn.service == "acm")?;
    AccountId::parse(parsed.account)?;
    Some(key(parsed.account, parsed.resource.strip_prefix("certificate/")?))
}

impl Certificate {
    pub fn key(&self) -> String {
        key(&self.account, &self.id)
    }

    pub fn arn(&self, place: &Place) -> String {
        place.arn("acm", &format!("certificate/{}", self.id))
    }

    pub fn is_issued_here(&self) -> bool {
        self.kind == api::CertificateType::AmazonIssued
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.facts.not_after < now
    }

    /// Whether the authority should issue it anew, if it is used.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let left = self.facts.not_after.millis().saturating_sub(now.millis());
        self.is_issued_here() && left < RENEWED_BEFORE
    }

    /// PEM: the certificate and those that signed it, as a server sends them.
    pub fn full_chain(&self) -> String {
        [self.body.as_str(), self.chain.as_deref().unwrap_or_default()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_of_a_certificate_leads_to_its_key() {
        let arn = "arn:aws:acm:us-east-1:123456789012:certificate/abc";
        assert_eq!(key_of(arn).as_deref(), Some("123456789012/abc"));
        for other in [
            "arn:aws:iam::123456789012:server-certificate/abc",
            "arn:aws:acm:us-east-1:123456789012:domain/abc",
            "arn:aws:acm:us-east-1::certificate/abc",
            "abc",
        ] {
            assert_eq!(key_of(other), None, "{other}");
        }
    }
}
