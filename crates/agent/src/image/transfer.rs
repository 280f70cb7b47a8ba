//! Bringing an image from a source into containerd: fetch layers, unpack them one over the other, record it.
//!
//! Layers whose snapshot is there already are neither fetched nor unpacked. Up to three layers are fetched at a time, and
//! inspected as they come ([`inspect`]), while those that have arrived are unpacked in order. Compressed layers are not
//! kept once they are unpacked: no label leads to them, so they go with the lease of the transfer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use containerd_client::services::v1::Image as Record;
use containerd_client::tonic::Code;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::oneshot;

use super::config;
use super::document::{Descriptor, Digest};
use super::error::Error;
use super::inspect::{self, Allowance};
use super::source::{Resolved, Source};
use super::store::{Labels, SNAPSHOT_LABEL, Store};
use super::writer::{Blob, Writer, write_bytes};

/// Label of an image record: the topmost snapshot of the image.
pub(super) const CHAIN_LABEL: &str = "longshore/chain";
/// Label of an image record: the manifest of this machine's platform.
pub(super) const MANIFEST_LABEL: &str = "longshore/manifest";
/// Label of an image record: it came from an archive, and no registry is asked about it.
const IMPORTED_LABEL: &str = "longshore/imported";
/// Label of an image record: credentials were shown for it, and who has none is not given it.
const PRIVATE_LABEL: &str = "longshore/private";

const FETCHES: usize = 3;
/// How long to wait for another writer of the same blob, looking ten times a second.
const LOCKED_LOOKS: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of compressed layers that have arrived.
    pub done_bytes: u64,
    /// Bytes of all compressed layers that were missing.
    pub total_bytes: u64,
}

/// Hears of progress.
pub type OnProgress = dyn Fn(Progress) + Send + Sync;

/// Brings a resolved image into containerd and records it as `name`. `store` is under a lease.
pub(super) async fn run(
    store: &Store,
    source: &Source,
    resolved: &Resolved,
    name: &str,
    on_progress: &OnProgress,
) -> Result<(), Error> {
    let manifest = &resolved.manifest;
    let config_bytes = source.small(&manifest.config).await?;
    let config = config::parse(&config_bytes, manifest.layers.len())?;
    let chain = config::chain(&config.layers);
    let present = present(store, &chain).await?;
    let layers: Vec<Layer> = (present..chain.len()).map(|at| Layer::new(at, &chain, &config, manifest)).collect();
    bring(store, source, &layers, on_progress).await?;

    let top = chain.last().map(Digest::to_string).unwrap_or_default();
    let on_config = labels(&[(SNAPSHOT_LABEL, &top)]);
    write_bytes(store, &manifest.config, &config_bytes, on_config).await?;
    let (descriptor, bytes) = &resolved.written;
    let on_manifest = labels(&[("containerd.io/gc.ref.content.config", manifest.config.digest.as_str())]);
    write_bytes(store, descriptor, bytes, on_manifest).await?;
    if let Some((index, bytes)) = &resolved.index {
        let on_index = labels(&[("containerd.io/gc.ref.content.m.0", descriptor.digest.as_str())]);
        write_bytes(store, index, bytes, on_index).await?;
    }
    let mut on_image = labels(&[(CHAIN_LABEL, &top), (MANIFEST_LABEL, descriptor.digest.as_str())]);
    on_image.extend(origin(store, source, name).await?.map(|label| (label.to_owned(), "true".to_owned())));
    store.put_image(name, resolved.target(), on_image).await
}

/// The label that says where the image of `name` came from, if there is one for that. An image that is only unpacked anew stays
/// what it was.
async fn origin(store: &Store, source: &Source, name: &str) -> Result<Option<&'static str>, Error> {
    Ok(match source {
        Source::Archive(_) => Some(IMPORTED_LABEL),
        Source::Registry(registry) => registry.has_credentials().then_some(PRIVATE_LABEL),
        Source::Store(_) => match store.image(name).await? {
            Some(record) if !is_pulled(&record) => Some(IMPORTED_LABEL),
            record => record.is_some_and(|record| is_private(&record)).then_some(PRIVATE_LABEL),
        },
    })
}

/// Whether a record was made by a pull for which credentials were at hand.
pub(super) fn is_private(record: &Record) -> bool {
    record.labels.contains_key(PRIVATE_LABEL)
}

