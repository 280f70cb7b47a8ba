//! SQLite: one file, write-ahead log, synchronous to the disk at every group commit.

use std::path::Path;
use std::sync::Arc;

use longshore_model::{Change, Record, TableName};
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{Backend, Commit, Error, Revision};

/// Rises when the meaning of stored rows changes.
const SCHEMA: i64 = 1;

pub struct Sqlite {
    connection: Connection,
}

impl Sqlite {
    /// Open or make the database at `path`. It is locked: a second process is refused.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path).map_err(Error::Open)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(Error::Open)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(Error::Open)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(Error::Open)?;
        connection.pragma_update(None, "wal_autocheckpoint", 4000).map_err(Error::Open)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS records (
                 kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
             ) WITHOUT ROWID;",
        )?;
        let this = Self { connection };
        this.check_schema()?;
        Ok(this)
    }

    fn check_schema(&self) -> Result<(), Error> {
        let found = self.meta("schema")?.unwrap_or(SCHEMA);
        if found != SCHEMA {
            return Err(Error::Schema { found, known: SCHEMA });
        }
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?1)", [SCHEMA])?;
        Ok(())
    }

    fn meta(&self, name: &str) -> Result<Option<i64>, Error> {
        let found = self.connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0));
        Ok(found.optional()?)
    }
}

impl Backend for Sqlite {
    fn load(&mut self, put: &mut dyn FnMut(Record)) -> Result<Revision, Error> {
        let mut rows = self.connection.prepare("SELECT kind, value FROM records")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            let table = TableName::from_number(number).ok_or(Error::UnknownTable(number))?;
            put(Record::from_bytes(table, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?);
        }
        Ok(self.meta("revision")?.unwrap_or(0) as Revision)
    }

    fn commit(&mut self, group: &[Arc<Commit>]) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        for commit in group {
            for change in &commit.changes {
                write(&transaction, change)?;
            }
        }
        let last = group.last().map_or(0, |commit| commit.revision) as i64;
        transaction.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('revision', ?1)")?.execute([last])?;
        Ok(transaction.commit()?)
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
