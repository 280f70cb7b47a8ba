//! What a certificate says of itself.

use longshore_api::acm::{ExtendedKeyUsageName, KeyAlgorithm, KeyUsageName};
use longshore_model::certificate::{CertificateFacts, ExtendedUsage};
use longshore_wire::{Fault, Timestamp};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, KeyUsage};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Name;

use super::{fault, signature};

/// A certificate in DER, and nothing behind it.
pub fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

/// # Errors
/// `ValidationException` for a key, a size or a signature that is not taken, and for what has no name.
pub fn facts(certificate: &X509Certificate<'_>) -> Result<CertificateFacts, Fault> {
    let names = names(certificate);
    let domain = names.first().cloned();
    let domain = domain.ok_or_else(|| fault::validation("The certificate must have a domain name."))?;
    let signature_algorithm = signature::name(certificate)
        .ok_or_else(|| fault::validation("The signature algorithm of the certificate is not supported."))?;
    let validity = certificate.validity();
    Ok(CertificateFacts {
        domain,
        names,
        serial: certificate.raw_serial_as_string(),
        subject: certificate.subject().to_string(),
        issuer: issuer(certificate.issuer()),
        not_before: timestamp(validity.not_before),
        not_after: timestamp(validity.not_after),
        key_algorithm: key_algorithm(certificate)?,
        signature_algorithm: signature_algorithm.to_owned(),
        key_usages: certificate.key_usage().ok().flatten().map(|usage| key_usages(usage.value)).unwrap_or_default(),
        extended_key_usages: certificate
            .extended_key_usage()
            .ok()
            .flatten()
            .map(|usage| extended(usage.value))
            .unwrap_or_default(),
    })
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_millis(time.timestamp().saturating_mul(1000))
}

/// The common name, then the alternative names that are domain names, each once.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    let mut names: Vec<String> = Vec::new();
    for name in common.take(1).chain(alternative).filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The organisation that issued it, or what it calls itself.
fn issuer(name: &X509Name<'_>) -> String {
    let organization = name.iter_organization().next().and_then(|one| one.as_str().ok());
    let common = || name.iter_common_name().next().and_then(|one| one.as_str().ok());
    organization.or_else(common).map_or_else(|| name.to_string(), str::to_owned)
}

/// # Errors
/// `ValidationException`
fn key_algorithm(certificate: &X509Certificate<'_>) -> Result<KeyAlgorithm, Fault> {
    let public = certificate.public_key();
    let length = |length: usize, algorithm: &str| {
        let message = format!("The private key length {length} is not supported for key algorithm {algorithm}.");
        Err(fault::validation(message))
    };
    match public.parsed() {
        Ok(PublicKey::RSA(key)) => match key.key_size() {
            2048 => Ok(KeyAlgorithm::Rsa2048),
            3072 => Ok(KeyAlgorithm::Rsa3072),
            4096 => Ok(KeyAlgorithm::Rsa4096),
            other => length(other, "RSA"),
        },
        Ok(PublicKey::EC(_)) => {
            let curve = public.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            curve_algorithm(&curve.map(|oid| oid.to_id_string()).unwrap_or_default())
        }
        _ => Err(fault::validation("The key algorithm of the certificate is not supported.")),
    }
}

fn curve_algorithm(oid: &str) -> Result<KeyAlgorithm, Fault> {
    match oid {
        "1.2.840.10045.3.1.7" => Ok(KeyAlgorithm::EcPrime256v1),
        "1.3.132.0.34" => Ok(KeyAlgorithm::EcSecp384r1),
        "1.3.132.0.35" => Ok(KeyAlgorithm::EcSecp521r1),
        _ => Err(fault::validation("The elliptic curve of the certificate's key is not supported.")),
    }
}

fn key_usages(usage: &KeyUsage) -> Vec<KeyUsageName> {
    let all = [
        (usage.digital_signature(), KeyUsageName::DigitalSignature),
        (usage.non_repudiation(), KeyUsageName::NonRepudiation),
        (usage.key_encipherment(), KeyUsageName::KeyEncipherment),
        (usage.data_encipherment(), KeyUsageName::DataEncipherment),
        (usage.key_agreement(), KeyUsageName::KeyAgreement),
        (usage.key_cert_sign(), KeyUsageName::CertificateSigning),
        (usage.crl_sign(), KeyUsageName::CrlSigning),
        (usage.encipher_only(), KeyUsageName::EncipherOnly),
        (usage.decipher_only(), KeyUsageName::DecipherOnly),
    ];
    all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
}

fn extended(usage: &ExtendedKeyUsage<'_>) -> Vec<ExtendedUsage> {
    let all = [
        (usage.server_auth, ExtendedKeyUsageName::TlsWebServerAuthentication, "1.3.6.1.5.5.7.3.1"),
        (usage.client_auth, ExtendedKeyUsageName::TlsWebClientAuthentication, "1.3.6.1.5.5.7.3.2"),
        (usage.code_signing, ExtendedKeyUsageName::CodeSigning, "1.3.6.1.5.5.7.3.3"),
        (usage.email_protection, ExtendedKeyUsageName::EmailProtection, "1.3.6.1.5.5.7.3.4"),
        (usage.time_stamping, ExtendedKeyUsageName::TimeStamping, "1.3.6.1.5.5.7.3.8"),
        (usage.ocsp_signing, ExtendedKeyUsageName::OcspSigning, "1.3.6.1.5.5.7.3.9"),
        (usage.any, ExtendedKeyUsageName::Any, "2.5.29.37.0"),
    ];
    let named = all.into_iter().filter(|(has, ..)| *has).map(|(_, name, oid)| (name, oid.to_owned()));
    let other = usage.other.iter().map(|oid| (ExtendedKeyUsageName::Custom, oid.to_id_string()));
    named.chain(other).map(|(name, oid)| ExtendedUsage { name, oid }).collect()
}
