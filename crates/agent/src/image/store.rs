//! containerd's services as images need them: content, snapshots, image records and leases, in our namespace.
//!
//! What garbage collection keeps is said by labels and leases: an image record keeps its target, labels on the target
//! lead to the configuration, a label on the configuration leads to the topmost snapshot, and that keeps those below. A
//! lease keeps everything made or named under it, so a pull that is under way loses nothing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::{
    AddResourceRequest, ApplyRequest, CreateImageRequest, CreateRequest, DeleteImageRequest, DeleteRequest,
    GetImageRequest, Image as Record, Info, InfoRequest, ListImagesRequest, ListRequest, ReadContentRequest,
    ReadContentResponse, Resource, UpdateImageRequest, UpdateRequest, snapshots,
};
use containerd_client::tonic::metadata::{Ascii, MetadataValue};
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Code, Request, Status};
use containerd_client::types::{self, Mount};
use futures_util::stream::{BoxStream, StreamExt};

use super::document::{Descriptor, Digest};
use super::error::Error;
use crate::containerd::NAMESPACE;

/// The snapshotter; a node mounts overlays over its snapshots.
pub(super) const SNAPSHOTTER: &str = "overlayfs";

/// Label by which a configuration keeps the topmost snapshot of its image.
pub(super) const SNAPSHOT_LABEL: &str = "containerd.io/gc.ref.snapshot.overlayfs";

/// Label of an image record: when a use of it was noted last.
const USED_LABEL: &str = "longshore/used";

/// Largest message taken from containerd.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;

/// Labels of an object.
pub(super) type Labels = HashMap<String, String>;

/// containerd's services, possibly under a lease.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) channel: Channel,
    lease: Option<(String, MetadataValue<Ascii>)>,
}

impl Store {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, lease: None }
    }

    /// The same services, where all that is made belongs to the lease `id`.
    pub(super) fn under(&self, id: &str) -> Self {
        let value = MetadataValue::try_from(id).expect("lease ids are made of ASCII letters, digits and dashes");
        Self { channel: self.channel.clone(), lease: Some((id.to_owned(), value)) }
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
        if let Some((_, lease)) = &self.lease {
            request.metadata_mut().insert("containerd-lease", lease.clone());
        }
        request
    }

    pub(super) fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    fn leases(&self) -> LeasesClient<Channel> {
        LeasesClient::new(self.channel.clone())
    }

    fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone())
    }
}

/// Image records.
impl Store {
    /// The record of `name`, if there is one.
    pub(super) async fn image(&self, name: &str) -> Result<Option<Record>, Error> {
        let asked = self.images().get(self.request(GetImageRequest { name: name.to_owned() })).await;
        let found = absent_is_none(asked.map_err(Error::containerd("getting an image")))?;
        Ok(found.and_then(|response| response.into_inner().image))
    }

    /// All records.
    pub(super) async fn list_images(&self) -> Result<Vec<Record>, Error> {
        let listed = self.images().list(self.request(ListImagesRequest::default())).await;
        Ok(listed.map_err(Error::containerd("listing images"))?.into_inner().images)
    }

    /// Makes `name` lead to `target`, whether or not it led elsewhere before.
    pub(super) async fn put_image(&self, name: &str, target: &Descriptor, labels: Labels) -> Result<(), Error> {
        let image = Some(Record { name: name.to_owned(), labels, target: Some(to_wire(target)), ..Record::default() });
        let create = CreateImageRequest { image: image.clone(), ..CreateImageRequest::default() };
        let created = self.images().create(self.request(create)).await;
        match created.map_err(Error::containerd("recording an image")) {
            Err(error) if error.has_code(Code::AlreadyExists) => {}
            other => return other.map(drop),
        }
        let update = UpdateImageRequest { image, ..UpdateImageRequest::default() };
        let updated = self.images().update(self.request(update)).await;
        updated.map(drop).map_err(Error::containerd("recording an image"))
    }

    /// Notes in the record of `name` that it is used now, which makes this the time of its last change. Nothing else of
    /// it is touched, wherever it leads by now.
    pub(super) async fn note_use(&self, name: &str) -> Result<(), Error> {
        let labels = Labels::from([(USED_LABEL.to_owned(), rfc3339(SystemTime::now()))]);
        let image = Some(Record { name: name.to_owned(), labels, ..Record::default() });
        let mut update = UpdateImageRequest { image, ..UpdateImageRequest::default() };
        update.update_mask.get_or_insert_default().paths = vec![format!("labels.{USED_LABEL}")];
        let updated = self.images().update(self.request(update)).await;
        absent_is_none(updated.map_err(Error::containerd("noting the use of an image"))).map(drop)
    }

    /// Deletes the record of `name`; false if there was none.
    pub(super) async fn delete_image(&self, name: &str) -> Result<bool, Error> {
        let request = DeleteImageRequest { name: name.to_owned(), ..DeleteImageRequest::default() };
        let deleted = self.images().delete(self.request(request)).await;
        Ok(absent_is_none(deleted.map_err(Error::containerd("removing an image")))?.is_some())
    }
}