/// Whether a record was made by a pull: neither imported, nor put there by somebody else.
pub(super) fn is_pulled(record: &Record) -> bool {
    record.labels.contains_key(MANIFEST_LABEL) && !record.labels.contains_key(IMPORTED_LABEL)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let full = pairs.iter().filter(|(_, value)| !value.is_empty());
    full.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A layer that must be fetched and unpacked.
struct Layer<'a> {
    packed: &'a Descriptor,
    unpacked: &'a Digest,
    /// The snapshot below; empty for the lowest.
    parent: &'a str,
    /// The snapshot it becomes.
    name: &'a str,
}

impl<'a> Layer<'a> {
    fn new(
        at: usize,
        chain: &'a [Digest],
        config: &'a config::Document,
        manifest: &'a super::document::Manifest,
    ) -> Self {
        Self {
            packed: &manifest.layers[at],
            unpacked: &config.layers[at],
            parent: at.checked_sub(1).map_or("", |below| chain[below].as_str()),
            name: chain[at].as_str(),
        }
    }
}

/// How many layers, from the lowest, have their snapshot already. The lease holds the topmost of these.
async fn present(store: &Store, chain: &[Digest]) -> Result<usize, Error> {
    for at in (0..chain.len()).rev() {
        if !store.has_snapshot(chain[at].as_str()).await? {
            continue;
        }
        store.hold_snapshot(chain[at].as_str()).await?;
        if store.has_snapshot(chain[at].as_str()).await? {
            return Ok(at + 1);
        }
    }
    Ok(0)
}

/// Counts the bytes that have arrived and tells of them.
pub(super) struct Meter<'a> {
    done: AtomicU64,
    total_bytes: u64,
    on_progress: &'a OnProgress,
}

impl Meter<'_> {
    /// More bytes have arrived.
    pub(super) fn add(&self, bytes: u64) {
        let done_bytes = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.on_progress)(Progress { done_bytes, total_bytes: self.total_bytes });
    }
}

/// Bringing the layers of one image.
struct Fetches<'a> {
    store: &'a Store,
    source: &'a Source,
    meter: Meter<'a>,
    allowance: Arc<Allowance>,
    /// How often the image has each layer.
    times: HashMap<&'a Digest, u64>,
}

