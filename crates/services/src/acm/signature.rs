//! Whether one certificate signed another.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::X509Version;

/// OID, AWS's name, and what may have made it, by the signer's key.
type Algorithm = (&'static str, &'static str, &'static [&'static dyn VerificationAlgorithm]);

/// The signature algorithms that are taken.
static KNOWN: &[Algorithm] = &[
    ("1.2.840.113549.1.1.11", "SHA256WITHRSA", &[&RSA_PKCS1_2048_8192_SHA256]),
    ("1.2.840.113549.1.1.12", "SHA384WITHRSA", &[&RSA_PKCS1_2048_8192_SHA384]),
    ("1.2.840.113549.1.1.13", "SHA512WITHRSA", &[&RSA_PKCS1_2048_8192_SHA512]),
    (
        "1.2.840.113549.1.1.10",
        "RSASSA-PSS",
        &[&RSA_PSS_2048_8192_SHA256, &RSA_PSS_2048_8192_SHA384, &RSA_PSS_2048_8192_SHA512],
    ),
    (
        "1.2.840.10045.4.3.2",
        "SHA256WITHECDSA",
        &[&ECDSA_P256_SHA256_ASN1, &ECDSA_P384_SHA256_ASN1, &ECDSA_P521_SHA256_ASN1],
    ),
    (
        "1.2.840.10045.4.3.3",
        "SHA384WITHECDSA",
        &[&ECDSA_P256_SHA384_ASN1, &ECDSA_P384_SHA384_ASN1, &ECDSA_P521_SHA384_ASN1],
    ),
    (
        "1.2.840.10045.4.3.4",
        "SHA512WITHECDSA",
        &[&ECDSA_P256_SHA512_ASN1, &ECDSA_P384_SHA512_ASN1, &ECDSA_P521_SHA512_ASN1],
    ),
];

fn known(certificate: &X509Certificate<'_>) -> Option<&'static Algorithm> {
    let oid = certificate.signature_algorithm.algorithm.to_id_string();
    KNOWN.iter().find(|(known, _, _)| *known == oid)
}

/// What AWS calls the algorithm that a certificate is signed by; `None` for one that is not taken (SHA-1, MD5).
pub fn name(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    known(certificate).map(|(_, name, _)| *name)
}

/// Whether `signer`'s key made the signature of a certificate.
fn verifies(certificate: &X509Certificate<'_>, signer: &X509Certificate<'_>) -> bool {
    let Some((_, _, algorithms)) = known(certificate) else { return false };
    let public = signer.public_key().subject_public_key.data.as_ref();
    let (text, signature) = (certificate.tbs_certificate.as_ref(), certificate.signature_value.data.as_ref());
    algorithms.iter().any(|algorithm| UnparsedPublicKey::new(*algorithm, public).verify(text, signature).is_ok())
}

/// Whether it vouches for itself.
pub fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw() && verifies(certificate, certificate)
}

/// Whether `signer` is an authority and issued a certificate.
pub fn is_issued_by(certificate: &X509Certificate<'_>, signer: &X509Certificate<'_>) -> bool {
    // Before version 3 nothing in a certificate says whether it is an authority's.
    let authority = signer.is_ca() || signer.version() != X509Version::V3;
    authority && certificate.issuer().as_raw() == signer.subject().as_raw() && verifies(certificate, signer)
}
