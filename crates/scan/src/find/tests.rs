//! Packages beside databases that the tests make.

use serde_json::{Value, json};

use super::*;
use crate::osv::tests::{Place, advisory};
use crate::package::{Distribution, Problem, Source};

fn package(kind: Kind, name: &str, version: &str, source: Option<(&str, &str)>) -> Package {
    let source = source.map(|(name, version)| Source { name: name.to_owned(), version: version.to_owned() });
    Package { kind, name: name.to_owned(), version: version.to_owned(), source, architecture: None, path: "x".into() }
}

fn image(id: &str, version: &str, packages: Vec<Package>) -> Contents {
    let distribution = Distribution { id: id.to_owned(), version: Some(version.to_owned()), ..Distribution::default() };
    Contents { distribution: Some(distribution), packages, problems: Vec::new() }
}

/// What is found, as `name package version`.
fn check(contents: &Contents, advisories: &[Value], expected: &[&str]) -> Findings {
    let found = find(contents, &Place::new().database(advisories)).unwrap();
    let attribute = |finding: &Finding, key: &str| {
        let mut attributes = finding.attributes.iter();
        attributes.find(|attribute| attribute.key == key).map(|of| of.value.clone()).unwrap_or_default()
    };
    let told = |finding: &Finding| {
        format!("{} {} {}", finding.name, attribute(finding, "package_name"), attribute(finding, "package_version"))
    };
    assert_eq!(found.findings.iter().map(told).collect::<Vec<_>>(), expected);
    found
}

#[test]
fn packages_of_debian_are_judged_by_their_source() {
    let contents = image(
        "debian",
        "12",
        vec![
            package(Kind::Deb, "libssl3", "3.0.11-1~deb12u2", Some(("openssl", "3.0.11-1~deb12u2"))),
            package(Kind::Deb, "openssl", "3.0.11-1~deb12u2", None),
            package(Kind::Deb, "bash", "5.2", None),
        ],
    );
    let advisories = [
        advisory("CVE-2024-1", "Debian:12", "openssl", "3.0.13-1~deb12u1"),
        advisory("CVE-2023-1", "Debian:12", "openssl", "3.0.11-1~deb12u2"),
        advisory("CVE-2024-2", "Debian:11", "openssl", "9"),
        advisory("CVE-2024-3", "Debian:12", "libssl3", "9"),
        advisory("CVE-2024-4", "npm", "bash", "9"),
    ];
    let found = check(&contents, &advisories, &["CVE-2024-1 openssl 3.0.11-1~deb12u2"]);
    let finding = &found.findings[0];
    assert_eq!(finding.uri, "https://security-tracker.debian.org/tracker/CVE-2024-1");
    assert_eq!(finding.attributes.last().unwrap().value, "3.0.13-1~deb12u1");
    assert!(found.unjudged.is_empty() && found.system == System::Judged);
    assert_eq!(found.source_updated_at, 1_704_164_645);
}

#[test]
fn packages_of_rpm_are_judged_by_both_names() {
    let of = |name, version| package(Kind::Rpm, name, version, Some(("openssl", "1:3.0.7-24.el9")));
    let contents = image("rocky", "9.3", vec![of("openssl-libs", "1:3.0.7-24.el9")]);
    let advisories = [
        advisory("CVE-2024-1", "Rocky Linux:9", "openssl", "1:3.0.7-25.el9"),
        advisory("CVE-2024-2", "Rocky Linux:9", "openssl-libs", "1:3.0.7-25.el9"),
        advisory("CVE-2024-3", "Rocky Linux:9", "openssl-libs", "1:3.0.7-20.el9"),
    ];
    check(&contents, &advisories, &["CVE-2024-1 openssl 1:3.0.7-24.el9", "CVE-2024-2 openssl-libs 1:3.0.7-24.el9"]);
}

#[test]
fn packages_of_languages_need_no_distribution() {
    let packages = vec![
        package(Kind::Npm, "lodash", "4.17.20", None),
        package(Kind::Npm, "lodash", "4.17.20", None),
        package(Kind::Npm, "lodash", "4.17.21", None),
        package(Kind::Python, "Django", "3.2", None),
        package(Kind::Maven, "org.apache:log4j", "2.14.1", None),
        package(Kind::Go, "golang.org/x/net", "v0.1.0", None),
    ];
    let contents = Contents { packages, ..Contents::default() };
    let advisories = [
        advisory("GHSA-1", "npm", "lodash", "4.17.21"),
        advisory("PYSEC-1", "PyPI", "django", "3.2.1"),
        advisory("GHSA-2", "Maven", "org.apache:log4j", "2.15.0"),
        advisory("GO-1", "Go", "golang.org/x/net", "0.7.0"),
    ];
    let expected = [
        "GHSA-1 lodash 4.17.20",
        "GHSA-2 org.apache:log4j 2.14.1",
        "GO-1 golang.org/x/net v0.1.0",
        "PYSEC-1 Django 3.2",
    ];
    let found = check(&contents, &advisories, &expected);
    assert_eq!(found.system, System::Bare);
}

#[test]
fn the_same_vulnerability_of_two_databases_is_one_finding() {
    let contents = image("debian", "12", vec![package(Kind::Deb, "a", "1", None)]);
    let mut sum = advisory("DSA-1", "Debian:12", "a", "2");
    sum["upstream"] = json!(["CVE-2024-1", "CVE-2024-2"]);
    sum["summary"] = json!("several things");
    let mut single = advisory("DEBIAN-CVE-2024-1", "Debian:12", "a", "2");
    single["upstream"] = json!(["CVE-2024-1"]);
    let found = check(&contents, &[sum, single], &["CVE-2024-1 a 1", "CVE-2024-2 a 1"]);
    assert_eq!(found.findings[0].description, "a is broken");
    assert_eq!(found.findings[1].description, "several things");
}

