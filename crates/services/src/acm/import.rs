//! ImportCertificate.

use longshore_api::acm as api;
use longshore_model::State;
use longshore_model::certificate::{Certificate, CertificateFacts, MOST_CERTIFICATES};
use longshore_wire::{Fault, Timestamp};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::key::{Key, about};
use super::{fault, find, pem, read, signature, tag};
use crate::Context;

/// Certificates of a chain, and bytes of it.
const LONGEST_CHAIN: usize = 16;
const LARGEST_CHAIN: usize = 64 * 1024;

/// A certificate as it was given, checked.
struct Given {
    facts: CertificateFacts,
    body: String,
    chain: Option<String>,
    key: Key,
}

/// With an ARN it takes the place of the certificate that has it, which stays where it is used.
///
/// # Errors
/// `ValidationException` for what does not read or does not fit together; `LimitExceededException`;
/// `ResourceNotFoundException`; those of [`tag::add`].
pub fn import(
    context: &mut Context<'_>,
    request: api::ImportCertificateRequest,
) -> Result<api::ImportCertificateResponse, Fault> {
    let (body, key) = (request.certificate.unwrap_or_default(), request.private_key.unwrap_or_default());
    let given = Given::read(&body.0, &key.0, request.certificate_chain.as_ref().map(|chain| &*chain.0), context.now)?;
    let tags = tag::made(request.tags.unwrap_or_default())?;
    let (place, now, vault) = (context.place.clone(), context.now, &context.settings.vault);
    let arn = context.transact(|state, changes, mint| {
        let mut row = match request.certificate_arn {
            Some(arn) if tags.is_empty() => replaced(state, &given.facts, find::find(state, &place, &arn)?)?,
            Some(_) => return Err(fault::validation("Tagging is not permitted on re-import.")),
            None => {
                check_room(find::count(state, &place))?;
                blank(place.account.to_string(), mint.uuid(), now, given.facts.clone())
            }
        };
        row.key = vault.seal(&about(&row.account, &row.id), given.key.secret().as_bytes())?;
        row.obtained_at = now;
        row.facts = given.facts;
        row.body = given.body;
        row.chain = given.chain;
        if row.tags.is_empty() {
            row.tags = tags;
        }
        let arn = row.arn(&place);
        changes.push(row.into());
        Ok(arn)
    })?;
    Ok(api::ImportCertificateResponse { certificate_arn: Some(arn) })
}

/// # Errors
/// `LimitExceededException`
pub fn check_room(count: usize) -> Result<(), Fault> {
    match count >= MOST_CERTIFICATES {
        true => Err(fault::limit(format!("You have reached the maximum number of {MOST_CERTIFICATES} certificates."))),
        false => Ok(()),
    }
}

/// An imported certificate without its texts and its key.
fn blank(account: String, id: String, now: Timestamp, facts: CertificateFacts) -> Certificate {
    Certificate {
        account,
        id,
        created_at: now,
        kind: api::CertificateType::Imported,
        obtained_at: now,
        renewed_at: None,
        facts,
        body: String::new(),
        chain: None,
        key: String::new(),
        validation: None,
        transparency: None,
        token: None,
        tags: Default::default(),
    }
}

/// What is imported over another certificate keeps its kind of key and what that may be used for, as AWS has it.
///
/// # Errors
/// `ValidationException`
fn replaced(state: &State, facts: &CertificateFacts, known: &Certificate) -> Result<Certificate, Fault> {
    if known.is_issued_here() {
        return Err(fault::validation("Only an imported certificate can be imported again."));
    }
    if facts.key_algorithm != known.facts.key_algorithm && find::is_used(state, known) {
        let wanted = known.facts.key_algorithm;
        let message = format!("The key type and size of a certificate in use cannot be changed: it is {wanted}.");
        return Err(fault::validation(message));
    }
    let usages = known.facts.key_usages.iter().all(|usage| facts.key_usages.contains(usage));
    let extended = known.facts.extended_key_usages.iter().all(|usage| facts.extended_key_usages.contains(usage));
    match usages && extended {
        true => Ok(known.clone()),
        false => Err(fault::validation("Key usages of the certificate that is replaced cannot be removed.")),
    }
}

impl Given {
    /// # Errors
    /// `ValidationException`
    fn read(body: &[u8], key: &[u8], chain: Option<&[u8]>, now: Timestamp) -> Result<Self, Fault> {
        let bodies = pem::certificates(body).filter(|bodies| !bodies.is_empty());
        let bodies = bodies
            .ok_or_else(|| fault::validation("The certificate is not in a valid PEM format, or cannot be read."))?;
        let [body] = bodies.as_slice() else {
            return Err(fault::validation(
                "The certificate field contains more than one certificate. You can specify only one certificate in this \
                 field.",
            ));
        };
        let parsed = read::parse(body).ok_or_else(|| fault::validation("The certificate cannot be read."))?;
        let facts = read::facts(&parsed)?;
        check_time(&facts, now)?;
        let key = Key::read(key)?;
        if !key.fits(&parsed.public_key().subject_public_key.data) {
            return Err(fault::validation("The private key does not match the public key of the certificate."));
        }
        let chain = chain.map(read_chain).transpose()?;
        match &chain {
            Some(chain) => check_chain(&parsed, chain)?,
            None if !signature::is_self_signed(&parsed) => {
                return Err(fault::validation(
                    "Provided certificate is not a valid self signed. Please provide either a valid self-signed \
                     certificate or certificate chain.",
                ));
            }
            None => {}
        }
        let chain = chain.map(|chain| chain.iter().map(|one| pem::certificate(one)).collect());
        Ok(Self { facts, body: pem::certificate(body), chain, key })
    }
}

/// # Errors
/// `ValidationException`
fn check_time(facts: &CertificateFacts, now: Timestamp) -> Result<(), Fault> {
    if now < facts.not_before {
        return Err(fault::validation("The certificate is not valid yet."));
    }
    match now > facts.not_after {
        true => Err(fault::validation("The certificate has expired.")),
        false => Ok(()),
    }
}

/// # Errors
/// `ValidationException` for what does not read, or is too long to be anybody's chain.
fn read_chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let too_long = || {
        let message =
            format!("The certificate chain has more than {LONGEST_CHAIN} certificates or {LARGEST_CHAIN} bytes.");
        Err(fault::validation(message))
    };
    if text.len() > LARGEST_CHAIN {
        return too_long();
    }
    match pem::certificates(text).filter(|chain| !chain.is_empty()) {
        None => Err(fault::validation("The certificate chain is not in a valid PEM format.")),
        Some(chain) if chain.len() > LONGEST_CHAIN => too_long(),
        Some(chain) => Ok(chain),
    }
}

/// Each must have issued the one before it.
///
/// # Errors
/// `ValidationException` with the place of the first that has not.
fn check_chain(leaf: &X509Certificate<'_>, chain: &[CertificateDer<'_>]) -> Result<(), Fault> {
    let broken = |at: usize| {
        let message = format!(
            "Unable to validate certificate chain. The certificate chain must start with the immediate signing \
             certificate, followed by any intermediaries in order. The index within the chain of the invalid certificate \
             is: {at}"
        );
        fault::validation(message)
    };
    let mut last = leaf.clone();
    for (at, der) in chain.iter().enumerate() {
        let signer = read::parse(der).ok_or_else(|| broken(at))?;
        if !signature::is_issued_by(&last, &signer) {
            return Err(broken(at));
        }
        last = signer;
    }
    Ok(())
}
