//! Orders that the specifications and tools print, and the laws of an order.

use proptest::prelude::*;

use super::*;

/// Each version is later than the one before it, and than all before that.
fn ascends(scheme: Scheme, versions: &[&str]) {
    for (place, one) in versions.iter().enumerate() {
        for (other_place, other) in versions.iter().enumerate() {
            let expected = Some(place.cmp(&other_place));
            assert_eq!(scheme.compare(one, other), expected, "{scheme:?}: {one} and {other}");
        }
    }
}

fn same(scheme: Scheme, pairs: &[(&str, &str)]) {
    for (one, other) in pairs {
        assert_eq!(scheme.compare(one, other), Some(Ordering::Equal), "{scheme:?}: {one} and {other}");
    }
}

fn none(scheme: Scheme, versions: &[&str]) {
    for version in versions {
        assert_eq!(scheme.compare(version, "1"), None, "{scheme:?}: {version}");
        assert_eq!(scheme.compare("1", version), None, "{scheme:?}: {version}");
    }
}

#[test]
fn debian_orders_versions() {
    ascends(Scheme::Dpkg, &["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0a", "1.0+b1", "1.0.1"]);
    ascends(Scheme::Dpkg, &["7.6-2~bpo1", "7.6-2", "7.6p2-4", "1:1.2", "2:0.1-1"]);
    ascends(Scheme::Dpkg, &["3.0.11-1~deb12u1", "3.0.11-1~deb12u2", "3.0.11-1", "3.0.14-1~deb12u1", "3.0.14-1"]);
    ascends(Scheme::Dpkg, &["1.18.36", "1.18.36-0.1", "1.18.36.1", "1.18.100"]);
    same(Scheme::Dpkg, &[("0:1.0", "1.0"), ("1.0", "1.0-0"), ("1.01", "1.1"), ("1.2", "1.002")]);
    none(Scheme::Dpkg, &["", "a:1", ":1", "1 2", "1:", "1_2"]);
}

#[test]
fn alpine_orders_versions() {
    ascends(
        Scheme::Apk,
        &[
            "1.0_alpha",
            "1.0_alpha2",
            "1.0_beta1",
            "1.0_pre2",
            "1.0_rc1",
            "1.0",
            "1.0-r1",
            "1.0_git2024",
            "1.0_p1",
            "1.0a",
            "1.0.1",
        ],
    );
    ascends(Scheme::Apk, &["3.1.4-r5", "3.1.4-r6", "3.1.4-r10", "3.1.10-r0", "3.2.0-r0"]);
    ascends(Scheme::Apk, &["0.09", "0.1", "0.2", "0.10"]);
    ascends(Scheme::Apk, &["1.2.3_rc1-r0", "1.2.3_rc1_p1-r0", "1.2.3-r0", "1.2.3_p1-r0", "1.2.3b-r0", "1.2.3c-r0"]);
    same(Scheme::Apk, &[("1.0", "1.0"), ("01", "1")]);
    none(Scheme::Apk, &["", "a", "1.a", "1_foo", "1-x1", "1-r", "1..2", "1.0~xyz"]);
}

#[test]
fn rpm_orders_versions() {
    ascends(Scheme::Rpm, &["1.0~rc1", "1.0~rc2", "1.0", "1.0^git1", "1.0^git2", "1.0.a", "1.0.1", "1.1"]);
    ascends(Scheme::Rpm, &["1.0~rc1^git1", "1.0~rc1^git2", "1.0", "1.0^git1~pre", "1.0^git1"]);
    ascends(Scheme::Rpm, &["5.5p1", "5.5p2", "5.5p10", "5.6", "10xyz", "10.0001", "10.0039"]);
    ascends(Scheme::Rpm, &["1.1.1k-6.el8", "1.1.1k-9.el8_7", "1.1.1k-12.el8_9", "1:1.1.1g-1.el8", "1:3.0.7-24.el9"]);
    ascends(Scheme::Rpm, &["2a", "2.0", "2_0.1"]);
    same(Scheme::Rpm, &[("1.0", "1_0"), ("0:1-1", "1-1"), ("1.01", "1.1"), ("a+", "a_")]);
    none(Scheme::Rpm, &["", "x:1", "1 2", "1:"]);
}

#[test]
fn semantic_versions_are_ordered() {
    ascends(
        Scheme::Semver,
        &[
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "2.0.0",
            "2.1.0",
            "2.1.1",
            "2.10.0",
        ],
    );
    ascends(
        Scheme::Semver,
        &["v0.0.0-20210101000000-abcdef123456", "v0.0.0", "v1.9.0", "v1.10.0", "99999999999999999999.0.0"],
    );
    same(Scheme::Semver, &[("1.0.0+a", "1.0.0+b"), ("v1.2.3", "1.2.3"), ("1.2", "1.2.0"), ("0", "0.0.0")]);
    none(Scheme::Semver, &["", "x", "1.x", "1..2", "1.0.0-", "1.0.0-a..b", "git+ssh://x"]);
}

