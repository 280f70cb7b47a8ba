//! How certificates are shown.

use aws_lc_rs::digest::{SHA256, digest};
use longshore_api::acm as api;
use longshore_model::certificate::Certificate;
use longshore_model::{Place, State};
use longshore_wire::Timestamp;

use super::find;

pub fn status(row: &Certificate, now: Timestamp) -> api::CertificateStatus {
    match row.has_ended(now) {
        true => api::CertificateStatus::Expired,
        false => api::CertificateStatus::Issued,
    }
}

/// What is issued here is renewed while it is used.
fn eligibility(row: &Certificate, used: bool) -> api::RenewalEligibility {
    match used && row.is_issued_here() {
        true => api::RenewalEligibility::Eligible,
        false => api::RenewalEligibility::Ineligible,
    }
}

pub fn origin(row: &Certificate) -> api::CertificateKeyPairOrigin {
    match row.is_issued_here() {
        true => api::CertificateKeyPairOrigin::AwsManaged,
        false => api::CertificateKeyPairOrigin::CustomerProvided,
    }
}

pub fn detail(state: &State, place: &Place, row: &Certificate, now: Timestamp) -> api::CertificateDetail {
    let (facts, users, here) = (&row.facts, find::users(state, place, row), row.is_issued_here());
    let usage = |name: &api::KeyUsageName| api::KeyUsage { name: Some(*name) };
    let extended = facts.extended_key_usages.iter();
    api::CertificateDetail {
        certificate_arn: Some(row.arn(place)),
        domain_name: Some(facts.domain.clone()),
        subject_alternative_names: Some(facts.names.clone()),
        domain_validation_options: validations(row),
        serial: Some(facts.serial.clone()),
        subject: Some(facts.subject.clone()),
        issuer: Some(facts.issuer.clone()),
        created_at: Some(row.created_at),
        issued_at: Some(row.obtained_at).filter(|_| here),
        imported_at: Some(row.obtained_at).filter(|_| !here),
        status: Some(status(row, now)),
        not_before: Some(facts.not_before),
        not_after: Some(facts.not_after),
        key_algorithm: Some(facts.key_algorithm),
        signature_algorithm: Some(facts.signature_algorithm.clone()),
        renewal_eligibility: Some(eligibility(row, !users.is_empty())),
        in_use_by: Some(users),
        r#type: Some(row.kind),
        renewal_summary: row.renewed_at.map(|at| renewal(row, at)),
        key_usages: Some(facts.key_usages.iter().map(usage).collect()),
        extended_key_usages: Some(
            extended.map(|one| api::ExtendedKeyUsage { name: Some(one.name), oid: Some(one.oid.clone()) }).collect(),
        ),
        options: Some(options(row)),
        certificate_key_pair_origin: Some(origin(row)),
        ..Default::default()
    }
}

/// Nobody logs what is imported.
fn options(row: &Certificate) -> api::CertificateOptions {
    let disabled = api::CertificateTransparencyLoggingPreference::Disabled;
    api::CertificateOptions {
        certificate_transparency_logging_preference: Some(row.transparency.unwrap_or(disabled)),
        export: row.is_issued_here().then_some(api::CertificateExport::Disabled),
        validation_method: row.validation,
    }
}

fn renewal(row: &Certificate, at: Timestamp) -> api::RenewalSummary {
    api::RenewalSummary {
        renewal_status: Some(api::RenewalStatus::Success),
        domain_validation_options: validations(row),
        renewal_status_reason: None,
        updated_at: Some(at),
    }
}

/// How the names of a certificate that was requested would have been validated.
fn validations(row: &Certificate) -> Option<Vec<api::DomainValidation>> {
    let method = row.validation?;
    let shown = |name: &String| {
        let below = name.strip_prefix("*.").unwrap_or(name);
        let by_mail = method == api::ValidationMethod::Email;
        let emails = ["admin", "administrator", "hostmaster", "postmaster", "webmaster"];
        api::DomainValidation {
            domain_name: Some(name.clone()),
            validation_domain: Some(below.to_owned()),
            validation_emails: by_mail.then(|| emails.map(|who| format!("{who}@{below}")).to_vec()),
            validation_status: Some(api::DomainStatus::Success),
            validation_method: Some(method),
            resource_record: (!by_mail).then(|| record(&row.account, below)),
            http_redirect: None,
        }
    };
    Some(row.facts.names.iter().map(shown).collect())
}

/// The record that would prove who has a domain: the same for each certificate of an account, as on AWS.
fn record(account: &str, domain: &str) -> api::ResourceRecord {
    let hash = |what: &str| {
        let digest = digest(&SHA256, format!("{what}/{account}/{domain}").as_bytes());
        digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    api::ResourceRecord {
        name: Some(format!("_{}.{domain}.", hash("name"))),
        r#type: Some(api::RecordType::Cname),
        value: Some(format!("_{}.{}.acm-validations.aws.", hash("value"), &hash("zone")[..10])),
    }
}

pub fn summary(state: &State, place: &Place, row: &Certificate, now: Timestamp) -> api::CertificateSummary {
    let (facts, used, here) = (&row.facts, find::is_used(state, row), row.is_issued_here());
    api::CertificateSummary {
        certificate_arn: Some(row.arn(place)),
        domain_name: Some(facts.domain.clone()),
        subject_alternative_name_summaries: Some(facts.names.iter().take(SHOWN_NAMES).cloned().collect()),
        has_additional_subject_alternative_names: Some(facts.names.len() > SHOWN_NAMES),
        status: Some(status(row, now)),
        r#type: Some(row.kind),
        key_algorithm: Some(facts.key_algorithm),
        key_usages: Some(facts.key_usages.clone()),
        extended_key_usages: Some(facts.extended_key_usages.iter().map(|usage| usage.name).collect()),
        export_option: here.then_some(api::CertificateExport::Disabled),
        in_use: Some(used),
        exported: here.then_some(false),
        renewal_eligibility: Some(eligibility(row, used)),
        not_before: Some(facts.not_before),
        not_after: Some(facts.not_after),
        created_at: Some(row.created_at),
        issued_at: Some(row.obtained_at).filter(|_| here),
        imported_at: Some(row.obtained_at).filter(|_| !here),
        certificate_key_pair_origin: Some(origin(row)),
        ..Default::default()
    }
}

/// Names of a certificate that a list shows.
const SHOWN_NAMES: usize = 100;
