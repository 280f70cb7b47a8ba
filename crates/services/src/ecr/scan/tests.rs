//! Requests about scans, as handlers get them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use longshore_model::registry::{Algorithm, Image, ImageScan, ImageTag, Repository};
use longshore_model::{AccountId, Change, State, TableName};
use longshore_store::blobs::{Blobs, Options};
use longshore_wire::{Fault, Timestamp};

use super::*;
use crate::ecr::content::{Push, put_image};
use crate::logs::testing::Bench;

const ACCOUNT: &str = "123456789012";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn repository(name: &str, scan_on_push: bool) -> Repository {
    Repository { scan_on_push, ..Repository::new(ACCOUNT, name, &format!("id-{name}"), Timestamp::from_millis(0)) }
}

fn image(digest: &str, artifact_type: &str, images: &[&str]) -> Image {
    Image {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        artifact_type: Some(artifact_type.to_owned()),
        size: 20,
        images: images.iter().map(|digest| (*digest).to_owned()).collect(),
        ..Image::new("id-web", digest, Timestamp::from_millis(9))
    }
}

/// A repository `web` with an image `sha256:a` under the tag `latest`, an index and a chart.
fn bench() -> Bench {
    let bench = Bench::new();
    let tag = ImageTag {
        repository: "id-web".to_owned(),
        tag: "latest".to_owned(),
        digest: "sha256:a".to_owned(),
        moved_at: Timestamp::from_millis(9),
        looked_at: None,
    };
    bench.apply(vec![
        repository("web", false).into(),
        image("sha256:a", CONFIG, &[]).into(),
        image("sha256:i", CONFIG, &["sha256:a"]).into(),
        image("sha256:c", "application/vnd.cncf.helm.config.v1+json", &[]).into(),
        tag.into(),
    ]);
    bench
}

fn id(digest: Option<&str>, tag: Option<&str>) -> Option<api::ImageIdentifier> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Some(api::ImageIdentifier { image_digest: owned(digest), image_tag: owned(tag) })
}

fn start_of(bench: &Bench, name: &str, id: Option<api::ImageIdentifier>) -> Result<api::StartImageScanResponse, Fault> {
    let repository_name = Some(name.to_owned());
    let request = api::StartImageScanRequest { repository_name, image_id: id, ..Default::default() };
    start(&mut bench.context(), request)
}

fn describe_of(
    bench: &Bench,
    blobs: Option<&Blobs>,
    limit: Option<i32>,
    token: Option<String>,
) -> Result<api::DescribeImageScanFindingsResponse, Fault> {
    let mut context = bench.context();
    context.blobs = blobs;
    let request = api::DescribeImageScanFindingsRequest {
        repository_name: Some("web".to_owned()),
        image_id: id(None, Some("latest")),
        max_results: limit,
        next_token: token,
        ..Default::default()
    };
    describe(&mut context, request)
}

fn code<T>(answer: Result<T, Fault>) -> String {
    answer.err().map(|fault| fault.to_string()).unwrap_or_default()
}

#[test]
fn a_scan_waits_for_its_turn_and_is_asked_for_once() {
    let mut bench = bench();
    let first = start_of(&bench, "web", id(None, Some("latest"))).unwrap();
    let asked = first.image_id.unwrap();
    assert_eq!((asked.image_digest.as_deref(), asked.image_tag.as_deref()), (Some("sha256:a"), Some("latest")));
    assert_eq!(first.image_scan_status.unwrap().status, Some(api::ScanStatus::Pending));
    bench.now += 1000;
    start_of(&bench, "web", id(Some("sha256:a"), None)).unwrap();
    let scan = ImageScan::clone(bench.store.read().image_scan("id-web", "sha256:a").unwrap());
    assert_eq!(scan.requested_at.millis(), bench.now - 1000);
    // One that has ended is asked for anew.
    bench.apply(vec![ImageScan { status: api::ScanStatus::Failed, ..scan }.into()]);
    start_of(&bench, "web", id(Some("sha256:a"), None)).unwrap();
    let state = bench.store.read();
    assert_eq!(state.image_scan("id-web", "sha256:a").unwrap().requested_at.millis(), bench.now);
}

#[test]
fn what_cannot_be_scanned_is_refused() {
    let bench = bench();
    let rows = [
        ("no", id(None, Some("latest")), "RepositoryNotFoundException"),
        ("web", id(None, Some("v2")), "ImageNotFoundException"),
        ("web", id(Some("sha256:a"), Some("v2")), "ImageNotFoundException"),
        ("web", id(None, None), "InvalidParameterException"),
        ("web", id(Some(""), Some("")), "InvalidParameterException"),
        ("web", None, "InvalidParameterException"),
        ("web", id(Some("sha256:i"), None), "UnsupportedImageTypeException"),
        ("web", id(Some("sha256:c"), None), "UnsupportedImageTypeException"),
    ];
    for (name, image, expected) in rows {
        let found = code(start_of(&bench, name, image.clone()));
        assert!(found.contains(expected), "{image:?}: {found}");
    }
    assert!(bench.store.read().image_scans.is_empty());
}

