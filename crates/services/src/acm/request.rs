//! RequestCertificate: a certificate of the installation's own authority, at once.

use std::collections::BTreeMap;

use longshore_api::acm as api;
use longshore_model::certificate::{Certificate, key};
use longshore_model::{Place, State};
use longshore_wire::{Fault, Timestamp};

use super::authority::{self, LONGEST_COMMON_NAME};
use super::import::check_room;
use super::key::{Key, about};
use super::{fault, find, tag};
use crate::Context;

/// How long a token stands for the same request, in milliseconds.
const TOKEN_MILLIS: i64 = 60 * 60 * 1000;

/// A request, checked.
struct Wanted {
    names: Vec<String>,
    algorithm: api::KeyAlgorithm,
    validation: api::ValidationMethod,
    transparency: api::CertificateTransparencyLoggingPreference,
    token: Option<String>,
    tags: BTreeMap<String, String>,
}

/// The same token within an hour answers the certificate that it made.
///
/// # Errors
/// `InvalidParameterException`, `InvalidDomainValidationOptionsException`, `LimitExceededException`, those of [`tag::add`],
/// and what is not built.
pub fn request(
    context: &mut Context<'_>,
    request: api::RequestCertificateRequest,
) -> Result<api::RequestCertificateResponse, Fault> {
    let wanted = Wanted::read(request)?;
    let (place, now, vault) = (context.place.clone(), context.now, &context.settings.vault);
    if let Some(known) = wanted.known(&context.read(), &place, now) {
        return Ok(api::RequestCertificateResponse { certificate_arn: Some(known) });
    }
    // Before the transaction, which others wait for.
    let key = Key::generate(wanted.algorithm)?;
    let arn = context.transact(|state, changes, mint| {
        if let Some(known) = wanted.known(state, &place, now) {
            return Ok(known);
        }
        check_room(find::count(state, &place))?;
        let authority = authority::local(state, changes, mint, (vault, now))?;
        let issued = authority::issue(&authority, &wanted.names, &key, (vault, now))?;
        let (account, id) = (place.account.to_string(), mint.uuid());
        let sealed = vault.seal(&about(&account, &id), key.secret().as_bytes())?;
        let row = Certificate {
            account,
            id,
            created_at: now,
            kind: api::CertificateType::AmazonIssued,
            obtained_at: now,
            renewed_at: None,
            facts: issued.facts,
            body: issued.body,
            chain: Some(issued.chain),
            key: sealed,
            validation: Some(wanted.validation),
            transparency: Some(wanted.transparency),
            token: wanted.token,
            tags: wanted.tags,
        };
        let arn = row.arn(&place);
        changes.push(row.into());
        Ok::<_, Fault>(arn)
    })?;
    Ok(api::RequestCertificateResponse { certificate_arn: Some(arn) })
}

impl Wanted {
    fn read(request: api::RequestCertificateRequest) -> Result<Self, Fault> {
        check_names(&request)?;
        check_built(&request)?;
        let domain = request.domain_name.unwrap_or_default();
        if domain.len() > LONGEST_COMMON_NAME {
            let message = format!("The first domain name can have at most {LONGEST_COMMON_NAME} characters.");
            return Err(fault::parameter(message));
        }
        let names = names(domain, request.subject_alternative_names.unwrap_or_default());
        check_domains(&names, &request.domain_validation_options.unwrap_or_default())?;
        let options = request.options.unwrap_or_default();
        let logged = api::CertificateTransparencyLoggingPreference::Enabled;
        Ok(Self {
            names,
            algorithm: request.key_algorithm.unwrap_or(api::KeyAlgorithm::Rsa2048),
            validation: request.validation_method.unwrap_or(api::ValidationMethod::Email),
            transparency: options.certificate_transparency_logging_preference.unwrap_or(logged),
            token: request.idempotency_token,
            tags: tag::made(request.tags.unwrap_or_default())?,
        })
    }

