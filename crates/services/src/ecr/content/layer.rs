//! Layers of repositories.

use std::sync::Arc;

use longshore_api::ecr::fault as def;
use longshore_model::registry::{Layer, MOST_LOOSE, bytes_key};
use longshore_model::{AccountId, Change, State, TableName};
use longshore_store::blobs::Kept;
use longshore_wire::{Fault, Timestamp};

use super::{check_place, fault, repository};
use crate::Context;
use crate::ecr::mounts;

/// How old a layer is at least when it is kept for longer because somebody asks for it, lest it go with the last image that
/// names it before another does: milliseconds since it was pushed.
const FRESH: i64 = 10 * 60 * 1000;

/// The layer of a repository with this digest.
///
/// # Errors
/// `RepositoryNotFoundException`, `LayersNotFoundException`.
pub fn layer<'a>(state: &'a State, registry: &AccountId, name: &str, digest: &str) -> Result<&'a Arc<Layer>, Fault> {
    let repository = repository(state, registry, name)?;
    state.layer(&repository.id, digest).ok_or_else(|| fault::no_layer(registry, name, digest))
}

/// Whoever was told that these layers are there may rely on that for a while, whether an image names them or not. Where the
/// disk is full nothing goes, and nothing needs to be written.
pub fn freshen(context: &mut Context<'_>, layers: &[Arc<Layer>]) {
    let now = context.now;
    let old: Vec<&Arc<Layer>> = layers.iter().filter(|layer| is_old(layer, now)).collect();
    if old.is_empty() {
        return;
    }
    context.note(|state, changes| {
        let there = old.iter().filter_map(|layer| state.layers.get(&layer.key()));
        changes.extend(there.map(|layer| Change::from(Layer { pushed_at: now, ..Layer::clone(layer) })));
    });
}

fn is_old(layer: &Layer, now: Timestamp) -> bool {
    now.millis().saturating_sub(layer.pushed_at.millis()) >= FRESH
}

/// A blob whose bytes are in their place is the repository's. Returns whether it was so already. `id` is the repository's of when
/// the upload was begun.
///
/// # Errors
/// `RepositoryNotFoundException`, also of one that was made again under the name; `LimitExceededException`.
pub fn link(
    context: &mut Context<'_>,
    (registry, name): (&AccountId, &str),
    id: &str,
    kept: &Kept,
) -> Result<bool, Fault> {
    let now = context.now;
    let (digest, size) = (kept.digest.as_str(), i64::try_from(kept.size).map_err(|_| Fault::internal())?);
    context.transact(|state, changes, _| {
        let repository = repository(state, registry, name)?;
        if repository.id != id {
            return Err(fault::no_repository(registry, name));
        }
        check_place(repository, (registry, name), kept)?;
        changes.extend(linked(state, &repository.id, digest, size, now)?);
        Ok(state.layer(&repository.id, digest).is_some())
    })
}

/// Nothing, if it is the repository's and was lately asked for.
fn linked(state: &State, repository: &str, digest: &str, size: i64, now: Timestamp) -> Result<Option<Change>, Fault> {
    let known = state.layer(repository, digest);
    if known.is_none() && state.index.registry.loose_in(repository) >= MOST_LOOSE {
        return Err(fault::limit(format!("A repository may have {MOST_LOOSE} layers that no image refers to.")));
    }
    let is_fresh = known.is_some_and(|layer| !is_old(layer, now));
    let layer = Layer { repository: repository.to_owned(), digest: digest.to_owned(), size, pushed_at: now };
    Ok((!is_fresh).then(|| layer.into()))
}

/// Makes a layer of one repository one of another's. Returns whether the first has it, its bytes lie where the other's do, and the
/// account lets layers be mounted.
///
/// # Errors
/// `RepositoryNotFoundException`, of the one that it goes to; `LimitExceededException`.
pub fn mount(
    context: &mut Context<'_>,
    registry: &AccountId,
    (from, to): (&str, &str),
    digest: &str,
) -> Result<bool, Fault> {
    let now = context.now;
    context.transact(|state, changes, _| {
        let target = repository(state, registry, to)?;
        if !mounts(state, registry.as_str()) {
            return Ok(false);
        }
        let Ok(source) = layer(state, registry, from, digest) else { return Ok(false) };
        if bytes_key(&source.repository, digest) != bytes_key(&target.id, digest) {
            return Ok(false);
        }
        changes.extend(linked(state, &target.id, &source.digest, source.size, now)?);
        Ok(true)
    })
}

/// Takes a layer from a repository, unless an image needs it.
///
/// # Errors
/// `RepositoryNotFoundException`, `LayersNotFoundException`, `LayerInaccessibleException`.
pub fn unlink(context: &mut Context<'_>, registry: &AccountId, name: &str, digest: &str) -> Result<(), Fault> {
    context.transact(|state, changes, _| {
        let layer = layer(state, registry, name, digest)?;
        if state.index.registry.uses(&layer.key()) > 0 {
            let message = format!("An image of the repository with name '{name}' refers to the layer '{digest}'");
            return Err(fault::of(&def::LAYER_INACCESSIBLE_EXCEPTION, message));
        }
        changes.push(Change::Delete(TableName::Layer, layer.key()));
        Ok(())
    })
}
