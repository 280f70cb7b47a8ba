//! Imports of advisories as the databases behind OSV write them, shortened.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::database::{Event, Events};
use super::*;
use crate::{Ecosystem, Error};

/// A directory that goes with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        let id = (std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(format!("longshore-scan-{}-{:?}", id.0, id.1).replace(['(', ')'], ""));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        std::fs::write(self.at(name), bytes).unwrap();
        self.at(name)
    }

    fn import(&self, source: &Path) -> Result<Imported, Error> {
        Import { source, database: &self.at("db"), now: 1_700_000_000 }.run()
    }

    /// A database of these advisories.
    pub(crate) fn database(&self, advisories: &[Value]) -> Database {
        for (number, advisory) in advisories.iter().enumerate() {
            self.write(&format!("osv/{number}.json"), advisory.to_string());
        }
        self.import(&self.at("osv")).unwrap();
        Database::open(&self.at("db")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// An advisory for one package that is affected from the beginning until it is fixed.
pub(crate) fn advisory(id: &str, ecosystem: &str, package: &str, fixed: &str) -> Value {
    json!({
        "id": id, "modified": "2024-01-02T03:04:05Z", "summary": format!("{package} is broken"),
        "affected": [{
            "package": {"ecosystem": ecosystem, "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}],
        }],
    })
}

fn with(mut advisory: Value, key: &str, value: Value) -> Value {
    advisory[key] = value;
    advisory
}

fn of(database: &Database, ecosystem: &str, name: &str) -> Vec<database::Candidate> {
    database.candidates(&Ecosystem::Is(ecosystem.to_owned()), name).unwrap()
}

fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn files_directories_and_archives_are_imported() {
    let place = Place::new();
    let bytes = |id: &str| advisory(id, "npm", "a", "1.0.0").to_string().into_bytes();
    let one = place.write("one/a.json", bytes("GHSA-1"));
    place.write("one/deep/b.json", bytes("GHSA-2"));
    place.write("one/deep/README", "no");
    let zip = place.write(
        "all.zip",
        archive(&[("GHSA-3.json", bytes("GHSA-3")), ("x/GHSA-4.json", bytes("GHSA-4")), ("n", vec![])]),
    );
    place.write("mixed/npm/all.zip", std::fs::read(&zip).unwrap());
    place.write("mixed/c.json", bytes("GHSA-3"));
    for (source, count) in [(one, 1), (place.at("one"), 2), (zip, 2), (place.at("mixed"), 2)] {
        let imported = place.import(&source).unwrap();
        assert_eq!((imported.advisories, imported.refused), (count, 0), "{}", source.display());
        let status = Database::open(&place.at("db")).unwrap().status().unwrap();
        assert_eq!((status.advisories, status.imported_at), (count, 1_700_000_000));
        assert_eq!(status.newest_at, 1_704_164_645);
        assert_eq!(status.ecosystems, [("npm".to_owned(), 1)]);
    }
}

#[test]
fn what_is_no_advisory_is_told_and_does_not_stop_an_import() {
    let place = Place::new();
    let good = || advisory("GHSA-1", "npm", "a", "1.0.0");
    place.write("osv/00.json", good().to_string());
    place.write(
        "osv/01.json",
        with(advisory("GHSA-9", "npm", "a", "1"), "withdrawn", json!("2024-01-01T00:00:00Z")).to_string(),
    );
    let bad = [
        "noise".to_owned(),
        "[]".to_owned(),
        with(good(), "id", json!("")).to_string(),
        with(good(), "id", json!(7)).to_string(),
        with(good(), "modified", json!("yesterday")).to_string(),
        with(good(), "affected", json!([{"package": {"ecosystem": "npm", "name": "a\nb"}}])).to_string(),
        with(good(), "affected", json!([{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1\n2"]}]))
            .to_string(),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ];
    for (number, bytes) in bad.iter().enumerate() {
        place.write(&format!("osv/1{number}.json"), bytes);
    }
    place.write("osv/20.json", with(good(), "affected", json!([])).to_string());
    place.write(
        "osv/21.json",
        with(
            good(),
            "affected",
            json!([{"package": {"ecosystem": "npm", "name": "a"}, "ranges": [{"type": "GIT", "events": []}]}]),
        )
        .to_string(),
    );
    let imported = place.import(&place.at("osv")).unwrap();
    let counts = (imported.advisories, imported.withdrawn, imported.bare, imported.refused);
    assert_eq!(counts, (1, 1, 2, 8));
    assert_eq!(imported.first_refused[0].name, "10.json");
    assert!(imported.first_refused.iter().all(|refused| !refused.reason.is_empty()));
    let status = Database::open(&place.at("db")).unwrap().status().unwrap();
    assert_eq!((status.refused, status.first_refused), (8, imported.first_refused));
}

#[test]
fn a_failed_import_leaves_the_database_that_was_there() {
    let place = Place::new();
    place.database(&[advisory("GHSA-1", "npm", "a", "1.0.0")]);
    place.write("empty/x", "");
    place.write("bad/a.json", "{}");
    let mut torn = archive(&[("a.json", vec![b' '; 5000])]);
    torn.truncate(60);
    place.write("torn.zip", torn);
    type Expected = fn(&Error) -> bool;
    let rows: [(&str, Expected); 4] = [
        ("empty", |error| matches!(error, Error::NothingToImport { .. })),
        ("bad", |error| matches!(error, Error::NothingReadable { refused: 1, .. })),
        ("torn.zip", |error| matches!(error, Error::Archive { .. })),
        ("absent", |error| matches!(error, Error::File { .. })),
    ];
    for (source, is_expected) in rows {
        let error = place.import(&place.at(source)).unwrap_err();
        assert!(is_expected(&error), "{source}: {error:?}");
        assert!(!place.at("db.new").exists(), "{source}");
        assert_eq!(of(&Database::open(&place.at("db")).unwrap(), "npm", "a").len(), 1, "{source}");
    }
}

#[test]
fn one_import_runs_at_a_time_and_what_a_killed_one_left_is_no_hindrance() {
    let place = Place::new();
    let source = place.write("a.json", advisory("GHSA-1", "npm", "a", "1").to_string());
    place.write("db.new", "half of something");
    let lock = std::fs::File::create(place.at("db.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(place.import(&source), Err(Error::Busy)));
    drop(lock);
    assert_eq!(place.import(&source).unwrap().advisories, 1);
}

#[test]
fn readers_keep_the_database_that_they_opened() {
    let place = Place::new();
    let old = place.database(&[advisory("GHSA-1", "npm", "a", "1.0.0")]);
    let new = place.import(&place.write("b.json", advisory("GHSA-2", "npm", "b", "1.0.0").to_string())).unwrap();
    assert_eq!(new.advisories, 1);
    assert_eq!(of(&old, "npm", "a").len(), 1);
    let database = Database::open(&place.at("db")).unwrap();
    assert_eq!((of(&database, "npm", "a").len(), of(&database, "npm", "b").len()), (0, 1));
}

#[test]
fn what_is_no_database_is_told_from_none() {
    let place = Place::new();
    assert!(matches!(Database::open(&place.at("db")), Err(Error::NoDatabase)));
    place.write("db", "noise that is no database at all");
    assert!(matches!(Database::open(&place.at("db")), Err(Error::Schema { .. })));
    std::fs::remove_file(place.at("db")).unwrap();
    Connection::open(place.at("db")).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    assert!(matches!(Database::open(&place.at("db")), Err(Error::Schema { .. })));
}

#[test]
fn of_two_with_one_id_the_newer_counts() {
    let place = Place::new();
    let at = |when: &str, fixed: &str| with(advisory("GHSA-1", "npm", "a", fixed), "modified", json!(when));
    let advisories = [
        at("2024-01-02T00:00:00Z", "2"),
        at("2024-01-03T00:00:00Z", "3"),
        at("2024-01-01T00:00:00Z", "1"),
        advisory("GHSA-2", "npm", "a", "9"),
    ];
    let database = place.database(&advisories);
    let candidates = of(&database, "npm", "a");
    let fixed: Vec<_> = candidates.iter().map(|candidate| candidate.events.fixed_after(Scheme::Semver, "0")).collect();
    assert_eq!(fixed, [Some("3"), Some("9")]);
    assert_eq!(database.status().unwrap().advisories, 2);
}

#[test]
fn a_withdrawal_takes_away_what_is_older_whichever_is_read_first() {
    let at = |when: &str| with(advisory("GHSA-1", "npm", "a", "2"), "modified", json!(when));
    let withdrawn = with(at("2024-01-02T00:00:00Z"), "withdrawn", json!("2024-01-02T00:00:00Z"));
    let (older, newer) = (at("2024-01-01T00:00:00Z"), at("2024-01-03T00:00:00Z"));
    let other = advisory("GHSA-2", "npm", "b", "2");
    let rows: [(Vec<&Value>, usize); 5] = [
        (vec![&older, &withdrawn], 0),
        (vec![&withdrawn, &older], 0),
        (vec![&withdrawn, &newer], 1),
        (vec![&newer, &withdrawn], 1),
        (vec![&older, &withdrawn, &newer, &older], 1),
    ];
    for (number, (advisories, expected)) in rows.into_iter().enumerate() {
        let place = Place::new();
        let all: Vec<Value> = advisories.into_iter().chain([&other]).cloned().collect();
        let database = place.database(&all);
        assert_eq!(of(&database, "npm", "a").len(), expected, "row {number}");
        assert_eq!(database.status().unwrap().advisories, expected as u64 + 1, "row {number}");
    }
}

#[test]
fn limits_are_no_fixes_and_an_asterisk_is_none() {
    let place = Place::new();
    let of_limit = |id: &str, limit: &str| {
        let mut advisory = advisory(id, "npm", id, "x");
        advisory["affected"][0]["ranges"][0]["events"] = json!([{"introduced": "1.0.0"}, {"limit": limit}]);
        advisory
    };
    let database = place.database(&[of_limit("all", "*"), of_limit("some", "2.0.0")]);
    for (name, version, expected) in [("all", "9.0.0", true), ("some", "1.5.0", true), ("some", "2.0.0", false)] {
        let events = of(&database, "npm", name).remove(0).events;
        assert_eq!(events.judge(Scheme::Semver, version), Some(expected), "{name} {version}");
        assert_eq!(events.fixed_after(Scheme::Semver, version), None, "{name}");
    }
}

#[test]
fn names_are_those_of_cves_where_there_are_any() {
    let place = Place::new();
    let base = |id: &str| advisory(id, "npm", "a", "1");
    let database = place.database(&[
        with(base("A-1"), "aliases", json!(["GHSA-x", "CVE-2024-1"])),
        with(base("DEBIAN-CVE-2024-2"), "upstream", json!(["CVE-2024-2"])),
        base("CVE-2024-3"),
        with(base("DSA-4"), "upstream", json!(["CVE-2024-5", "CVE-2024-4"])),
        with(base("GHSA-6"), "related", json!(["CVE-2024-6"])),
        with(base("ALSA-7"), "related", json!(["CVE-2024-7"])),
    ]);
    let names: Vec<String> = of(&database, "npm", "a").iter().map(|candidate| candidate.names.join(" ")).collect();
    assert_eq!(names, ["CVE-2024-1", "CVE-2024-7", "CVE-2024-3", "CVE-2024-2", "CVE-2024-4 CVE-2024-5", "GHSA-6"]);
}

#[test]
fn what_is_told_is_cut_and_links_lead_to_the_web() {
    let place = Place::new();
    let long = format!("{}é", "é".repeat(700));
    let links = json!([{"type": "WEB", "url": "javascript:alert(1)"}, {"type": "WEB", "url": "https://a.example/"},
                       {"type": "ADVISORY", "url": "https://b.example/"}]);
    let advisory = with(with(advisory("A-1", "npm", "a", "1"), "summary", json!(long)), "references", links);
    let bare = with(with(self::advisory("A-2", "npm", "a", "1"), "summary", json!(" ")), "details", json!("details"));
    let database = place.database(&[advisory, bare]);
    let candidates = of(&database, "npm", "a");
    assert_eq!(candidates[0].description, format!("{}…", "é".repeat(500)));
    assert_eq!(candidates[0].uri, "https://b.example/");
    assert_eq!(
        (candidates[1].description.as_str(), candidates[1].uri.as_str()),
        ("details", "https://osv.dev/vulnerability/A-2")
    );
}

#[test]
fn severities_are_those_that_are_said_then_those_that_are_scored() {
    const V3: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
    const V4: &str = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
    let place = Place::new();
    let mut number = 0;
    let mut rating = |severity: Value, database: Value, affected: Value| {
        number += 1;
        let package = format!("p{number}");
        let mut advisory = with(advisory(&format!("A-{number}"), "Debian:12", &package, "1"), "severity", severity);
        advisory["database_specific"] = database;
        advisory["affected"][0]["ecosystem_specific"] = affected;
        let database = place.database(&[advisory]);
        let rating = of(&database, "Debian:12", &package).remove(0).rating;
        let scores = rating.scores.iter().map(|score| format!(" {}:{:.1}", score.version, score.score));
        format!("{}{}", rating.severity.as_str(), scores.collect::<String>())
    };
    let cvss = |kind: &str, score: &str| json!([{"type": kind, "score": score}]);
    let none = Value::Null;
    let log4shell = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H";
    let rows = [
        (cvss("CVSS_V3", V3), none.clone(), none.clone(), "CRITICAL 3:9.8"),
        (cvss("CVSS_V3", log4shell), none.clone(), none.clone(), "CRITICAL 3:10.0"),
        (cvss("CVSS_V3", "CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:L/I:N/A:N"), none.clone(), none.clone(), "LOW 3:3.7"),
        (
            cvss("CVSS_V3", "CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:N"),
            none.clone(),
            none.clone(),
            "INFORMATIONAL 3:0.0",
        ),
        (cvss("CVSS_V4", V4), none.clone(), none.clone(), "CRITICAL 4:9.3"),
        (cvss("CVSS_V2", "AV:N/AC:L/Au:N/C:P/I:P/A:P"), none.clone(), none.clone(), "HIGH 2:7.5"),
        (
            json!([{"type": "CVSS_V3", "score": V3}, {"type": "CVSS_V4", "score": V4}]),
            none.clone(),
            none.clone(),
            "CRITICAL 4:9.3 3:9.8",
        ),
        (cvss("CVSS_V3", "CVSS:3.1/AV:X"), none.clone(), none.clone(), "UNDEFINED"),
        (cvss("CVSS_V3", V3), json!({"severity": "MODERATE"}), none.clone(), "MEDIUM 3:9.8"),
        (cvss("CVSS_V3", V3), none.clone(), json!({"urgency": "unimportant"}), "INFORMATIONAL 3:9.8"),
        (cvss("CVSS_V3", V3), none.clone(), json!({"urgency": "not yet assigned"}), "CRITICAL 3:9.8"),
        (none.clone(), json!({"severity": ["x"]}), json!({"urgency": "low"}), "LOW"),
        (cvss("Ubuntu", "medium"), none.clone(), none.clone(), "MEDIUM"),
        (none.clone(), none.clone(), none, "UNDEFINED"),
    ];
    for (severity, database, affected, expected) in rows {
        let shown = format!("{severity} {database} {affected}");
        assert_eq!(rating(severity, database, affected), expected, "{shown}");
    }
}

#[test]
fn packages_are_found_by_the_names_that_registries_take_for_the_same() {
    let place = Place::new();
    let database = place.database(&[
        advisory("A-1", "PyPI", "Foo_Bar.baz", "1"),
        advisory("A-2", "Packagist", "Symfony/Http", "1"),
        advisory("A-3", "npm", "JSONStream", "1"),
        advisory("A-4", "Red Hat:enterprise_linux:9::baseos", "openssl", "1"),
        advisory("A-5", "Red Hat:enterprise_linux:90::baseos", "openssl", "1"),
    ]);
    let count = |ecosystem, name| of(&database, ecosystem, name).len();
    assert_eq!(count("PyPI", "foo-bar-baz"), 1);
    assert_eq!(count("Packagist", "symfony/http"), 1);
    assert_eq!((count("npm", "JSONStream"), count("npm", "jsonstream")), (1, 0));
    let begins = Ecosystem::Begins("Red Hat:enterprise_linux:9".to_owned());
    assert_eq!(database.candidates(&begins, "openssl").unwrap().len(), 1);
    assert!(database.ecosystems(&Ecosystem::Is("Debian:12".to_owned())).unwrap().is_empty());
}

#[test]
fn ranges_are_judged_as_osv_says() {
    // `i`, `f` and `l` with a version each; ranges apart by `|`.
    let events = |text: &str| {
        let event = |word: &str| match word.split_at(1) {
            ("i", version) => Event::Introduced(version.to_owned()),
            ("f", version) => Event::Fixed(version.to_owned()),
            ("m", version) => Event::Limit(version.to_owned()),
            (_, version) => Event::LastAffected(version.to_owned()),
        };
        Events(text.split('|').map(|range| range.split_whitespace().map(event).collect()).collect())
    };
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("i0", &["0.0.1", "9"], &[]),
        ("i0 f1.2.3", &["0", "1.2.2", "1.2.3-rc.1"], &["1.2.3", "2"]),
        ("i1 f2 i3 f4", &["1", "1.9", "3", "3.9"], &["0.9", "2", "2.9", "4"]),
        // Events may come in any order.
        ("f4 i3 f2 i1", &["1", "1.9", "3", "3.9"], &["0.9", "2", "2.9", "4"]),
        ("i1 l2", &["1", "2"], &["0.9", "2.0.1"]),
        ("i1 l1", &["1"], &["0.9", "1.0.1", "2"]),
        ("l1 i1", &["1"], &["0.9", "1.0.1", "2"]),
        ("i0 l0", &["0"], &["0.0.1", "1"]),
        ("i1 l1 i2", &["1", "2", "3"], &["0.9", "1.5"]),
        ("i0 m2", &["0", "1.9"], &["2", "3"]),
        ("i0 f1 i2 m3 m4", &["0.5", "2", "3.9"], &["1", "4"]),
        ("i1 f2|i3", &["1", "3", "4"], &["0", "2"]),
        ("f2 i2", &["2"], &["1"]),
        ("", &[], &["1"]),
    ];
    for (text, affected, free) in rows {
        let events = events(text);
        let read = Events::from_text(&events.to_text());
        for (versions, expected) in [(affected, true), (free, false)] {
            for version in *versions {
                assert_eq!(read.judge(Scheme::Semver, version), Some(expected), "{text}: {version}");
            }
        }
    }
    assert_eq!(events("i1 f2").judge(Scheme::Semver, "latest"), None);
    assert_eq!(events("i0 m2").fixed_after(Scheme::Semver, "1"), None);
    // A last version of rpm's without a release is all of its releases.
    for (version, expected) in [("0:1.0-1", true), ("1.0-99.el9", true), ("1.0.1-1", false), ("1:1.0-1", false)] {
        assert_eq!(events("i0 l1.0").judge(Scheme::Rpm, version), Some(expected), "{version}");
        assert_eq!(events("i0 l1.0-5").judge(Scheme::Rpm, "1.0-6"), Some(false));
    }
    assert_eq!(events("i1 fx|i0").judge(Scheme::Semver, "5"), Some(true));
    assert_eq!(events("i1 fx").judge(Scheme::Semver, "5"), None);
    assert_eq!(events("i1 f2 i3 f4").fixed_after(Scheme::Semver, "3.1"), Some("4"));
}

#[test]
fn listed_versions_are_kept_where_ranges_do_not_speak_of_them() {
    let place = Place::new();
    let mut advisory = advisory("A-1", "npm", "a", "2.0.0");
    advisory["affected"][0]["versions"] = json!(["1.0.0", "1.5.0", "3.0.0", "odd"]);
    let database = place.database(&[advisory]);
    assert_eq!(of(&database, "npm", "a")[0].versions, ["3.0.0", "odd"]);
}
