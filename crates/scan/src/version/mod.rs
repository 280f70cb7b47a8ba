//! Which of two versions is the later one, by the rules of those who number them.

mod apk;
mod dpkg;
mod gem;
mod maven;
mod packagist;
mod rpm;
mod semver;

use std::cmp::Ordering;
use std::str::FromStr as _;

/// Rules for numbering versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `epoch:upstream-revision` of Debian and what derives from it.
    Dpkg,
    /// Alpine's: `1.2.3b_rc1_p2-r3`.
    Apk,
    /// `epoch:version-release`.
    Rpm,
    /// Semantic versioning: npm, crates.io, Go.
    Semver,
    /// Python's.
    Pep440,
    /// RubyGems.
    Gem,
    Maven,
    /// Composer's.
    Packagist,
}

/// Bytes of a version that are compared. Nobody publishes longer ones.
const LONGEST: usize = 512;

impl Scheme {
    /// Whether a version comes after the last of some; `None` as in [`Scheme::compare`]. Of rpm's a last one without a release
    /// stands for all of its releases.
    pub(crate) fn is_after(self, version: &str, last: &str) -> Option<bool> {
        let version = match self {
            Self::Rpm if !last.contains('-') => version.rsplit_once('-').map_or(version, |(version, _)| version),
            _ => version,
        };
        Some(self.compare(version, last)?.is_gt())
    }

    /// Which of two versions is the later; `None` when either is no version by these rules.
    #[must_use]
    pub fn compare(self, one: &str, other: &str) -> Option<Ordering> {
        if one.len() > LONGEST || other.len() > LONGEST {
            return None;
        }
        match self {
            Self::Dpkg => dpkg::compare(one, other),
            Self::Apk => apk::compare(one, other),
            Self::Rpm => rpm::compare(one, other),
            Self::Semver => semver::compare(one, other),
            Self::Pep440 => {
                let parse = |text| pep440_rs::Version::from_str(text).ok();
                Some(parse(one)?.cmp(&parse(other)?))
            }
            Self::Gem => gem::compare(one, other),
            Self::Maven => maven::compare(one, other),
            Self::Packagist => packagist::compare(one, other),
        }
    }
}

/// Two numbers of any length, as digits.
fn compare_digits(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

/// Where the run of digits, or of anything else, that a text begins with ends.
fn run(text: &str, is_digits: bool) -> usize {
    text.find(|c: char| c.is_ascii_digit() != is_digits).unwrap_or(text.len())
}

#[cfg(test)]
mod tests;
