//! Images and databases that the tests make.

use longshore_scan::Import;
use longshore_store::blobs::Options;
use longshore_wire::json;

use super::*;

const DEBIAN: &[(&str, &str)] = &[
    ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
    ("var/lib/dpkg/status", "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n\n"),
];

const ADVISORY: &str = r#"{"id":"CVE-2024-1","modified":"2024-01-02T03:04:05Z","summary":"broken","database_specific":{"severity":"HIGH"},
    "affected":[{"package":{"ecosystem":"Debian:12","name":"bash"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"5.2-2"}]}]}]}"#;

struct Place {
    directory: PathBuf,
    blobs: Blobs,
}

impl Place {
    fn new() -> Self {
        let name = format!("longshore-scans-{}-{:?}", std::process::id(), std::thread::current().id());
        let directory = std::env::temp_dir().join(name.replace(['(', ')'], ""));
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir_all(&directory).unwrap();
        let blobs = Blobs::open(&Options::of(directory.join("registry"))).unwrap();
        Self { directory, blobs }
    }

    fn import(&self, advisory: &str) {
        let source = self.directory.join("advisory.json");
        std::fs::write(&source, advisory).unwrap();
        Import { source: &source, database: &database(&self.directory), now: 0 }.run().unwrap();
    }

    fn put(&self, bytes: impl Into<Bytes>) -> String {
        self.blobs.put(Algorithm::Sha256, bytes.into()).unwrap().digest.to_string()
    }

    /// An image of layers of files.
    fn image(&self, layers: &[&[(&str, &str)]]) -> Image {
        let layers: Vec<String> = layers.iter().map(|files| self.put(tar(files))).collect();
        self.of_layers(&layers)
    }

    fn of_layers(&self, layers: &[String]) -> Image {
        let layers: Vec<_> = layers.iter().map(|digest| serde_json::json!({"digest": digest, "size": 1})).collect();
        Image::new(
            "r",
            &self.put(serde_json::json!({"schemaVersion": 2, "layers": layers}).to_string()),
            Timestamp::from_millis(0),
        )
    }

    fn scan(&self, image: &Image) -> Outcome {
        Scanner { blobs: &self.blobs, database: &database(&self.directory), is_over: &|| false }.scan(image)
    }