/// Content.
impl Store {
    /// Size and labels of a blob, if it is there.
    pub(super) async fn blob(&self, digest: &Digest) -> Result<Option<Info>, Error> {
        let asked = self.content().info(self.request(InfoRequest { digest: digest.to_string() })).await;
        let found = absent_is_none(asked.map_err(Error::containerd("looking for content")))?;
        Ok(found.and_then(|response| response.into_inner().info))
    }

    /// All bytes of a small blob, if it is there; `Malformed` when it is larger than `largest`.
    pub(super) async fn read(&self, digest: &Digest, largest: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(info) = self.blob(digest).await? else {
            return Ok(None);
        };
        if u64::try_from(info.size).is_ok_and(|size| size > largest) {
            return Err(Error::malformed("document", format!("{} bytes are more than {largest}", info.size)));
        }
        let request = ReadContentRequest { digest: digest.to_string(), ..ReadContentRequest::default() };
        let reading = self.content().read(self.request(request)).await;
        let mut stream = reading.map_err(Error::containerd("reading content"))?.into_inner();
        let mut bytes = Vec::with_capacity(usize::try_from(info.size).unwrap_or_default());
        while let Some(part) = stream.message().await.map_err(Error::containerd("reading content"))? {
            bytes.extend_from_slice(&part.data);
        }
        if Digest::of(&bytes) == *digest { Ok(Some(bytes)) } else { Err(Error::Mismatch(digest.to_string())) }
    }

    /// The bytes of a blob of any size.
    pub(super) async fn stream(&self, digest: &Digest) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let request = ReadContentRequest { digest: digest.to_string(), ..ReadContentRequest::default() };
        let reading = self.content().read(self.request(request)).await;
        let stream = reading.map_err(Error::containerd("reading content"))?.into_inner();
        let part = |part: Result<ReadContentResponse, Status>| {
            part.map(|part| Bytes::from(part.data)).map_err(Error::containerd("reading content"))
        };
        Ok(stream.map(part).boxed())
    }

    /// Adds `labels` to those a blob has.
    pub(super) async fn label(&self, digest: &Digest, labels: Labels) -> Result<(), Error> {
        let Some(mut info) = self.blob(digest).await? else {
            return Err(Error::NotFound(digest.to_string()));
        };
        if labels.iter().all(|(name, value)| info.labels.get(name) == Some(value)) {
            return Ok(());
        }
        info.labels.extend(labels);
        let request = UpdateRequest { info: Some(info), update_mask: None };
        let updated = self.content().update(self.request(request)).await;
        updated.map(drop).map_err(Error::containerd("labelling content"))
    }
}

/// Snapshots.
impl Store {
    /// Whether there is a snapshot `name`.
    pub(super) async fn has_snapshot(&self, name: &str) -> Result<bool, Error> {
        let request = snapshots::StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: name.to_owned() };
        let asked = self.snapshots().stat(self.request(request)).await;
        Ok(absent_is_none(asked.map_err(Error::containerd("looking for a snapshot")))?.is_some())
    }

    /// A new writable snapshot over `parent` (empty: over nothing), and how it is mounted.
    pub(super) async fn prepare(&self, key: &str, parent: &str) -> Result<Vec<Mount>, Error> {
        let request = snapshots::PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels: Labels::new(),
        };
        let prepared = self.snapshots().prepare(self.request(request)).await;
        Ok(prepared.map_err(Error::containerd("preparing a snapshot"))?.into_inner().mounts)
    }

    /// Unpacks a layer into mounts; the digest of its unpacked tar.
    pub(super) async fn apply(&self, layer: &Descriptor, mounts: Vec<Mount>) -> Result<Digest, Error> {
        let request = ApplyRequest { diff: Some(to_wire(layer)), mounts, ..ApplyRequest::default() };
        let applied = DiffClient::new(self.channel.clone()).apply(self.request(request)).await;
        let applied = applied.map_err(Error::containerd("unpacking a layer"))?.into_inner().applied;
        Digest::parse(&applied.unwrap_or_default().digest)
    }

    /// Makes a writable snapshot a committed one with a name of its own.
    pub(super) async fn commit(&self, key: &str, name: &str) -> Result<(), Error> {
        let request = snapshots::CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            labels: Labels::new(),
        };
        let committed = self.snapshots().commit(self.request(request)).await;
        committed.map(drop).map_err(Error::containerd("committing a snapshot"))
    }

    /// A read-only snapshot over `parent`, made when it is not there, and how it is mounted.
    pub(super) async fn view(&self, key: &str, parent: &str) -> Result<Vec<Mount>, Error> {
        let request = snapshots::ViewSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            labels: Labels::new(),
        };
        let made = self.snapshots().view(self.request(request)).await;
        match made.map_err(Error::containerd("viewing a snapshot")) {
            Ok(response) => Ok(response.into_inner().mounts),
            Err(error) if error.has_code(Code::AlreadyExists) => self.mounts(key).await,
            Err(error) => Err(error),
        }
    }

    async fn mounts(&self, key: &str) -> Result<Vec<Mount>, Error> {
        let request = snapshots::MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let asked = self.snapshots().mounts(self.request(request)).await;
        Ok(asked.map_err(Error::containerd("asking for mounts"))?.into_inner().mounts)
    }

    /// Removes a snapshot, if it is there.
    pub(super) async fn remove_snapshot(&self, key: &str) -> Result<(), Error> {
        let request = snapshots::RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        let removed = self.snapshots().remove(self.request(request)).await;
        absent_is_none(removed.map_err(Error::containerd("removing a snapshot"))).map(drop)
    }
}

