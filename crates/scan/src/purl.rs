//! Names of packages as addresses (<https://github.com/package-url/purl-spec>): `pkg:deb/debian/libc6@2.36?arch=amd64`.

use crate::package::{Distribution, Kind, Package};

/// The address of a package, in the form that the specification calls canonical.
pub(crate) fn purl(package: &Package, distribution: Option<&Distribution>) -> String {
    let of = distribution.map(|distribution| distribution.id.as_str());
    let (kind, namespace, name) = match package.kind {
        Kind::Deb => ("deb", of, package.name.as_str()),
        Kind::Apk => ("apk", of, package.name.as_str()),
        Kind::Rpm => ("rpm", of, package.name.as_str()),
        Kind::Npm => with_namespace("npm", &package.name, '/'),
        Kind::Composer => with_namespace("composer", &package.name, '/'),
        Kind::Go => with_namespace("golang", &package.name, '/'),
        Kind::Maven => with_namespace("maven", &package.name, ':'),
        Kind::Cargo => ("cargo", None, package.name.as_str()),
        Kind::Python => ("pypi", None, package.name.as_str()),
        Kind::Gem => ("gem", None, package.name.as_str()),
    };
    let fold = |text: &str| if is_folded(package.kind) { text.to_lowercase() } else { text.to_owned() };
    let name = if package.kind == Kind::Python { fold(name).replace('_', "-") } else { fold(name) };
    let namespace = namespace.map(|namespace| {
        let parts = namespace.split('/').map(|part| encode(&fold(part)));
        parts.collect::<Vec<_>>().join("/") + "/"
    });
    // An rpm's epoch is a qualifier of its own.
    let (epoch, version) = match package.version.split_once(':') {
        Some((epoch, version)) if package.kind == Kind::Rpm => (Some(epoch), version),
        _ => (None, package.version.as_str()),
    };
    let qualifiers = qualifiers(package, distribution, epoch);
    format!("pkg:{kind}/{}{}@{}{qualifiers}", namespace.unwrap_or_default(), encode(&name), encode(version))
}

fn with_namespace<'a>(kind: &'static str, name: &'a str, separator: char) -> (&'static str, Option<&'a str>, &'a str) {
    match name.rsplit_once(separator) {
        Some((namespace, name)) => (kind, Some(namespace), name),
        None => (kind, None, name),
    }
}

/// Whether its registry takes large and small letters for the same.
fn is_folded(kind: Kind) -> bool {
    matches!(kind, Kind::Deb | Kind::Apk | Kind::Composer | Kind::Go | Kind::Python)
}

/// In the order of their keys.
fn qualifiers(package: &Package, distribution: Option<&Distribution>, epoch: Option<&str>) -> String {
    let is_of_distribution = package.kind.is_of_distribution();
    let release =
        distribution.filter(|_| is_of_distribution).and_then(|of| Some(format!("{}-{}", of.id, of.version.as_ref()?)));
    let all = [("arch", package.architecture.clone()), ("distro", release), ("epoch", epoch.map(str::to_owned))];
    let given = all.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", encode(&value?))));
    let given = given.collect::<Vec<_>>().join("&");
    if given.is_empty() { given } else { format!("?{given}") }
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_addresses() {
        let debian = Distribution { id: "debian".into(), version: Some("12".into()), ..Distribution::default() };
        let check = |kind, name: &str, version: &str, architecture: Option<&str>| {
            let (name, version) = (name.to_owned(), version.to_owned());
            let architecture = architecture.map(str::to_owned);
            purl(&Package { kind, name, version, source: None, architecture, path: "x".into() }, Some(&debian))
        };
        let rows = [
            (
                Kind::Deb,
                "libc6",
                "2.36-9+deb12u4",
                Some("amd64"),
                "pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12",
            ),
            (
                Kind::Rpm,
                "openssl",
                "1:3.0.7-24.el9",
                None,
                "pkg:rpm/debian/openssl@3.0.7-24.el9?distro=debian-12&epoch=1",
            ),
            (Kind::Npm, "@babel/core", "7.1.0", None, "pkg:npm/%40babel/core@7.1.0"),
            (Kind::Go, "github.com/A/b", "v1.0.0", None, "pkg:golang/github.com/a/b@v1.0.0"),
            (Kind::Maven, "org.apache:commons", "1.0", None, "pkg:maven/org.apache/commons@1.0"),
            (Kind::Python, "Django_Rest", "1.0", None, "pkg:pypi/django-rest@1.0"),
            (Kind::Cargo, "serde", "1.0.0+x", None, "pkg:cargo/serde@1.0.0%2Bx"),
        ];
        for (kind, name, version, architecture, expected) in rows {
            assert_eq!(check(kind, name, version, architecture), expected);
        }
    }
}
