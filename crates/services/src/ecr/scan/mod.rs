//! Scanning of images: which are scanned, that one is to be, what was found.
//!
//! A scan is a record that waits for its turn. The control plane carries it out, for which it reads the layers and the
//! database of known vulnerabilities, and writes what came of it; what was found is bytes, a finding in JSON on each line.
//!
//! Left out: Amazon Inspector's enhanced scanning, and ECR's quota of one scan a day for each image.

mod configure;
mod findings;
mod start;
#[cfg(test)]
mod tests;

use longshore_api::ecr as api;
use longshore_model::AccountId;
use longshore_wire::Fault;

use super::content::Named;
use super::{content, fault};
use crate::Context;

pub use configure::{configure, configure_repository, of_registry, of_repositories};
pub use findings::{describe, line, status, summary};
pub use start::{on_push, start};

/// The registry that is named, else the caller's.
fn registry(context: &Context<'_>, named: Option<&str>) -> Result<AccountId, Fault> {
    let Some(named) = named else { return Ok(context.account().clone()) };
    AccountId::parse(named).ok_or_else(|| fault::parameter("registryId", "must be an account"))
}

/// What an image is called by; it must be called by something.
fn named(id: &api::ImageIdentifier) -> Result<Named<'_>, Fault> {
    let named = Named::of(id);
    match (named.digest, named.tag) {
        (None, None) => Err(fault::parameter("imageId", "must have an imageDigest or an imageTag")),
        _ => Ok(named),
    }
}