struct Bytes(PathBuf, Blobs);

impl Bytes {
    fn new() -> Self {
        let name = format!("longshore-ecr-scan-{}-{:?}", std::process::id(), std::thread::current().id());
        let directory = std::env::temp_dir().join(name.replace(['(', ')'], ""));
        drop(std::fs::remove_dir_all(&directory));
        let blobs = Blobs::open(&Options::of(&directory)).unwrap();
        Self(directory, blobs)
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A scan that is complete, with so many findings.
fn complete(bench: &Bench, blobs: &Blobs, count: usize) {
    let finding = |number: usize| api::ImageScanFinding {
        name: Some(format!("CVE-2024-{number}")),
        description: Some("line\nbreaks \"and\" quotes ".repeat(number % 50)),
        severity: Some(api::FindingSeverity::High),
        ..Default::default()
    };
    let bytes: Vec<u8> = (0..count).flat_map(|number| line(&finding(number))).collect();
    let kept = blobs.put(Algorithm::Sha256, bytes.into()).unwrap();
    let now = Timestamp::from_millis(bench.now);
    bench.apply(vec![
        ImageScan {
            status: api::ScanStatus::Complete,
            completed_at: Some(now),
            source_updated_at: Some(now),
            counts: BTreeMap::from([("HIGH".to_owned(), i32::try_from(count).unwrap())]),
            findings: Some(kept.digest.to_string()),
            ..ImageScan::pending("id-web", "sha256:a", now)
        }
        .into(),
    ]);
}

#[test]
fn findings_come_in_pages() {
    let (bench, bytes) = (bench(), Bytes::new());
    complete(&bench, &bytes.1, 2500);
    for limit in [None, Some(1), Some(7), Some(1000)] {
        let (mut names, mut token, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = describe_of(&bench, Some(&bytes.1), limit, token.take()).unwrap();
            let found = page.image_scan_findings.unwrap();
            assert_eq!(found.finding_severity_counts.unwrap()["HIGH"], 2500);
            names.extend(found.findings.unwrap().into_iter().filter_map(|finding| finding.name));
            pages += 1;
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(names, (0..2500).map(|number| format!("CVE-2024-{number}")).collect::<Vec<_>>());
        assert_eq!(pages, 2500_usize.div_ceil(usize::try_from(limit.unwrap_or(100)).unwrap()));
    }
}

#[test]
fn a_token_is_of_the_findings_that_it_was_made_for() {
    let (bench, bytes) = (bench(), Bytes::new());
    complete(&bench, &bytes.1, 20);
    let token = describe_of(&bench, Some(&bytes.1), Some(5), None).unwrap().next_token;
    assert!(describe_of(&bench, Some(&bytes.1), Some(5), token.clone()).is_ok());
    complete(&bench, &bytes.1, 21);
    for token in [token, Some("x".to_owned()), Some("AAAA".repeat(500))] {
        assert!(code(describe_of(&bench, Some(&bytes.1), None, token)).contains("InvalidParameterException"));
    }
}

#[test]
fn a_scan_that_is_not_complete_has_no_findings_and_says_why() {
    let bench = bench();
    let missing = code(describe_of(&bench, None, None, None));
    assert!(missing.contains("ScanNotFoundException") && missing.contains("imageTag:'latest'"), "{missing}");
    start_of(&bench, "web", id(None, Some("latest"))).unwrap();
    let pending = describe_of(&bench, None, None, None).unwrap();
    assert_eq!(pending.image_scan_status.unwrap().status, Some(api::ScanStatus::Pending));
    assert_eq!(pending.image_scan_findings, None);
    let now = Timestamp::from_millis(bench.now);
    let failed = ImageScan {
        status: api::ScanStatus::Failed,
        description: Some("no database".to_owned()),
        ..ImageScan::pending("id-web", "sha256:a", now)
    };
    bench.apply(vec![failed.into()]);
    let answer = describe_of(&bench, None, None, None).unwrap();
    assert_eq!(answer.image_scan_status.unwrap().description.as_deref(), Some("no database"));
    assert_eq!(answer.image_scan_findings, None);
}

#[test]
fn findings_that_cannot_be_read_are_the_servers_fault() {
    let (bench, bytes) = (bench(), Bytes::new());
    complete(&bench, &bytes.1, 3);
    let digest = bench.store.read().image_scan("id-web", "sha256:a").unwrap().findings.clone().unwrap();
    bytes
        .1
        .remove_unless(&bytes.1.address(&longshore_model::registry::Digest::parse(&digest).unwrap()), || false)
        .unwrap();
    assert!(code(describe_of(&bench, Some(&bytes.1), None, None)).contains("ServerException"));
}

#[test]
fn a_push_starts_a_scan_where_it_is_to() {
    let check = |changes: Vec<Change>, name: &str, artifact: &str| {
        let bench = bench();
        bench.apply(changes);
        let state = bench.store.read();
        let image = image("sha256:n", artifact, &[]);
        on_push(&state, state.repository(ACCOUNT, name).unwrap(), &image, Timestamp::from_millis(1)).is_some()
    };
    let rules = |frequency, filter: &str| {
        let filter = api::ScanningRepositoryFilter {
            filter: Some(filter.to_owned()),
            filter_type: Some(api::ScanningRepositoryFilterType::Wildcard),
        };
        let rule =
            api::RegistryScanningRule { scan_frequency: Some(frequency), repository_filters: Some(vec![filter]) };
        let row = longshore_model::registry::RegistryScanning { account: ACCOUNT.to_owned(), rules: vec![rule] };
        vec![Change::from(row)]
    };
    assert!(!check(vec![], "web", CONFIG));
    assert!(check(vec![repository("web", true).into()], "web", CONFIG));
    assert!(!check(vec![repository("web", true).into()], "web", "application/vnd.cncf.helm.config.v1+json"));
    assert!(check(rules(api::ScanFrequency::ScanOnPush, "we*"), "web", CONFIG));
    assert!(!check(rules(api::ScanFrequency::ScanOnPush, "ab*"), "web", CONFIG));
    assert!(!check(rules(api::ScanFrequency::Manual, "*"), "web", CONFIG));
}

#[test]
fn an_image_that_is_pushed_is_scanned_once() {
    let (bench, bytes) = (bench(), Bytes::new());
    bench.apply(vec![repository("web", true).into()]);
    let config = bytes.1.put(Algorithm::Sha256, (&b"{}"[..]).into()).unwrap();
    let registry = AccountId::parse(ACCOUNT).unwrap();
    let mut context = bench.context();
    context.blobs = Some(&bytes.1);
    let id = content::repository(&context.read(), &registry, "web").unwrap().id.clone();
    content::link(&mut context, (&registry, "web"), &id, &config).unwrap();
    let manifest = bytes::Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"{CONFIG}","digest":"{}","size":2}},"layers":[]}}"#,
        config.digest
    ));
    let mut push = |tags: &[&str]| {
        let push = Push {
            registry: &registry,
            repository: "web",
            bytes: &manifest,
            media_type: None,
            digest: None,
            tags,
            looked_at: None,
        };
        put_image(&mut context, &push).unwrap().image.digest
    };
    let digest = push(&["one"]);
    let status = |state: &State| state.image_scan("id-web", &digest).map(|scan| scan.status);
    assert_eq!(status(&bench.store.read()), Some(api::ScanStatus::Pending));
    bench.apply(vec![Change::Delete(TableName::ImageScan, format!("id-web@{digest}"))]);
    assert_eq!(push(&["two"]), digest);
    assert_eq!(status(&bench.store.read()), None);
}

