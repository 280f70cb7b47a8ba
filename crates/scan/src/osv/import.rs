//! Makes a database.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::record::{self, Advisory, Read, Withdrawn};
use super::{APPLICATION, TABLES, VERSION, source};
use crate::Error;

/// Refused files that are named; more are counted.
const FIRST_REFUSED: usize = 20;
/// Of a refused file's name and of the reason.
const LONGEST_WORDS: usize = 300;

/// What is to be imported, and where to.
pub struct Import<'a> {
    /// An advisory in JSON, an archive of them, or a directory of either.
    pub source: &'a Path,
    /// The database's file. Beside it lie `.new` while an import is under way, and `.lock`.
    pub database: &'a Path,
    /// Now, in seconds since 1970.
    pub now: i64,
}

/// What came of an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    pub advisories: u64,
    /// Withdrawn ones are passed over.
    pub withdrawn: u64,
    /// They name no package that could be looked for.
    pub bare: u64,
    pub refused: u64,
    pub first_refused: Vec<Refused>,
    /// When the newest was changed, in seconds since 1970.
    pub newest_at: i64,
}

/// A file that is no advisory, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub name: String,
    pub reason: String,
}

impl Import<'_> {
    /// Reads all there is into a new database and puts it in the place of the old one, which stays if anything fails. Files
    /// that are no advisories are counted and told.
    ///
    /// # Errors
    /// When another import is under way, nothing could be read, or the disk refuses.
    pub fn run(&self) -> Result<Imported, Error> {
        let _lock = self.lock()?;
        let new = self.beside(".new");
        let made = self.make(&new).and_then(|imported| self.put_in_place(&new).map(|()| imported));
        if made.is_err() {
            drop(std::fs::remove_file(&new));
        }
        made
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut path = self.database.as_os_str().to_owned();
        path.push(end);
        path.into()
    }

    fn lock(&self) -> Result<File, Error> {
        let path = self.beside(".lock");
        let file = File::options().create(true).append(true).open(&path).map_err(|error| of_file(&path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::Busy),
            Err(TryLockError::Error(error)) => Err(of_file(&path, error)),
        }
    }

    fn make(&self, new: &Path) -> Result<Imported, Error> {
        // What an import that was cut short has left.
        match std::fs::remove_file(new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(of_file(new, error)),
            _ => {}
        }
        let mut connection = open(new)?;
        let transaction = connection.transaction()?;
        let mut filling = Filling {
            to: &transaction,
            imported: Imported::default(),
            ecosystems: HashMap::new(),
            withdrawn: HashMap::new(),
            last: 0,
        };
        source::read(self.source, &mut |name, bytes| filling.take(name, bytes))?;
        let imported = filling.finish(self)?;
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(imported)
    }

    fn put_in_place(&self, new: &Path) -> Result<(), Error> {
        let sync =
            |path: &Path| File::open(path).and_then(|file| file.sync_all()).map_err(|error| of_file(path, error));
        sync(new)?;
        std::fs::rename(new, self.database).map_err(|error| of_file(self.database, error))?;
        let directory = self.database.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync(directory.unwrap_or(Path::new(".")))
    }
}

/// A database that need not survive a failure until it is in its place.
fn open(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch(TABLES)?;
    Ok(connection)
}

struct Filling<'a> {
    to: &'a Connection,
    imported: Imported,
    ecosystems: HashMap<String, i64>,
    /// When each that is withdrawn was changed last, in seconds since 1970.
    withdrawn: HashMap<String, i64>,
    /// The number of the last advisory. None is given twice.
    last: i64,
}