#[test]
fn python_orders_versions() {
    ascends(
        Scheme::Pep440,
        &[
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0+abc.5",
            "1.0+abc.7",
            "1.0+5",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.1.dev1",
            "1!0.1",
        ],
    );
    same(Scheme::Pep440, &[("1.0", "1.0.0"), ("v1.0", "1.0"), ("1.0-alpha1", "1.0a1"), ("1.0-1", "1.0.post1")]);
    none(Scheme::Pep440, &["", "french toast", "1.0-x-y"]);
}

#[test]
fn gems_are_ordered() {
    ascends(Scheme::Gem, &["0.9", "1.0.a.2", "1.0.b1", "1.0.rc1", "1.0", "1.0.1.pre", "1.0.1", "1.1", "1.10.0"]);
    ascends(Scheme::Gem, &["5.2.4.rc1", "5.2.4", "5.2.4.1", "5.2.4.2"]);
    same(Scheme::Gem, &[("1", "1.0.0"), ("1.0.a", "1.a"), ("1-2", "1.pre.2")]);
    none(Scheme::Gem, &["", "1..2", "1 2", "~> 1"]);
}

#[test]
fn maven_orders_versions() {
    ascends(
        Scheme::Maven,
        &[
            "1-alpha2",
            "1-alpha-123",
            "1-beta-2",
            "1-beta123",
            "1-m2",
            "1-m11",
            "1-rc",
            "1-SNAPSHOT",
            "1",
            "1-sp",
            "1-sp2",
            "1-abc",
            "1-def",
            "1-1",
            "1-2",
            "1.1",
            "2",
        ],
    );
    ascends(
        Scheme::Maven,
        &["2.0-beta9", "2.0-rc1", "2.0", "2.3.1", "2.12.2", "2.14.1", "2.15.0", "2.17.1", "2.17.1.1"],
    );
    ascends(Scheme::Maven, &["31.1-android", "31.1-jre", "32.0.0-android", "32.0.0-jre"]);
    ascends(Scheme::Maven, &["4.1.100.Final", "4.1.101.Final", "4.2.0.Alpha1"]);
    same(
        Scheme::Maven,
        &[
            ("1", "1.0.0"),
            ("1-ga", "1"),
            ("1.0.0.Final", "1"),
            ("1-a1", "1-alpha-1"),
            ("1-cr2", "1-RC2"),
            ("1x", "1.0.0-x"),
            ("1.release", "1"),
        ],
    );
    none(Scheme::Maven, &["", "1 2", "é"]);
}

#[test]
fn composer_orders_versions() {
    ascends(
        Scheme::Packagist,
        &[
            "1.0-dev",
            "1.0.0-alpha1",
            "1.0.0-alpha2",
            "1.0.0-beta1-dev",
            "1.0.0-beta1",
            "1.0.0-RC1",
            "1.0.0",
            "1.0.0-patch1",
            "1.0.1",
            "v1.10.0",
            "2",
        ],
    );
    same(Scheme::Packagist, &[("1.0", "1.0.0.0"), ("v1.0", "1.0"), ("1.0b2", "1.0-beta.2"), ("1.0-stable", "1.0")]);
    none(Scheme::Packagist, &["", "dev-main", "1.0-foo", "x"]);
}

#[test]
fn versions_of_great_length_are_none() {
    let long = "1".repeat(LONGEST + 1);
    for scheme in ALL {
        assert_eq!(scheme.compare(&long, &long), None, "{scheme:?}");
    }
}

const ALL: [Scheme; 8] = [
    Scheme::Dpkg,
    Scheme::Apk,
    Scheme::Rpm,
    Scheme::Semver,
    Scheme::Pep440,
    Scheme::Gem,
    Scheme::Maven,
    Scheme::Packagist,
];

/// Texts that are nearly versions, of the pieces that versions are made of.
fn near_version() -> impl Strategy<Value = String> {
    let pieces = [
        "0", "1", "2", "10", "007", ".", ".", "-", "_", "~", "^", "+", ":", "a", "b", "alpha", "beta", "rc", "sp", "p",
        "pre", "final", "dev", "post", "x", "-r", "r1", "SNAPSHOT", "v", ".0", ".0", ".1", "-1", "-0",
    ];
    let rest = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..8);
    rest.prop_map(|pieces| format!("1{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn every_scheme_is_an_order(one in near_version(), two in near_version(), three in near_version()) {
        for scheme in ALL {
            let compare = |one: &str, other: &str| scheme.compare(one, other);
            prop_assert_eq!(compare(&one, &two), compare(&two, &one).map(Ordering::reverse), "{:?}", scheme);
            prop_assert!(compare(&one, &one).is_none_or(Ordering::is_eq), "{:?}", scheme);
            if let (Some(first), Some(second)) = (compare(&one, &two), compare(&two, &three))
                && first.is_le()
                && second.is_le()
            {
                let both = compare(&one, &three);
                prop_assert_eq!(both, Some(first.then(second)), "{:?}: {} {} {}", scheme, one, two, three);
            }
        }
    }

    #[test]
    fn any_text_is_judged_without_a_panic(one in any::<String>(), other in "[0-9a-zé:~^._+-]{0,20}") {
        for scheme in ALL {
            let _ = scheme.compare(&one, &other);
            let _ = scheme.compare(&other, &one);
        }
    }
}
