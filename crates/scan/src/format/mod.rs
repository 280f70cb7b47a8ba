//! Which files say something of packages, and what they say.

mod apk;
mod berkeley;
mod dpkg;
mod golang;
mod javascript;
mod json;
mod jvm;
mod lines;
mod ndb;
mod os_release;
mod php;
mod python;
mod rpm;
mod ruby;
mod shelf;
mod sqlite;

use std::collections::BTreeMap;
use std::io::{self, Read};

pub(crate) use shelf::Shelf;

use crate::package::{Contents, Distribution, Kind, Package, Problem};

/// What a file is, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    OsRelease,
    Dpkg,
    Apk,
    RpmSqlite,
    /// What SQLite has not folded into the database yet.
    RpmJournal,
    /// Rpm's databases before SQLite.
    RpmOther,
    NpmLock,
    NodeModule,
    YarnLock,
    CargoLock,
    PythonLock,
    PipfileLock,
    Requirements,
    PythonMetadata,
    GemfileLock,
    ComposerLock,
    GoModule,
    Jar,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    Release(Distribution),
    Packages {
        packages: Vec<Package>,
        /// How many more have a name or version that is none.
        refused: usize,
        /// Why there may be others.
        unread: Option<String>,
    },
    /// It may speak of packages, and cannot be read for this reason.
    Unread(String),
    /// Bytes that SQLite keeps beside a database.
    Journal(usize),
    /// It was read, and names nothing.
    Silent,
}

impl Found {
    /// What the same file says under another name, that of the shelf.
    pub(crate) fn again(&self, shelf: &mut Shelf<'_>) -> Self {
        let Self::Packages { packages, refused, unread } = self else { return self.clone() };
        packages.iter().for_each(|package| shelf.add_again(package));
        Self::Packages { packages: shelf.take().0, refused: *refused, unread: unread.clone() }
    }
}

/// Directories that rpm has its database in.
const RPM: &[&str] = &["var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm"];

impl Format {
    pub(crate) fn is_rpm(self) -> bool {
        matches!(self, Self::RpmSqlite | Self::RpmJournal | Self::RpmOther)
    }

    /// Whether it is what a distribution's package manager keeps, which no image has beside another.
    fn is_of_distribution(self) -> bool {
        self.is_rpm() || matches!(self, Self::Dpkg | Self::Apk)
    }
}

/// What a file of this path is; `None` if it says nothing of packages.
pub(crate) fn of_path(path: &[u8]) -> Option<Format> {
    // Whatever the directories above are called.
    let path = &*String::from_utf8_lossy(path);
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    match path {
        "etc/os-release" | "usr/lib/os-release" => return Some(Format::OsRelease),
        "var/lib/dpkg/status" => return Some(Format::Dpkg),
        "lib/apk/db/installed" | "usr/lib/apk/db/installed" => return Some(Format::Apk),
        _ => {}
    }
    if directory == "var/lib/dpkg/status.d" {
        return (!name.ends_with(".md5sums")).then_some(Format::Dpkg);
    }
    if RPM.contains(&directory) {
        return of_rpm(name);
    }
    of_language(directory, name)
}

fn of_rpm(name: &str) -> Option<Format> {
    match name {
        "rpmdb.sqlite" => Some(Format::RpmSqlite),
        "rpmdb.sqlite-wal" => Some(Format::RpmJournal),
        "Packages" | "Packages.db" => Some(Format::RpmOther),
        _ => None,
    }
}

fn of_language(directory: &str, name: &str) -> Option<Format> {
    let within = directory.rsplit('/').next().unwrap_or(directory);
    let above = directory.rsplit('/').nth(1).unwrap_or_default();
    match name {
        "package-lock.json" | "npm-shrinkwrap.json" | ".package-lock.json" => Some(Format::NpmLock),
        "package.json" if within == "node_modules" => None,
        "package.json" if above == "node_modules" => Some(Format::NodeModule),
        "package.json" if above.starts_with('@') && directory.contains("node_modules/@") => Some(Format::NodeModule),
        "yarn.lock" => Some(Format::YarnLock),
        "Cargo.lock" => Some(Format::CargoLock),
        "poetry.lock" | "uv.lock" | "pdm.lock" => Some(Format::PythonLock),
        "Pipfile.lock" => Some(Format::PipfileLock),
        "requirements.txt" => Some(Format::Requirements),
        "METADATA" if within.ends_with(".dist-info") => Some(Format::PythonMetadata),
        "PKG-INFO" if within.ends_with(".egg-info") => Some(Format::PythonMetadata),
        "Gemfile.lock" => Some(Format::GemfileLock),
        "composer.lock" => Some(Format::ComposerLock),
        "installed.json" if directory.ends_with("vendor/composer") => Some(Format::ComposerLock),
        "go.mod" => Some(Format::GoModule),
        name if name.ends_with(".jar") || name.ends_with(".war") || name.ends_with(".ear") => Some(Format::Jar),
        _ => None,
    }
}

/// Where distributions' package managers keep what they installed.
const DATABASES: &[&str] = &[
    "var/lib/dpkg/status",
    "var/lib/dpkg/status.d/any",
    "lib/apk/db/installed",
    "usr/lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/share/rpm/rpmdb.sqlite",
];