impl Filling<'_> {
    fn take(&mut self, name: &str, bytes: Result<&[u8], String>) -> Result<(), Error> {
        match bytes.and_then(record::read) {
            Ok(Read::Advisory(advisory)) => self.put(&advisory)?,
            Ok(Read::Withdrawn(withdrawn)) => self.withdraw(withdrawn)?,
            Ok(Read::Bare) => self.imported.bare += 1,
            Err(reason) => self.refuse(name, reason),
        }
        Ok(())
    }

    fn refuse(&mut self, name: &str, reason: String) {
        self.imported.refused += 1;
        if self.imported.first_refused.len() < FIRST_REFUSED {
            let plain = |text: &str| {
                let shown = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
                shown.take(LONGEST_WORDS).collect::<String>()
            };
            self.imported.first_refused.push(Refused { name: plain(name), reason: plain(&reason) });
        }
    }

    /// Takes away what is older than the withdrawal, which keeps out what will come of it.
    fn withdraw(&mut self, withdrawn: Withdrawn) -> Result<(), Error> {
        self.imported.withdrawn += 1;
        let remove = "DELETE FROM advisory WHERE id = ?1 AND modified <= ?2";
        let removed = self.to.prepare_cached(remove)?.execute(params![withdrawn.id, withdrawn.modified])?;
        self.imported.advisories -= removed as u64;
        let at = self.withdrawn.entry(withdrawn.id).or_insert(withdrawn.modified);
        *at = withdrawn.modified.max(*at);
        Ok(())
    }

    /// Of two with the same id the newer one counts. What belongs to a row that is gone is found by nobody.
    fn put(&mut self, advisory: &Advisory) -> Result<(), Error> {
        if self.withdrawn.get(&advisory.id).is_some_and(|at| *at >= advisory.modified) {
            return Ok(());
        }
        let known = "SELECT modified FROM advisory WHERE id = ?1";
        let known = self.to.prepare_cached(known)?.query_row([&advisory.id], |row| row.get::<_, i64>(0)).optional()?;
        if known.is_some_and(|known| known >= advisory.modified) {
            return Ok(());
        }
        if known.is_some() {
            self.to.execute("DELETE FROM advisory WHERE id = ?1", [&advisory.id])?;
        } else {
            self.imported.advisories += 1;
        }
        self.imported.newest_at = self.imported.newest_at.max(advisory.modified);
        self.last += 1;
        let rating = text(&advisory.rating);
        self.to.prepare_cached("INSERT INTO advisory VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
            self.last,
            advisory.id,
            advisory.modified,
            advisory.names.join("\n"),
            advisory.description,
            advisory.uri,
            rating
        ])?;
        self.put_affected(self.last, advisory)
    }

    fn put_affected(&mut self, advisory: i64, of: &Advisory) -> Result<(), Error> {
        for (place, affected) in of.affected.iter().enumerate() {
            let ecosystem = self.ecosystem(&affected.ecosystem)?;
            self.to.prepare_cached("INSERT INTO affected VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
                ecosystem,
                affected.package,
                advisory,
                i64::try_from(place).unwrap_or(i64::MAX),
                affected.events.to_text(),
                affected.versions.join("\n"),
                affected.rating.as_ref().map(text)
            ])?;
        }
        Ok(())
    }

    fn ecosystem(&mut self, name: &str) -> Result<i64, Error> {
        if let Some(number) = self.ecosystems.get(name) {
            return Ok(*number);
        }
        let number = i64::try_from(self.ecosystems.len()).unwrap_or(i64::MAX);
        self.to.execute("INSERT INTO ecosystem VALUES (?1, ?2)", params![number, name])?;
        self.ecosystems.insert(name.to_owned(), number);
        Ok(number)
    }

    fn finish(self, of: &Import<'_>) -> Result<Imported, Error> {
        let imported = self.imported;
        let path = || of.source.to_owned();
        match (imported.advisories, imported.first_refused.first()) {
            (0, Some(first)) => {
                let first = format!("{}: {}", first.name, first.reason);
                return Err(Error::NothingReadable { path: path(), refused: imported.refused, first });
            }
            (0, None) => return Err(Error::NothingToImport { path: path() }),
            _ => {}
        }
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let meta = [
            ("imported_at", of.now),
            ("newest_at", imported.newest_at),
            ("advisories", signed(imported.advisories)),
            ("withdrawn", signed(imported.withdrawn)),
            ("bare", signed(imported.bare)),
            ("refused", signed(imported.refused)),
        ];
        for (key, value) in meta {
            self.to.execute("INSERT INTO meta VALUES (?1, ?2)", params![key, value])?;
        }
        for refused in &imported.first_refused {
            self.to.execute("INSERT INTO refused VALUES (?1, ?2)", params![refused.name, refused.reason])?;
        }
        Ok(imported)
    }
}

fn text(rating: &super::Rating) -> String {
    serde_json::to_string(rating).unwrap_or_default()
}

fn of_file(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
