//! What an image holds: packages, of whom, and what could not be read.

use std::sync::Arc;

use crate::version::Scheme;

/// What was read out of an image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    pub distribution: Option<Distribution>,
    /// By the path of the file that names them, then in its order.
    pub packages: Vec<Package>,
    /// What is there and could not be read.
    pub problems: Vec<Problem>,
}

/// A file that says something of packages, and why it was not understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub path: String,
    pub reason: String,
    /// Whether a distribution's packages are not known for it.
    pub hides_distribution: bool,
}

/// One package in one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Package {
    pub kind: Kind,
    /// As its ecosystem writes it; Maven's are `group:artifact`.
    pub name: String,
    /// As its ecosystem writes it; rpm's are `[epoch:]version-release`.
    pub version: String,
    /// What it was built from, if that is known to be something else.
    pub source: Option<Source>,
    pub architecture: Option<String>,
    /// The file it was read from, without a leading slash.
    pub path: Arc<str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub name: String,
    pub version: String,
}

/// Who packages it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Deb,
    Apk,
    Rpm,
    Npm,
    Cargo,
    Python,
    Gem,
    Composer,
    Go,
    Maven,
}

impl Kind {
    /// Whether a distribution's package manager installed it.
    #[must_use]
    pub fn is_of_distribution(self) -> bool {
        matches!(self, Self::Deb | Self::Apk | Self::Rpm)
    }

    /// The name that OSV has for the language's ecosystem; distributions have theirs from [`Distribution::ecosystem`].
    pub(crate) fn ecosystem(self) -> Option<&'static str> {
        match self {
            Self::Deb | Self::Apk | Self::Rpm => None,
            Self::Npm => Some("npm"),
            Self::Cargo => Some("crates.io"),
            Self::Python => Some("PyPI"),
            Self::Gem => Some("RubyGems"),
            Self::Composer => Some("Packagist"),
            Self::Go => Some("Go"),
            Self::Maven => Some("Maven"),
        }
    }

    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::Deb => Scheme::Dpkg,
            Self::Apk => Scheme::Apk,
            Self::Rpm => Scheme::Rpm,
            Self::Npm | Self::Cargo | Self::Go => Scheme::Semver,
            Self::Python => Scheme::Pep440,
            Self::Gem => Scheme::Gem,
            Self::Composer => Scheme::Packagist,
            Self::Maven => Scheme::Maven,
        }
    }
}

/// The distribution that `os-release` names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`. Rolling ones have none.
    pub version: Option<String>,
    /// `PRETTY_NAME`: `Debian GNU/Linux 12 (bookworm)`.
    pub pretty_name: Option<String>,
    /// Whether `VERSION` speaks of long-term support, which is part of the names of Ubuntu's releases.
    pub is_long_term: bool,
}

/// Where a distribution's advisories are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ecosystem {
    /// Under this name alone: `Debian:12`.
    Is(String),
    /// Under this name, and those that follow it after `::`: Red Hat's name their repositories.
    Begins(String),
}

impl Ecosystem {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Is(name) | Self::Begins(name) => name,
        }
    }
}

impl Distribution {
    /// The name that OSV has for this release; `None` for a distribution or release that OSV has none for.
    #[must_use]
    pub fn ecosystem(&self) -> Option<Ecosystem> {
        let whole = self.version.as_deref();
        let major = whole.map(|version| version.split('.').next().unwrap_or(version));
        let of = |name: &str, release: Option<&str>| release.map(|release| Ecosystem::Is(format!("{name}:{release}")));
        match self.id.as_str() {
            "debian" => of("Debian", major),
            "ubuntu" if self.is_long_term => whole.map(|release| Ecosystem::Is(format!("Ubuntu:{release}:LTS"))),
            "ubuntu" => of("Ubuntu", whole),
            "alpine" => self.alpine(),
            "rocky" => of("Rocky Linux", major),
            "almalinux" => of("AlmaLinux", major),
            "rhel" => major.map(|release| Ecosystem::Begins(format!("Red Hat:enterprise_linux:{release}"))),
            "mageia" => of("Mageia", major),
            "opensuse-leap" => whole.map(|release| Ecosystem::Is(format!("openSUSE:Leap {release}"))),
            "opensuse-tumbleweed" => Some(Ecosystem::Is("openSUSE:Tumbleweed".to_owned())),
            "wolfi" => Some(Ecosystem::Is("Wolfi".to_owned())),
            "chainguard" => Some(Ecosystem::Is("Chainguard".to_owned())),
            "minimos" => Some(Ecosystem::Is("MinimOS".to_owned())),
            _ => None,
        }
    }

    /// `Alpine:v3.19` of 3.19.1. Edge, whose version has a letter, has no release.
    fn alpine(&self) -> Option<Ecosystem> {
        let (major, rest) = self.version.as_deref()?.split_once('.')?;
        let minor = rest.split('.').next()?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let release = is_number(major) && is_number(minor) && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        release.then(|| Ecosystem::Is(format!("Alpine:v{major}.{minor}")))
    }

    /// How a person would call it.
    #[must_use]
    pub fn name(&self) -> String {
        let short = || [self.id.as_str(), self.version.as_deref().unwrap_or_default()].join(" ").trim().to_owned();
        self.pretty_name.clone().unwrap_or_else(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_the_names_that_osv_has_for_them() {
        let check = |id: &str, version: &str, long: bool| {
            let version = Some(version.to_owned()).filter(|version| !version.is_empty());
            let of = Distribution { id: id.to_owned(), version, is_long_term: long, ..Distribution::default() };
            of.ecosystem().map(|ecosystem| ecosystem.name().to_owned()).unwrap_or_default()
        };
        let rows = [
            ("debian", "12", false, "Debian:12"),
            ("debian", "", false, ""),
            ("ubuntu", "22.04", true, "Ubuntu:22.04:LTS"),
            ("ubuntu", "23.10", false, "Ubuntu:23.10"),
            ("alpine", "3.19.1", false, "Alpine:v3.19"),
            ("alpine", "3.22_alpha20250108", false, ""),
            ("rocky", "9.3", false, "Rocky Linux:9"),
            ("almalinux", "8.10", false, "AlmaLinux:8"),
            ("rhel", "9.4", false, "Red Hat:enterprise_linux:9"),
            ("opensuse-leap", "15.6", false, "openSUSE:Leap 15.6"),
            ("wolfi", "20230201", false, "Wolfi"),
            ("amzn", "2023", false, ""),
        ];
        for (id, version, long, expected) in rows {
            assert_eq!(check(id, version, long), expected, "{id} {version}");
        }
    }
}