/// What is said where a package manager's file should be, or a directory above it, and a link is. Links are not followed: those
/// that distributions make lead to places that are known by their own paths (`lib` to `usr/lib`).
///
/// A hard link, which has no `target` here, is a file of its own: there it is said wherever packages may be listed.
pub(crate) fn linked(path: &[u8], target: Option<&[u8]>) -> Option<Found> {
    let is_known = |path: &[u8]| of_path(path).is_some_and(Format::is_of_distribution);
    let hides = |rest: &[u8]| target.is_none_or(|target| !is_known(&[target, rest].concat()));
    let mut below = DATABASES.iter().filter_map(|database| below(database, path));
    let is_file = target.is_none() && of_path(path).is_some();
    let is_hidden = is_file || is_known(path) || below.any(hides);
    is_hidden.then(|| Found::Unread("it is a link, which is not followed".to_owned()))
}

/// What of a database's path is below another one, with the slash.
fn below<'a>(database: &'a str, path: &[u8]) -> Option<&'a [u8]> {
    database.as_bytes().strip_prefix(path).filter(|rest| rest.starts_with(b"/"))
}

/// Reads a file. What it names goes to the shelf until that is full.
pub(crate) fn read(format: Format, bytes: &[u8], shelf: &mut Shelf<'_>) -> Option<Found> {
    let done = match format {
        Format::OsRelease => return os_release::read(bytes).map(Found::Release),
        Format::RpmJournal => return Some(Found::Journal(bytes.len())),
        Format::RpmOther => rpm::read_older(bytes, shelf),
        Format::RpmSqlite => rpm::read(bytes, shelf),
        Format::Jar => jvm::read(bytes, shelf),
        _ => std::str::from_utf8(bytes).map_err(|_| "it is not in UTF-8".to_owned()).and_then(|text| {
            match format {
                Format::Dpkg => dpkg::read(text, shelf),
                Format::Apk => apk::read(text, shelf),
                Format::NpmLock => javascript::read_lock(text, shelf)?,
                Format::NodeModule => javascript::read_module(text, shelf)?,
                Format::YarnLock => javascript::read_yarn(text, shelf),
                Format::CargoLock => lines::read_toml(text, Kind::Cargo, shelf),
                Format::PythonLock => lines::read_toml(text, Kind::Python, shelf),
                Format::PipfileLock => python::read_pipfile(text, shelf)?,
                Format::Requirements => python::read_requirements(text, shelf),
                Format::PythonMetadata => python::read_metadata(text, shelf),
                Format::GemfileLock => ruby::read(text, shelf),
                Format::ComposerLock => php::read(text, shelf)?,
                Format::GoModule => golang::read(text, shelf),
                _ => {}
            }
            Ok(())
        }),
    };
    let (packages, refused) = shelf.take();
    found(packages, refused, done.err())
}

fn found(packages: Vec<Package>, refused: usize, unread: Option<String>) -> Option<Found> {
    match unread {
        None if packages.is_empty() && refused == 0 => None,
        Some(reason) if packages.is_empty() && refused == 0 => Some(Found::Unread(reason)),
        unread => Some(Found::Packages { packages, refused, unread }),
    }
}

/// Reads what a program says that it was built of; `None` if it says nothing.
///
/// # Errors
/// When its bytes cannot be had.
pub(crate) fn read_program(program: &mut impl Read, shelf: &mut Shelf<'_>) -> io::Result<Option<Found>> {
    let reason = golang::read_program(program, shelf)?;
    let (packages, refused) = shelf.take();
    Ok(found(packages, refused, reason))
}

/// Which of rpm's databases a file is: the newest is 0. Rpm leaves the ones before where they are.
fn age(path: &[u8]) -> Option<u8> {
    match of_path(path)? {
        Format::RpmSqlite => Some(0),
        Format::RpmOther if path.ends_with(b".db") => Some(1),
        Format::RpmOther => Some(2),
        _ => None,
    }
}

/// All that the files of an image say together.
pub(crate) fn gather(files: BTreeMap<Vec<u8>, Found>) -> Contents {
    let mut contents = Contents::default();
    let mut releases = BTreeMap::new();
    let is_read = |found: &Found| matches!(found, Found::Packages { .. });
    let newest = files.iter().filter(|(_, found)| is_read(found)).filter_map(|(path, _)| age(path)).min();
    for (path, found) in files {
        // A database that rpm had before the one that it has now says nothing, and hides nothing.
        let is_old = age(&path).is_some_and(|age| newest.is_some_and(|newest| age > newest));
        if is_old && is_read(&found) {
            continue;
        }
        let is_above = DATABASES.iter().any(|database| below(database, &path).is_some());
        let hides_distribution = is_above || !is_old && of_path(&path).is_some_and(Format::is_of_distribution);
        let path = String::from_utf8_lossy(&path).into_owned();
        match found {
            Found::Release(release) => drop(releases.insert(path, release)),
            Found::Packages { packages, refused, unread } => {
                contents.packages.extend(packages);
                let refused =
                    (refused > 0).then(|| format!("{refused} of its packages have a name or version that is none"));
                let problem = |reason| Problem { path: path.clone(), reason, hides_distribution };
                contents.problems.extend(refused.into_iter().chain(unread).map(problem));
            }
            Found::Unread(reason) => contents.problems.push(Problem { path, reason, hides_distribution }),
            Found::Journal(0) | Found::Silent => {}
            Found::Journal(_) => {
                let reason = "unsupported rpm database: it has changes that were not folded into it".to_owned();
                contents.problems.push(Problem { path, reason, hides_distribution });
            }
        }
    }
    // `etc/os-release` is the one to read, and most often a link to the other.
    contents.distribution = releases.into_values().next();
    contents
}

#[cfg(test)]
mod tests;
