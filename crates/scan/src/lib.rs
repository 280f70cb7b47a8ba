//! What is in an image, and what is known to be wrong with it.
//!
//! [`read_layers`] reads the packages out of an image's layers as they stream by: what distributions install (dpkg, apk, rpm)
//! and what the lock files and installed packages of languages name. [`Import`] makes a [`Database`] out of files in the
//! format of OSV (<https://ossf.github.io/osv-schema/>), and [`find`] lays the two beside each other, as Amazon ECR's basic
//! scanning does. [`sbom`] writes the packages down as CycloneDX.
//!
//! Images come from whoever may push them, so everything about them has a bound ([`Limits`]), nothing of a layer is ever
//! written to disk, and no path of a layer is ever opened. What could not be read is a [`Problem`] that is told with the
//! packages: what this crate does not know is never "nothing there".

mod cyclonedx;
mod find;
mod format;
mod layer;
mod osv;
mod package;
mod purl;
mod version;

pub use cyclonedx::{Document, sbom};
pub use find::{Attribute, Finding, Findings, System, find, find_until};
pub use layer::{Limits, read_layers};
pub use osv::{Database, Import, Imported, Refused, Severity, Status};
pub use package::{Contents, Distribution, Ecosystem, Kind, Package, Problem, Source};
pub use version::Scheme;

use std::path::PathBuf;

/// The database's name in a data directory.
pub const DATABASE_FILE: &str = "scan-db.sqlite";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("layer {layer} cannot be read: {reason}")]
    Damaged { layer: usize, reason: String },
    #[error("layer {layer} cannot be read: {source}")]
    Layer { layer: usize, source: std::io::Error },
    #[error("the image has more than {0} files")]
    TooManyEntries(u64),
    #[error("the image's layers unpack to more than {0} bytes")]
    TooLarge(u64),
    #[error("layer {layer} swells to more than {times} times its size")]
    Swells { layer: usize, times: u64 },
    #[error("layer {layer} holds a path of more than {most} bytes")]
    LongPath { layer: usize, most: usize },
    #[error("what the image says of its packages takes more than {0} bytes")]
    TooManyPackages(usize),
    #[error("the image takes longer to scan than it may")]
    TooLong,
    #[error("no vulnerability database has been imported: run `longshore scan-db import FILE` with files of OSV")]
    NoDatabase,
    #[error(
        "{path} is no vulnerability database of this version: import it again with `longshore scan-db import FILE`"
    )]
    Schema { path: PathBuf },
    #[error("another import is under way")]
    Busy,
    #[error("{path} holds no file in the format of OSV")]
    NothingToImport { path: PathBuf },
    #[error("{path} holds no advisory that could be read; the first of {refused} refused was {first}")]
    NothingReadable { path: PathBuf, refused: u64, first: String },
    #[error("{path} has more than {most} entries")]
    TooManyAdvisories { path: PathBuf, most: u64 },
    #[error("{path}: {reason}")]
    Archive { path: PathBuf, reason: String },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the vulnerability database cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
