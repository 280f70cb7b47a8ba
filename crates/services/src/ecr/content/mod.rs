//! What is in repositories, for both of the registry's faces: ECR's API and the distribution API under `/v2/`.
//!
//! A push writes bytes first and then the record, under a pin of the bytes ([`put_image`], [`link`]); whatever takes a record
//! away leaves bytes to the planner. Who may do it was asked before. Errors are ECR's; the other face has codes for them.

mod delete;
mod document;
mod image;
mod layer;
mod manifest;
mod place;
mod put;

use std::sync::Arc;

use longshore_model::registry::Repository;
use longshore_model::{AccountId, State};
use longshore_wire::Fault;

use super::fault;

pub use delete::{Deleted, delete_image};
pub use document::{annotations, layers};
pub use image::{MANIFEST, Named, find_image, image, is_tag, note_pull, referrers};
pub use layer::{freshen, layer, link, mount, unlink};
pub use manifest::Manifest;
pub use place::{bytes, bytes_of, check_place};
pub use put::{Push, Pushed, is_immutable, put_image};

/// The repository of a registry with this name.
///
/// # Errors
/// `RepositoryNotFoundException`
pub fn repository<'a>(state: &'a State, registry: &AccountId, name: &str) -> Result<&'a Arc<Repository>, Fault> {
    state.repository(registry.as_str(), name).ok_or_else(|| fault::no_repository(registry, name))
}