#[test]
fn which_repositories_are_scanned_is_told() {
    let bench = bench();
    bench.apply(vec![repository("team/api", false).into()]);
    let put = |frequencies: &[api::ScanFrequency], scan_type| {
        let filter = |text: &str| api::ScanningRepositoryFilter {
            filter: Some(text.to_owned()),
            filter_type: Some(api::ScanningRepositoryFilterType::Wildcard),
        };
        let rule = |frequency: &api::ScanFrequency| api::RegistryScanningRule {
            scan_frequency: Some(*frequency),
            repository_filters: Some(vec![filter("team/*"), filter("x*")]),
        };
        let rules = Some(frequencies.iter().map(rule).collect());
        configure(&mut bench.context(), api::PutRegistryScanningConfigurationRequest { scan_type, rules })
    };
    use api::ScanFrequency::{ContinuousScan, Manual, ScanOnPush};
    for (frequencies, scan_type) in [
        (vec![ScanOnPush], Some(api::ScanType::Enhanced)),
        (vec![ContinuousScan], None),
        (vec![ScanOnPush, ScanOnPush], None),
    ] {
        assert!(code(put(&frequencies, scan_type)).contains("ValidationException"), "{frequencies:?}");
    }
    let get = || of_registry(&mut bench.context(), Default::default()).unwrap().scanning_configuration.unwrap();
    assert_eq!((get().scan_type, get().rules.unwrap().len()), (Some(api::ScanType::Basic), 0));
    put(&[ScanOnPush, Manual], Some(api::ScanType::Basic)).unwrap();
    assert_eq!(get().rules.unwrap().len(), 2);

    let names = ["web", "team/api", "no"].map(str::to_owned).to_vec();
    let request = api::BatchGetRepositoryScanningConfigurationRequest { repository_names: Some(names) };
    let answer = of_repositories(&mut bench.context(), request).unwrap();
    let found: Vec<_> = answer.scanning_configurations.unwrap();
    let told = |at: usize| {
        (found[at].scan_on_push, found[at].scan_frequency, found[at].applied_scan_filters.clone().unwrap().len())
    };
    assert_eq!(told(0), (Some(false), Some(Manual), 0));
    assert_eq!(told(1), (Some(true), Some(ScanOnPush), 1));
    assert_eq!(found[1].repository_arn.as_deref(), Some("arn:aws:ecr:us-east-1:123456789012:repository/team/api"));
    assert_eq!(answer.failures.unwrap()[0].repository_name.as_deref(), Some("no"));
}
