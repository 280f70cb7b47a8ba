//! The authority of this installation: made when it is first needed, it signs what RequestCertificate asks for.
//!
//! Its certificate goes with every one that it issues (GetCertificate's chain), and is what a client must trust. Its key, on
//! P-256, is sealed like every other.

use std::time::Duration;

use longshore_api::acm::KeyAlgorithm;
use longshore_model::certificate::{Certificate, CertificateAuthority, CertificateFacts, LOCAL};
use longshore_model::{Change, Mint, State};
use longshore_wire::{Fault, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

use super::key::Key;
use super::{pem, read};
use crate::Vault;
use crate::vault::random;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// How long a certificate is good for, as on AWS.
const LEAF_DAYS: u64 = 395;

/// How long the authority's own is: twenty years.
const AUTHORITY_DAYS: u64 = 20 * 365;

/// Characters of a common name.
pub const LONGEST_COMMON_NAME: usize = 64;

/// Who issues.
const ORGANIZATION: &str = "Longshore";

/// What the authority's key is sealed about.
const ABOUT: &str = "acm/authority";

/// A certificate that was issued.
pub struct Issued {
    pub facts: CertificateFacts,
    pub body: String,
    pub chain: String,
}

impl Issued {
    /// Puts it in the place of what a certificate was; with its key, sealed.
    pub fn into(self, row: &mut Certificate, sealed: String) {
        row.facts = self.facts;
        row.body = self.body;
        row.chain = Some(self.chain);
        row.key = sealed;
    }
}

/// The authority; if there is none, it is made and written.
///
/// # Errors
/// `InternalFailure` if there is no randomness.
pub fn local(
    state: &State,
    changes: &mut Vec<Change>,
    mint: &mut Mint,
    (vault, now): (&Vault, Timestamp),
) -> Result<CertificateAuthority, Fault> {
    if let Some(known) = state.certificate_authorities.get(LOCAL) {
        return Ok(CertificateAuthority::clone(known));
    }
    let made = made(mint.uuid(), vault, now)?;
    changes.push(made.clone().into());
    Ok(made)
}

fn made(id: String, vault: &Vault, now: Timestamp) -> Result<CertificateAuthority, Fault> {
    let key = Key::generate(KeyAlgorithm::EcPrime256v1)?;
    let name = format!("{ORGANIZATION} authority {:.8}", id);
    let mut params = params(authority_subject(&name), now, AUTHORITY_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let signed = params.self_signed(key.pair()).map_err(|_| Fault::internal())?;
    Ok(CertificateAuthority {
        id,
        created_at: now,
        name,
        certificate: pem::certificate(signed.der()),
        key: vault.seal(ABOUT, key.secret().as_bytes())?,
    })
}

/// Issues a certificate for these names, the first of which is its subject, with the public half of `key`.
///
/// # Errors
/// `InternalFailure` if the authority's key does not open: the master key is another one.
pub fn issue(
    authority: &CertificateAuthority,
    names: &[String],
    key: &Key,
    (vault, now): (&Vault, Timestamp),
) -> Result<Issued, Fault> {
    let own = vault.open_text(ABOUT, &authority.key).and_then(|text| Key::kept(&text)).ok_or_else(Fault::internal)?;
    let subject = names.first().filter(|name| name.len() <= LONGEST_COMMON_NAME).ok_or_else(Fault::internal)?;
    let mut leaf = params(common_name(subject), now, LEAF_DAYS)?;
    leaf.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    leaf.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(params(authority_subject(&authority.name), now, AUTHORITY_DAYS)?, own.pair());
    let signed = leaf.signed_by(key.pair(), &issuer).map_err(|_| Fault::internal())?;
    let facts = read::parse(signed.der()).ok_or_else(Fault::internal).and_then(|parsed| read::facts(&parsed))?;
    Ok(Issued { facts, body: pem::certificate(signed.der()), chain: authority.certificate.clone() })
}

fn alternative(name: &str) -> Result<SanType, Fault> {
    name.to_owned().try_into().map(SanType::DnsName).map_err(|_| Fault::internal())
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn authority_subject(name: &str) -> DistinguishedName {
    let mut subject = common_name(name);
    subject.push(DnType::OrganizationName, ORGANIZATION);
    subject
}

/// A certificate that is good for so many days from the beginning of this one.
fn params(subject: DistinguishedName, now: Timestamp, days: u64) -> Result<CertificateParams, Fault> {
    let seconds = u64::try_from(now.millis() / 1000).map_err(|_| Fault::internal())?;
    let first = (seconds - seconds % DAY_SECONDS).min(LATEST);
    let mut serial = random::<16>()?;
    // A positive number that has all its bytes.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(first);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(first + days * DAY_SECONDS - 1);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// Seconds: the year 5138. Later times, and those so many days behind them, are none that a certificate can say.
const LATEST: u64 = 100_000_000_000;
