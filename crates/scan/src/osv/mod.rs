//! A database of known vulnerabilities, made of files in OSV's format.
//!
//! It is one SQLite file, written anew by each import beside the old one and put in its place when it is whole. Nobody writes
//! to it after that, so readers need no lock.

mod database;
mod import;
mod record;
mod severity;
mod source;

pub(crate) use database::Candidate;
pub use database::{Database, Status};
pub use import::{Import, Imported, Refused};
use severity::Rating;
pub use severity::Severity;

use crate::version::Scheme;

/// What SQLite's header says the file is: `LSdb`.
const APPLICATION: i64 = 0x4c53_6462;
/// Of the tables below; an older database is to be imported again.
const VERSION: i64 = 2;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE refused (name TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE ecosystem (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE advisory (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, modified INTEGER NOT NULL, names TEXT NOT NULL, description TEXT NOT NULL,
    uri TEXT NOT NULL, rating TEXT NOT NULL);
CREATE TABLE affected (
    ecosystem INTEGER NOT NULL, package TEXT NOT NULL, advisory INTEGER NOT NULL, place INTEGER NOT NULL,
    events TEXT NOT NULL, versions TEXT NOT NULL, rating TEXT,
    PRIMARY KEY (ecosystem, package, advisory, place)) WITHOUT ROWID;
";

/// A package's name as its registry compares names.
fn canonical(ecosystem: &str, name: &str) -> String {
    match base(ecosystem) {
        "PyPI" => {
            let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join("-").to_lowercase()
        }
        "Packagist" | "NuGet" => name.to_lowercase(),
        _ => name.to_owned(),
    }
}

/// `Debian` of `Debian:12`.
fn base(ecosystem: &str) -> &str {
    ecosystem.split(':').next().unwrap_or(ecosystem)
}

/// How an ecosystem numbers versions, where this crate knows.
fn scheme(ecosystem: &str) -> Option<Scheme> {
    match base(ecosystem) {
        "Debian" | "Ubuntu" => Some(Scheme::Dpkg),
        "Alpine" | "Wolfi" | "Chainguard" | "MinimOS" => Some(Scheme::Apk),
        "Rocky Linux" | "AlmaLinux" | "Red Hat" | "Mageia" | "openSUSE" | "SUSE" => Some(Scheme::Rpm),
        "npm" | "crates.io" | "Go" => Some(Scheme::Semver),
        "PyPI" => Some(Scheme::Pep440),
        "RubyGems" => Some(Scheme::Gem),
        "Maven" => Some(Scheme::Maven),
        "Packagist" => Some(Scheme::Packagist),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
