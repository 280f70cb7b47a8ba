//! AWS Certificate Manager: certificates that are imported, and those that the installation's own authority issues.
//!
//! ```text
//!     ImportCertificate ──read, checked──►┐
//!                                         ├─► Certificate (key sealed under the master key) ──► listeners, the edge
//!     RequestCertificate ──[`authority`]─►┘
//! ```
//! A requested certificate is issued at once: DNS and e-mail validation are shown as they would be on AWS, and as done. It is
//! good for 395 days, and issued anew 60 days before its end while a listener has it ([`renew`]).
//!
//! Left out: exports, private authorities (AWS Private CA), certificates that CloudFront manages, ACME, account settings.

mod authority;
mod certificate;
mod fault;
mod find;
mod import;
mod key;
mod list;
mod pem;
mod read;
mod renew;
mod request;
mod show;
mod signature;
mod tag;
#[cfg(test)]
mod tests;

use longshore_model::certificate::Certificate;

use crate::{Service, Vault, operations};

pub use authority::local as local_authority;
pub use find::find;
pub use renew::{due, renew};
pub use tag::of_arn as tags_of;

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::acm::SERVICE,
    // An RSA key takes a tenth of a second and more to make.
    blocking: true,
    operations: operations! {
        "ImportCertificate" => import::import,
        "RequestCertificate" => request::request,
        "DescribeCertificate" => certificate::describe,
        "ListCertificates" => list::list,
        "GetCertificate" => certificate::get,
        "DeleteCertificate" => certificate::delete,
        "AddTagsToCertificate" => tag::add_to,
        "RemoveTagsFromCertificate" => tag::remove_from,
        "ListTagsForCertificate" => tag::list,
    },
};

/// The private key of a certificate in PEM; `None` if the vault does not open it.
pub fn private_key(vault: &Vault, certificate: &Certificate) -> Option<String> {
    vault.open_text(&key::about(&certificate.account, &certificate.id), &certificate.key)
}