    /// The ARN of what this request made before.
    fn known(&self, state: &State, place: &Place, now: Timestamp) -> Option<String> {
        let token = self.token.as_deref()?;
        let prefix = key(place.account.as_str(), "");
        let mut rows = state.certificates.scan(&prefix).map(|(_, row)| row);
        let found = rows.find(|row| {
            let recent = now.millis().saturating_sub(row.created_at.millis()) < TOKEN_MILLIS;
            recent && row.token.as_deref() == Some(token) && row.facts.names == self.names
        });
        found.map(|row| row.arn(place))
    }
}

/// All names, each once, the first first.
fn names(domain: String, more: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = vec![domain];
    for name in more {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            names.push(name);
        }
    }
    names
}

/// What the model's pattern says, which looks ahead and is therefore not checked before.
///
/// # Errors
/// `ValidationException` in the words for what the model does not allow.
fn check_names(request: &api::RequestCertificateRequest) -> Result<(), Fault> {
    let domain = request.domain_name.iter().map(|name| ("domainName", name));
    let others = request.subject_alternative_names.iter().flatten().map(|name| ("subjectAlternativeNames", name));
    let options = request.domain_validation_options.iter().flatten().flat_map(|option| {
        let name = option.domain_name.as_ref().map(|name| ("domainValidationOptions.domainName", name));
        let above = option.validation_domain.as_ref().map(|name| ("domainValidationOptions.validationDomain", name));
        name.into_iter().chain(above)
    });
    let wrong = domain.chain(others).chain(options).filter(|(_, name)| !is_domain(name));
    let told: Vec<String> = wrong
        .map(|(member, name)| {
            format!("Value '{name:.253}' at '{member}' failed to satisfy constraint: Member must be a domain name")
        })
        .collect();
    match told.len() {
        0 => Ok(()),
        1 => Err(fault::validation(format!("1 validation error detected: {}", told[0]))),
        count => Err(fault::validation(format!("{count} validation errors detected: {}", told.join("; ")))),
    }
}

/// Two labels at least, a star for the first of them; the last has two characters and more.
fn is_domain(name: &str) -> bool {
    let labels: Vec<&str> = name.strip_prefix("*.").unwrap_or(name).split('.').collect();
    let good = |label: &&str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        letters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    labels.len() > 1 && labels.iter().all(good) && labels.last().is_some_and(|last| last.len() > 1)
}

/// # Errors
/// `UnsupportedOperationException`, `InvalidParameterException`.
fn check_built(request: &api::RequestCertificateRequest) -> Result<(), Fault> {
    if request.certificate_authority_arn.is_some() {
        return Err(fault::not_built("authorities of AWS Private CA"));
    }
    if request.managed_by.is_some() {
        return Err(fault::not_built("certificates that CloudFront manages"));
    }
    if request.options.as_ref().and_then(|options| options.export) == Some(api::CertificateExport::Enabled) {
        return Err(fault::not_built("certificates that can be exported"));
    }
    match request.validation_method {
        Some(api::ValidationMethod::Http) => {
            Err(fault::parameter("HTTP validation is for certificates that CloudFront manages only."))
        }
        _ => Ok(()),
    }
}

/// # Errors
/// `InvalidDomainValidationOptionsException` for a name that is not asked for, or a domain that it is not below.
fn check_domains(names: &[String], options: &[api::DomainValidationOption]) -> Result<(), Fault> {
    let wrong = options.iter().find(|option| {
        let name = option.domain_name.as_deref().unwrap_or_default();
        let domain = option.validation_domain.as_deref().unwrap_or_default();
        let below = name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        !below || !names.iter().any(|known| known == name)
    });
    match wrong {
        Some(option) => {
            let name = option.domain_name.as_deref().unwrap_or_default();
            Err(fault::domains(format!("The validation option of the domain name '{name}' is not valid.")))
        }
        None => Ok(()),
    }
}
