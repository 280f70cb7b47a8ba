//! The bytes of a repository: as they came, or sealed.

use longshore_model::registry::Repository;
use longshore_model::{AccountId, State};
use longshore_store::blobs::{Blobs, Kept, SealId};
use longshore_wire::Fault;

use super::{fault, repository};
use crate::Context;
use crate::ecr::seal;

/// Where the bytes of a repository are written and read.
///
/// # Errors
/// `RepositoryNotFoundException`; `KmsException` while its key cannot be used.
pub fn bytes(context: &mut Context<'_>, registry: &AccountId, name: &str) -> Result<Blobs, Fault> {
    let state = context.read();
    bytes_of(context, &state, repository(&state, registry, name)?)
}

/// As [`bytes`], of a repository that was found.
///
/// # Errors
/// `KmsException`
pub fn bytes_of(context: &Context<'_>, state: &State, repository: &Repository) -> Result<Blobs, Fault> {
    let seal = seal::of(state, context.settings, repository, context.now)?;
    Ok(context.blobs()?.under(seal))
}

/// That bytes lie where those of a repository do. They do not if it was made anew under its name since.
///
/// # Errors
/// `RepositoryNotFoundException`, of the one that is gone.
pub fn check_place(repository: &Repository, (registry, name): (&AccountId, &str), kept: &Kept) -> Result<(), Fault> {
    match kept.address().seal == SealId::parse(&repository.id) {
        true => Ok(()),
        false => Err(fault::no_repository(registry, name)),
    }
}
