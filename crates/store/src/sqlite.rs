//! SQLite: one file, write-ahead log, synchronous to the disk at every group commit.
//!
//! A write that finds no space is rolled back by SQLite and reported as [`Error::Full`]. The log is copied into the
//! database in passing (a checkpoint); if that fails, the log stays as it is and nothing is lost.

use std::path::Path;

use longshore_model::{Change, Record, TableName};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::backend::{Epoch, Lease};
use crate::{Backend, Claim, Error, Group, Revision};

/// Rises when the meaning of stored rows changes.
const SCHEMA: i64 = 1;

/// Who may open the database's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// One at a time; others are refused. Also the faster one.
    Exclusive,
    /// Several; only the claim decides who may write.
    Shared,
}

pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Open or make the database at `path`. It is locked: a second process is refused.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Locking::Exclusive)
    }

    /// As [`Self::open`], with a say in who else may open it.
    pub fn open_with(path: &Path, locking: Locking) -> Result<Self, Error> {
        let connection = Connection::open(path).map_err(Error::Open)?;
        if locking == Locking::Exclusive {
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(Error::Open)?;
        }
        connection.pragma_update(None, "journal_mode", "WAL").map_err(Error::Open)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(Error::Open)?;
        connection.pragma_update(None, "wal_autocheckpoint", 4000).map_err(Error::Open)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS records (
                 kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
             ) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS lease (
                 id INTEGER PRIMARY KEY CHECK (id = 1), holder TEXT NOT NULL, epoch INTEGER NOT NULL, until INTEGER
             );",
        )?;
        let this = Self { connection };
        this.check_schema()?;
        Ok(this)
    }

    fn check_schema(&self) -> Result<(), Error> {
        match meta(&self.connection, "schema")? {
            Some(SCHEMA) => Ok(()),
            Some(found) => Err(Error::Schema { found, known: SCHEMA }),
            None => {
                self.connection.execute("INSERT INTO meta VALUES ('schema', ?1)", [SCHEMA])?;
                Ok(())
            }
        }
    }

    /// A transaction that writes, and that nobody else's can come between.
    fn write(&mut self) -> Result<Transaction<'_>, Error> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

fn meta(connection: &Connection, name: &str) -> Result<Option<i64>, Error> {
    let mut found = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    Ok(found.query_row([name], |row| row.get(0)).optional()?)
}

fn revision(connection: &Connection) -> Result<Revision, Error> {
    Ok(meta(connection, "revision")?.unwrap_or(0) as Revision)
}

fn lease(connection: &Connection) -> Result<Lease, Error> {
    let mut found = connection.prepare_cached("SELECT holder, epoch, until FROM lease")?;
    let lease = found.query_row([], |row| {
        Ok(Lease { holder: row.get(0)?, epoch: row.get::<_, i64>(1)? as Epoch, until: row.get(2)? })
    });
    Ok(lease.optional()?.unwrap_or_default())
}

fn put_lease(transaction: &Transaction<'_>, lease: &Lease) -> Result<(), Error> {
    let row = params![lease.holder, lease.epoch as i64, lease.until];
    transaction.prepare_cached("INSERT OR REPLACE INTO lease VALUES (1, ?1, ?2, ?3)")?.execute(row)?;
    Ok(())
}

impl Backend for Sqlite {
    fn claim(&mut self, claim: &Claim) -> Result<Epoch, Error> {
        let transaction = self.write()?;
        let next = lease(&transaction)?.pass(claim)?;
        put_lease(&transaction, &next)?;
        transaction.commit()?;
        Ok(next.epoch)
    }

    fn renew(&mut self, epoch: Epoch, until: i64) -> Result<(), Error> {
        let transaction = self.write()?;
        let held = lease(&transaction)?;
        held.admit(epoch)?;
        put_lease(&transaction, &Lease { until: Some(until), ..held })?;
        Ok(transaction.commit()?)
    }

    fn load(&mut self, put: &mut dyn FnMut(Record)) -> Result<Revision, Error> {
        // One read transaction: a shared file may change meanwhile.
        let transaction = self.connection.transaction()?;
        let mut rows = transaction.prepare("SELECT kind, value FROM records")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let table = TableName::from_number(number).ok_or(Error::UnknownTable(number))?;
            put(Record::from_bytes(table, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?);
        }
        revision(&transaction)
    }

    fn commit(&mut self, group: &Group<'_>) -> Result<(), Error> {
        let transaction = self.write()?;
        lease(&transaction)?.admit(group.epoch)?;
        group.follows(revision(&transaction)?)?;
        for change in group.commits.iter().flat_map(|commit| &commit.changes) {
            write(&transaction, change)?;
        }
        let last = group.last() as i64;
        transaction.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('revision', ?1)")?.execute([last])?;
        Ok(transaction.commit()?)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(error),
        }
    }
}

fn write(transaction: &Transaction<'_>, change: &Change) -> Result<(), Error> {
    let kind = change.table() as i64;
    match change {
        Change::Put(record) => transaction
            .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3)")?
            .execute(params![kind, record.key(), record.to_bytes()])?,
        Change::Delete(_, key) => transaction
            .prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?
            .execute(params![kind, key])?,
    };
    Ok(())
}