/// Fetches the layers, and unpacks each as soon as it and those below are there.
async fn bring(store: &Store, source: &Source, layers: &[Layer<'_>], on_progress: &OnProgress) -> Result<(), Error> {
    check_types(layers)?;
    let mut times = HashMap::new();
    // A layer that is there twice is fetched once: the first of its kind is unpacked before the second.
    let first: Vec<bool> = layers
        .iter()
        .map(|layer| {
            let count = times.entry(&layer.packed.digest).or_default();
            *count += 1;
            *count == 1
        })
        .collect();
    let sizes = layers.iter().zip(&first).filter(|(_, first)| **first).map(|(layer, _)| layer.packed.size);
    let total_bytes = sizes.fold(0, u64::saturating_add);
    let meter = Meter { done: AtomicU64::new(0), total_bytes, on_progress };
    let fetches = Fetches { store, source, meter, allowance: Arc::default(), times };
    let (senders, arrivals): (Vec<_>, Vec<_>) = layers.iter().map(|_| oneshot::channel()).unzip();
    let mut each: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::new();
    for ((layer, arrived), first) in layers.iter().zip(senders).zip(first) {
        each.push(fetches.fetch_and_tell(first.then_some(layer.packed), arrived).boxed());
    }
    let fetching = stream::iter(each).buffer_unordered(FETCHES).try_collect::<()>();
    tokio::try_join!(fetching, unpack_in_order(store, layers, arrivals)).map(drop)
}

/// One digest is inspected once, as what its media type says; as another it might be other entries.
fn check_types(layers: &[Layer<'_>]) -> Result<(), Error> {
    let mut types = HashMap::new();
    let mut is_other =
        |layer: &Descriptor| *types.entry(layer.digest.clone()).or_insert(layer.media_type.clone()) != layer.media_type;
    match layers.iter().find(|layer| is_other(layer.packed)) {
        Some(layer) => Err(Error::malformed("manifest", format!("{} is of two media types", layer.packed.digest))),
        None => Ok(()),
    }
}

impl Fetches<'_> {
    async fn fetch_and_tell(&self, wanted: Option<&Descriptor>, arrived: oneshot::Sender<()>) -> Result<(), Error> {
        if let Some(descriptor) = wanted {
            self.fetch(descriptor).await?;
        }
        // Nobody listens any more when unpacking has failed, and then that failure is the answer.
        let _ = arrived.send(());
        Ok(())
    }

    /// Fetches one blob, going on where an earlier try stopped, and has it inspected. What was left there by an earlier try
    /// and turns out wrong is fetched anew, once.
    async fn fetch(&self, descriptor: &Descriptor) -> Result<(), Error> {
        for _ in 0..2 {
            let Some(writer) = open(self.store, descriptor).await? else {
                self.meter.add(descriptor.size);
                return self.inspect(descriptor).await;
            };
            let resumed = writer.offset() > 0;
            let blob = if writer.offset() < descriptor.size {
                self.source.blob(descriptor, writer.offset()).await?
            } else {
                Blob { offset: descriptor.size, bytes: stream::empty().boxed() }
            };
            self.meter.add(blob.offset);
            match self.write(writer, blob, descriptor).await {
                Err(Error::Mismatch(_)) if resumed => {}
                other => return other,
            }
        }
        Err(Error::Mismatch(descriptor.digest.to_string()))
    }

    /// A blob that comes whole is inspected as it comes, another one when it is whole.
    async fn write(&self, writer: Writer<'_>, blob: Blob, descriptor: &Descriptor) -> Result<(), Error> {
        if blob.offset > 0 {
            writer.fill(blob, Labels::new(), Some(&self.meter)).await?;
            return self.inspect(descriptor).await;
        }
        let (blob, verdict) = inspect::watch(blob, descriptor, &self.allowance, self.times(descriptor));
        writer.fill(blob, Labels::new(), Some(&self.meter)).await?;
        verdict.reached().await
    }

    /// Inspects a blob that is there.
    async fn inspect(&self, descriptor: &Descriptor) -> Result<(), Error> {
        let blob = Blob { offset: 0, bytes: self.store.stream(&descriptor.digest).await? };
        let (mut blob, verdict) = inspect::watch(blob, descriptor, &self.allowance, self.times(descriptor));
        while let Some(part) = blob.bytes.next().await {
            part?;
        }
        drop(blob);
        verdict.reached().await
    }

    fn times(&self, descriptor: &Descriptor) -> u64 {
        self.times.get(&descriptor.digest).copied().unwrap_or(1)
    }
}

async fn unpack_in_order(
    store: &Store,
    layers: &[Layer<'_>],
    arrivals: Vec<oneshot::Receiver<()>>,
) -> Result<(), Error> {
    for (layer, arrival) in layers.iter().zip(arrivals) {
        if arrival.await.is_err() {
            break; // The fetch has failed, and that failure is the answer.
        }
        unpack(store, layer).await?;
    }
    Ok(())
}

/// Opens a writer, waiting for another that writes the same blob just now.
async fn open<'a>(store: &'a Store, descriptor: &'a Descriptor) -> Result<Option<Writer<'a>>, Error> {
    let mut looks = 0;
    loop {
        match Writer::open(store, descriptor).await {
            Err(Error::Containerd { code: Code::Unavailable, message, .. })
                if message.contains("locked") && looks < LOCKED_LOOKS =>
            {
                looks += 1;
                tokio::time::sleep(LOOK_EVERY).await;
            }
            other => return other,
        }
    }
}

/// Unpacks one layer over its parent.
async fn unpack(store: &Store, layer: &Layer<'_>) -> Result<(), Error> {
    let key = unique("longshore-unpack");
    let mounts = store.prepare(&key, layer.parent).await?;
    let unpacked = match store.apply(layer.packed, mounts).await {
        Ok(digest) if digest == *layer.unpacked => store.commit(&key, layer.name).await,
        Ok(_) => Err(Error::Mismatch(layer.unpacked.to_string())),
        Err(error) => Err(error),
    };
    let Err(error) = unpacked else { return Ok(()) };
    if let Err(error) = store.remove_snapshot(&key).await {
        tracing::debug!(%error, key, "could not remove an unfinished snapshot");
    }
    if error.has_code(Code::AlreadyExists) { store.hold_snapshot(layer.name).await } else { Err(error) }
}

/// A name nobody else uses: process, time and count.
pub(super) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{prefix}-{}-{time}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