#[test]
fn the_worst_come_first_and_are_counted() {
    let contents = Contents { packages: vec![package(Kind::Npm, "a", "1.0.0", None)], ..Contents::default() };
    let with = |id: &str, severity: &str| {
        let mut advisory = advisory(id, "npm", "a", "2.0.0");
        advisory["database_specific"] = json!({"severity": severity});
        advisory["severity"] = json!([{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]);
        advisory
    };
    let advisories = [with("A-1", "LOW"), with("A-2", "HIGH"), with("A-3", "HIGH"), with("A-4", "CRITICAL")];
    let found = check(&contents, &advisories, &["A-4 a 1.0.0", "A-2 a 1.0.0", "A-3 a 1.0.0", "A-1 a 1.0.0"]);
    let counts: Vec<_> = found.counts.into_iter().collect();
    assert_eq!(counts, [(Severity::Low, 1), (Severity::High, 2), (Severity::Critical, 1)]);
    let keys: Vec<_> = found.findings[0].attributes.iter().map(|of| format!("{}={}", of.key, of.value)).collect();
    let vector = "CVSS3_VECTOR=CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
    assert_eq!(keys, ["package_version=1.0.0", "package_name=a", "CVSS3_SCORE=9.8", vector, "fixed_version=2.0.0"]);
}

#[test]
fn listed_versions_are_found_however_they_are_written() {
    let mut advisory = advisory("MAL-1", "PyPI", "a", "1");
    advisory["affected"][0] = json!({"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["2.0", "odd one"]});
    let of = |version| Contents { packages: vec![package(Kind::Python, "a", version, None)], ..Contents::default() };
    check(&of("2.0.0"), std::slice::from_ref(&advisory), &["MAL-1 a 2.0.0"]);
    check(&of("2.1"), std::slice::from_ref(&advisory), &[]);
}

#[test]
fn a_package_of_many_versions_is_looked_for_once_and_not_for_ever() {
    let packages = (0..300).map(|minor| package(Kind::Npm, "a", &format!("1.{minor}.0"), None)).collect();
    let contents = Contents { packages, ..Contents::default() };
    let advisories = [advisory("A-1", "npm", "a", "1.100.0"), advisory("A-2", "npm", "b", "9.0.0")];
    let database = Place::new().database(&advisories);
    assert_eq!(find(&contents, &database).unwrap().findings.len(), 100);
    let late = find_until(&contents, &database, Some(Instant::now()));
    assert!(matches!(late, Err(Error::TooLong)), "{late:?}");
    let later = Instant::now() + std::time::Duration::from_secs(3600);
    assert_eq!(find_until(&contents, &database, Some(later)).unwrap().findings.len(), 100);
}

/// "No findings" is never said of what nobody looked at.
#[test]
fn what_is_not_judged_is_told() {
    let deb = || vec![package(Kind::Deb, "a", "1", None), package(Kind::Deb, "b", "1", None)];
    let advisories = [advisory("A-1", "Debian:11", "a", "2"), advisory("A-2", "npm", "a", "2.0.0")];
    let nothing_for = check(&image("debian", "12", deb()), &advisories, &[]);
    assert_eq!(
        nothing_for.unjudged,
        ["2 packages were not judged: the vulnerability database holds nothing for Debian:12"]
    );
    assert!(matches!(nothing_for.system, System::NotInDatabase(_)));

    let unknown = check(&image("haiku", "1", deb()), &advisories, &[]);
    assert_eq!(unknown.unjudged, ["2 packages were not judged: no advisories are known for haiku 1"]);
    assert!(matches!(unknown.system, System::Unsupported(_)));

    let nameless = check(&Contents { packages: deb(), ..Contents::default() }, &advisories, &[]);
    assert_eq!(
        nameless.unjudged,
        ["2 packages were not judged: the image does not say which distribution its packages are of"]
    );

    let bare = Contents { packages: vec![package(Kind::Gem, "a", "1", None)], ..Contents::default() };
    assert!(matches!(check(&bare, &advisories, &[]).system, System::NotInDatabase(_)));

    let odd = Contents { packages: vec![package(Kind::Npm, "a", "one", None)], ..Contents::default() };
    assert_eq!(check(&odd, &advisories, &[]).unjudged, ["1 package was not judged: versions cannot be compared"]);

    let several = [advisory("A-1", "npm", "a", "2.0.0"), advisory("A-2", "npm", "a", "3.0.0")];
    assert_eq!(check(&odd, &several, &[]).unjudged, ["1 package was not judged: versions cannot be compared"]);

    let hidden = check(&image("debian", "12", vec![package(Kind::Npm, "b", "1.0.0", None)]), &advisories, &[]);
    assert_eq!(hidden.system, System::Unsupported("the image is of debian 12, and lists no packages of it".to_owned()));

    let problem = Problem {
        path: "var/lib/rpm/Packages".to_owned(),
        reason: "unsupported rpm database: Berkeley DB".to_owned(),
        hides_distribution: true,
    };
    let unread = Contents { problems: vec![problem], ..Contents::default() };
    let told = "var/lib/rpm/Packages was not read: unsupported rpm database: Berkeley DB";
    let found = check(&unread, &advisories, &[]);
    assert_eq!(found.unjudged, [told]);
    assert!(matches!(found.system, System::Unsupported(_)));
    assert_eq!(check(&Contents::default(), &advisories, &[]).system, System::Nothing);
}
