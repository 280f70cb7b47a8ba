//! AWS Certificate Manager. A certificate is judged by its ARN and tags; one that is made, by an ARN without an id.

use super::asked::{set, set_tags};
use super::{Access, Asked, Found, Key, NONE, Need, Resource, Table};
use crate::acm::tags_of;

/// The certificate that a request names.
fn named(asked: &Asked<'_>) -> Vec<Found> {
    let found = |arn: &str| Found { arn: arn.to_owned(), tags: tags_of(asked.state, asked.place, arn) };
    asked.given("CertificateArn").map(found).into_iter().collect()
}

fn made(asked: &Asked<'_>) -> Vec<Found> {
    vec![Found { arn: asked.place.arn("acm", "certificate/*"), tags: Vec::new() }]
}

/// What is imported takes the place of the certificate that is named.
fn imported(asked: &Asked<'_>) -> Vec<Found> {
    let named = named(asked);
    if named.is_empty() { made(asked) } else { named }
}

static CERTIFICATE: Resource = Resource { form: "certificate/ID", find: named };
static IMPORTED: Resource = Resource { form: "certificate/ID", find: imported };
/// What is made, if it is to have tags.
static TAGGED: Resource = Resource {
    form: "certificate/*",
    find: |asked| if asked.tags("Tags").is_empty() { Vec::new() } else { imported(asked) },
};

macro_rules! keys {
    ($($name:ident $key:literal |$asked:ident| $values:expr;)*) => {
        $(static $name: Key = Key { name: $key, set: |$asked, context| set(context, $key, $values) };)*
    };
}

keys! {
    TAG_KEYS "aws:TagKeys" |asked| asked.tags("Tags").into_iter().map(|(key, _)| key);
    ALGORITHM "acm:KeyAlgorithm" |asked| [asked.given("KeyAlgorithm").unwrap_or("RSA_2048")];
    METHOD "acm:ValidationMethod" |asked| [asked.given("ValidationMethod").unwrap_or("EMAIL")];
    AUTHORITY "acm:CertificateAuthority" |asked| asked.given("CertificateAuthorityArn");
    EXPORT "acm:Export" |asked| [asked.given("Options.Export").unwrap_or("DISABLED")];
    TRANSPARENCY "acm:CertificateTransparencyLogging" |asked| {
        [asked.given("Options.CertificateTransparencyLoggingPreference").unwrap_or("ENABLED")]
    };
    DOMAINS "acm:DomainNames" |asked| {
        asked.given("DomainName").into_iter().chain(asked.texts("SubjectAlternativeNames"))
    };
}

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("Tags")) };

macro_rules! plain {
    ($operation:literal, $on:expr, $keys:expr) => {
        Access::new($operation, &[Need::new(concat!("acm:", $operation), $on, $keys)])
    };
}

/// An operation that makes something, and tags it where it is to have tags.
macro_rules! making {
    ($operation:literal, $on:expr, $keys:expr) => {
        Access::new(
            $operation,
            &[
                Need::new(concat!("acm:", $operation), $on, $keys),
                Need::new("acm:AddTagsToCertificate", &TAGGED, &[&TAGS]),
            ],
        )
    };
}

pub(super) static TABLE: Table = Table {
    service: "acm",
    operations: &[
        making!("ImportCertificate", &IMPORTED, &[&TAGS]),
        making!(
            "RequestCertificate",
            &NONE,
            &[&TAGS, &ALGORITHM, &METHOD, &AUTHORITY, &EXPORT, &TRANSPARENCY, &DOMAINS]
        ),
        plain!("DescribeCertificate", &CERTIFICATE, &[]),
        plain!("ListCertificates", &NONE, &[]),
        plain!("GetCertificate", &CERTIFICATE, &[]),
        plain!("DeleteCertificate", &CERTIFICATE, &[]),
        plain!("AddTagsToCertificate", &CERTIFICATE, &[&TAGS]),
        plain!("RemoveTagsFromCertificate", &CERTIFICATE, &[&TAG_KEYS]),
        plain!("ListTagsForCertificate", &CERTIFICATE, &[]),
    ],
};
