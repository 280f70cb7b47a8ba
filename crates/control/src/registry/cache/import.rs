//! From an upstream's manifest to records: its layers first, then the image, then the tag, as if it had been pushed.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use longshore_model::Change;
use longshore_model::registry::tag_key;
use longshore_services::Context;
use longshore_services::ecr::content::{self, Push};
use longshore_store::blobs::{Algorithm, Digest};
use longshore_wire::Fault;

use super::super::route::Reference;
use super::flight::{Cache, Failure, Flight, Manifest, digest_key};
use super::{Source, layer};
use crate::gateway::settle;
use crate::remote::Error;
use crate::{Server, clock};

/// Layers of one image that come at one time.
const AT_ONCE: usize = 3;

/// What a reference leads to upstream; `None` if it is what is known.
pub(super) async fn look(
    source: &Source,
    cache: &Cache,
    reference: &Reference,
    known: Option<&str>,
) -> Result<Option<Arc<Manifest>>, Failure> {
    let _turn = cache.turn_to_ask().await?;
    let (remote, upstream) = (&source.remote, &source.upstream);
    let text = match reference {
        Reference::Digest(digest) => digest.as_str(),
        Reference::Tag(tag) | Reference::NoTag(tag) => tag,
    };
    if let Some(known) = known
        && remote.digest(upstream, text).await?.as_str() == known
    {
        return Ok(None);
    }
    let served = remote.manifest(upstream, text).await?;
    let read = content::Manifest::read(&served.bytes, served.media_type.as_deref()).map_err(|fault| Error::Wrong {
        host: remote.host(),
        what: format!("sends what is no manifest: {}", fault.message),
    })?;
    cache.kept(served, read).map(Some)
}

/// Takes note that the upstream was asked for a tag.
pub(super) fn looked(source: &Source, reference: &Reference) {
    let Reference::Tag(tag) = reference else { return };
    let mut context = source.context();
    let now = context.now;
    let noted = context.transact(|state, changes, _| {
        let repository = content::repository(state, &source.registry, &source.name)?;
        let known = state.image_tags.get(&tag_key(&repository.id, tag));
        changes.extend(known.and_then(|known| known.looked_again(Some(now))).map(Change::from));
        Ok::<_, Fault>(())
    });
    if let Err(fault) = noted {
        tracing::debug!(%fault, "that an upstream was asked was not noted");
    }
}

/// Imports what was fetched, for whoever asks next. Until it has ended, who asks has what was fetched.
pub(super) fn begin(source: Arc<Source>, reference: Reference, place: &str, flight: Arc<Flight>, found: Arc<Manifest>) {
    let server = source.server.clone();
    let alias = digest_key(&source.registry, &source.name, &found.served.digest);
    server.cache.alias(&alias, &flight);
    let places = [place.to_owned(), alias];
    tokio::spawn(async move {
        let _flown = Flown { server: &server, places, flight };
        let importing = async {
            let _turn = server.cache.turn_to_import().await;
            import(&source, &reference, &found).await
        };
        let imported = tokio::select! {
            imported = importing => imported,
            () = server.stopping() => return,
        };
        let (name, digest) = (&source.name, &found.served.digest);
        match imported {
            Ok(()) => tracing::info!(name, %digest, "an image was imported from its upstream"),
            Err(failure) => tracing::warn!(name, %digest, %failure, "an image was not imported from its upstream"),
        }
    });
}

/// Has a flight be forgotten when it is over, however it ends.
struct Flown<'a> {
    server: &'a Server,
    places: [String; 2],
    flight: Arc<Flight>,
}

impl Drop for Flown<'_> {
    fn drop(&mut self) {
        for place in &self.places {
            self.server.cache.forget(place, &self.flight);
        }
    }
}

async fn import(source: &Arc<Source>, reference: &Reference, found: &Manifest) -> Result<(), Failure> {
    let missing: Vec<Digest> = {
        let state = source.server.store.read();
        let repository = content::repository(&state, &source.registry, &source.name)?;
        let parts = found.read.layers.iter().filter(|part| !part.is_foreign);
        let missing = parts.filter(|part| state.layer(&repository.id, &part.digest).is_none());
        missing.filter_map(|part| Digest::parse(&part.digest).ok()).collect()
    };
    let coming = stream::iter(missing).map(|digest| async move {
        let coming = layer::fetch(source, &digest)?;
        coming.ended().await
    });
    let mut coming = coming.buffer_unordered(AT_ONCE);
    while let Some(came) = coming.next().await {
        came?;
    }
    let is_sha512 = found.served.digest.algorithm() != Algorithm::Sha256;
    let tag = if let Reference::Tag(tag) = reference { Some(tag.as_str()) } else { None };
    let push = Push {
        registry: &source.registry,
        repository: &source.name,
        bytes: &found.served.bytes,
        media_type: found.served.media_type.as_deref(),
        digest: is_sha512.then_some(&found.served.digest),
        tags: &tag.into_iter().collect::<Vec<_>>(),
        looked_at: Some(clock::now()),
    };
    let mut context = source.context();
    let put = tokio::task::block_in_place(|| content::put_image(&mut context, &push));
    written(&source.server, context).await?;
    put.map(drop).map_err(Failure::from)
}

/// Waits until what was written is durable.
pub(super) async fn written(server: &Server, context: Context<'_>) -> Result<(), Failure> {
    let (revision, tickets) = context.into_waits();
    settle(server, revision, &tickets, None).await.map_err(Failure::from)
}