/// Leases.
impl Store {
    /// Makes a lease, if it is not there; without `lifetime` it stays until it is deleted.
    pub(super) async fn create_lease(&self, id: &str, lifetime: Option<Duration>) -> Result<(), Error> {
        let expiry =
            lifetime.map(|lifetime| ("containerd.io/gc.expire".to_owned(), rfc3339(SystemTime::now() + lifetime)));
        let request = CreateRequest { id: id.to_owned(), labels: expiry.into_iter().collect() };
        let created = self.leases().create(self.request(request)).await;
        match created.map_err(Error::containerd("making a lease")) {
            Err(error) if error.has_code(Code::AlreadyExists) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Deletes a lease, if it is there; with `collect`, waits until the garbage is gone.
    pub(super) async fn delete_lease(&self, id: &str, collect: bool) -> Result<(), Error> {
        let deleted = self.leases().delete(self.request(DeleteRequest { id: id.to_owned(), sync: collect })).await;
        absent_is_none(deleted.map_err(Error::containerd("deleting a lease"))).map(drop)
    }

    /// The ids of all leases.
    pub(super) async fn list_leases(&self) -> Result<Vec<String>, Error> {
        let listed = self.leases().list(self.request(ListRequest::default())).await;
        let leases = listed.map_err(Error::containerd("listing leases"))?.into_inner().leases;
        Ok(leases.into_iter().map(|lease| lease.id).collect())
    }

    /// Lets the present lease keep an object that exists already. Without a lease it does nothing.
    async fn hold(&self, id: &str, kind: String) -> Result<(), Error> {
        let Some((lease, _)) = &self.lease else {
            return Ok(());
        };
        let resource = Some(Resource { id: id.to_owned(), r#type: kind });
        let added = self.leases().add_resource(self.request(AddResourceRequest { id: lease.clone(), resource })).await;
        added.map(drop).map_err(Error::containerd("adding to a lease"))
    }

    /// Lets the present lease keep a blob.
    pub(super) async fn hold_blob(&self, digest: &Digest) -> Result<(), Error> {
        self.hold(digest.as_str(), "content".to_owned()).await
    }

    /// Lets the present lease keep a snapshot.
    pub(super) async fn hold_snapshot(&self, name: &str) -> Result<(), Error> {
        self.hold(name, format!("snapshots/{SNAPSHOTTER}")).await
    }
}

/// The lower directories of an overlay over a viewed snapshot, uppermost first.
pub(super) fn lower_directories(mounts: &[Mount]) -> Result<Vec<PathBuf>, Error> {
    let [mount] = mounts else {
        return Err(Error::malformed("snapshot", format!("{} mounts where one was expected", mounts.len())));
    };
    match mount.r#type.as_str() {
        "bind" => Ok(vec![PathBuf::from(&mount.source)]),
        "overlay" => {
            let lowers = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
            Ok(lowers.unwrap_or_default().split(':').map(PathBuf::from).collect())
        }
        other => Err(Error::malformed("snapshot", format!("mounts of type {other:?} are not supported"))),
    }
}

pub(super) fn to_wire(descriptor: &Descriptor) -> types::Descriptor {
    types::Descriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.to_string(),
        size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        annotations: Labels::new(),
    }
}

fn absent_is_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.has_code(Code::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A time in UTC as `2026-01-31T23:59:59Z`. Days are turned into a date in the Gregorian calendar, whose years here
/// begin with March, so that the odd month ends them.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
        Mount {
            r#type: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|option| option.to_string()).collect(),
            ..Mount::default()
        }
    }

    #[test]
    fn lower_directories_are_read_from_mounts() {
        let overlay = mount("overlay", "overlay", &["index=off", "lowerdir=/s/2/fs:/s/1/fs"]);
        let paths = |mount| lower_directories(&[mount]).unwrap();
        assert_eq!(paths(overlay), [PathBuf::from("/s/2/fs"), PathBuf::from("/s/1/fs")]);
        assert_eq!(paths(mount("bind", "/s/1/fs", &["ro", "rbind"])), [PathBuf::from("/s/1/fs")]);
        assert!(lower_directories(&[mount("btrfs", "/x", &[])]).is_err());
        assert!(lower_directories(&[]).is_err());
    }
}