    /// How it ends, and words that are said of it.
    fn check(&self, image: &Image, status: api::ScanStatus, words: &str) -> Outcome {
        let outcome = self.scan(image);
        assert_eq!(outcome.status, status, "{}", outcome.description);
        assert!(outcome.description.contains(words), "{}", outcome.description);
        outcome
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn what_two_readers_would_read_differently_is_not_scanned() {
    let place = Place::new();
    place.import(ADVISORY);
    let layer = place.put(tar(DEBIAN));
    let bytes = format!(r#"{{"schemaVersion":2,"layers":[{{"digest":"{layer}","Digest":"x"}}]}}"#);
    let image = Image { digest: place.put(bytes), ..place.of_layers(&[]) };
    place.check(&image, api::ScanStatus::Failed, "manifest cannot be read: digest is misspelt");
}

#[test]
fn what_is_found_is_kept_a_line_each() {
    let place = Place::new();
    place.import(ADVISORY);
    let outcome = place.check(&place.image(&[DEBIAN]), api::ScanStatus::Complete, COMPLETE);
    assert_eq!(outcome.counts, BTreeMap::from([("HIGH".to_owned(), 1)]));
    assert_eq!(outcome.source_updated_at.unwrap().millis(), 1_704_164_645_000);
    let kept = outcome.findings.unwrap();
    let bytes = place.blobs.read(&kept.digest, 1 << 20).unwrap();
    let finding: api::ImageScanFinding = json::from_slice(bytes.strip_suffix(b"\n").unwrap()).unwrap();
    assert_eq!((finding.name.as_deref(), finding.severity), (Some("CVE-2024-1"), Some(api::FindingSeverity::High)));
    assert_eq!(finding.attributes.unwrap().len(), 3);
}

/// A frame of zstd with one block that is not compressed.
fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap();
    let content = u16::try_from(size - 256).unwrap().to_le_bytes();
    let block = (size << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x60][..], &content, &block[..3], bytes].concat()
}

#[test]
fn a_scan_that_ended_the_process_twice_is_not_begun_again() {
    let mut scan = ImageScan::pending("r", "d", Timestamp::from_millis(0));
    for tries in 1..=MOST_TRIES {
        scan = begun(&scan).unwrap();
        assert_eq!((scan.status, scan.tries), (api::ScanStatus::InProgress, Some(tries)));
    }
    assert_eq!(begun(&scan), None);
}

#[test]
fn layers_are_read_as_a_node_unpacks_them() {
    let place = Place::new();
    place.import(ADVISORY);
    let packed = zstd_of(&tar(DEBIAN));
    let of = |media_type: &str| {
        let layer = serde_json::json!({"digest": place.put(packed.clone()), "size": 1, "mediaType": media_type});
        let digest = place.put(serde_json::json!({"schemaVersion": 2, "layers": [layer]}).to_string());
        Image { digest, ..place.of_layers(&[]) }
    };
    let oci = "application/vnd.oci.image.layer.v1.tar";
    place.check(&of(&format!("{oci}+zstd")), api::ScanStatus::Complete, COMPLETE);
    place.check(&of(oci), api::ScanStatus::Failed, "layer 0 cannot be read");
}

#[test]
fn nothing_found_is_complete_only_where_it_was_looked_for() {
    let place = Place::new();
    let image = place.image(&[DEBIAN]);
    place.check(
        &image,
        api::ScanStatus::Failed,
        "no vulnerability database has been imported: run `longshore scan-db import",
    );
    place.import(&ADVISORY.replace("Debian:12", "Debian:11"));
    place.check(&image, api::ScanStatus::Failed, "holds nothing for Debian:12");
    place.import(&ADVISORY.replace("bash", "zsh"));
    let outcome = place.check(&image, api::ScanStatus::Complete, COMPLETE);
    assert!(outcome.counts.is_empty() && outcome.findings.is_none());
    std::fs::write(database(&place.directory), "noise").unwrap();
    place.check(&image, api::ScanStatus::Failed, "no vulnerability database of this version");
}

#[test]
fn images_that_cannot_be_judged_are_unsupported() {
    let place = Place::new();
    place.import(ADVISORY);
    let unsupported = |layers: &[&[(&str, &str)]], words: &str| {
        let outcome = place.check(&place.image(layers), api::ScanStatus::UnsupportedImage, words);
        assert!(outcome.description.starts_with("UnsupportedImageError: "), "{}", outcome.description);
    };
    unsupported(&[&[("bin/app", "x")]], "No packages were found");
    unsupported(&[], "No packages were found");
    unsupported(&[&[("var/lib/rpm/Packages", "x")], DEBIAN], "unsupported rpm database");
    unsupported(&[DEBIAN, &[("etc/os-release", "ID=haiku\n")]], "no advisories are known for haiku");
}

#[test]
fn what_is_missing_or_damaged_fails() {
    let place = Place::new();
    place.import(ADVISORY);
    let missing = format!("sha256:{}", "0".repeat(64));
    let damaged = place.put(vec![7; 3000]);
    let failed = |image: &Image, words: &str| drop(place.check(image, api::ScanStatus::Failed, words));
    failed(&place.of_layers(std::slice::from_ref(&missing)), "layer 0 cannot be read: there are no such bytes");
    failed(&place.of_layers(&[damaged]), "layer 0 cannot be read: it is no tar archive");
    failed(&place.of_layers(&["odd".to_owned()]), "manifest cannot be read");
    failed(&Image { digest: missing, ..place.image(&[]) }, "manifest cannot be read: there are no such bytes");
    failed(&Image { digest: place.put("{}"), ..place.image(&[]) }, "manifest cannot be read");
}

#[test]
fn a_scan_is_given_up_when_the_process_ends() {
    let place = Place::new();
    place.import(ADVISORY);
    let scanner = Scanner { blobs: &place.blobs, database: &database(&place.directory), is_over: &|| true };
    let outcome = scanner.scan(&place.image(&[DEBIAN]));
    assert!(outcome.description.contains("the control plane stops"), "{}", outcome.description);
}

#[test]
fn a_layer_is_read_in_pieces() {
    let place = Place::new();
    let bytes: Vec<u8> = (0..READ * 2 + 5).map(|at| (at % 251) as u8).collect();
    let digest = Digest::parse(&place.put(bytes.clone())).unwrap();
    let scanner = Scanner { blobs: &place.blobs, database: Path::new("x"), is_over: &|| false };
    let mut layer = Layer { of: &scanner, digest, reader: None, at: 0, rest: Bytes::new() };
    let mut read = Vec::new();
    layer.read_to_end(&mut read).unwrap();
    assert!(read == bytes);
}

#[test]
fn what_is_said_is_cut() {
    assert_eq!(cut(&"é".repeat(600)).len(), 1000);
    assert_eq!(cut("short"), "short");
}

#[test]
fn a_scan_takes_none_of_the_threads_that_others_wait_for() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_time().build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let waiting = tokio::task::spawn_blocking(move || released.recv().is_ok());
        let done = tokio::time::timeout(std::time::Duration::from_secs(20), alone(|| 7)).await;
        drop(release);
        waiting.await.unwrap();
        assert_eq!(done.unwrap().unwrap(), 7);
        assert!(alone(|| panic!("it broke off")).await.is_err());
    });
}
