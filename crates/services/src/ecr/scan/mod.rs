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
use longshore_wire::Fault;

use super::content::Named;
use super::find::registry;
use super::{content, fault};

pub use configure::{configure, of_registry, of_repositories};
pub use findings::{describe, line, status, summary};
pub use start::{on_push, start};

/// What an image is called by; it must be called by something.
fn named(id: &api::ImageIdentifier) -> Result<Named<'_>, Fault> {
    let named = Named::of(id);
    match (named.digest, named.tag) {
        (None, None) => Err(fault::parameter("imageId", "must have an imageDigest or an imageTag")),
        _ => Ok(named),
    }
}
