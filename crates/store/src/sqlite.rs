//! SQLite: one file, write-ahead log, synchronous to the disk at every group commit.
//!
//! A write that finds no space is rolled back by SQLite and reported as [`Error::Full`]. The log is copied into the
//! database in passing (a checkpoint); if that fails, the log stays as it is and nothing is lost.

use std::collections::HashSet;
use std::path::Path;

use longshore_model::{Change, Record, TableName};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::backend::{Epoch, Lease};
use crate::rows::{Moved, Print, Rows};
use crate::{Backend, Claim, Error, Group, Revision};

/// Rises when the meaning of stored rows changes.
const SCHEMA: i64 = 3;

/// Rows lie in the order in which they were made, so that what is made and changed together lies together. A table in the
/// order of its keys would spread each group over pages all over the file, and keep longer records out of its pages
/// altogether: four times the work. An index over the keys would do the former: [`Rows`] knows where each record lies.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS records (kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS lease (
        id INTEGER PRIMARY KEY CHECK (id = 1), holder TEXT NOT NULL, epoch INTEGER NOT NULL, until INTEGER
    );
    CREATE TABLE IF NOT EXISTS trial (id INTEGER PRIMARY KEY CHECK (id = 1), bytes BLOB NOT NULL);";

/// Schema 1 kept the records in the order of their keys.
const FROM_1: &str = "
    BEGIN IMMEDIATE;
    ALTER TABLE records RENAME TO records_1;
    CREATE TABLE records (kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL);
    INSERT INTO records SELECT kind, key, value FROM records_1;
    DROP TABLE records_1;
    UPDATE meta SET value = 3 WHERE name = 'schema';
    COMMIT;";

/// Schema 2 kept an index over the keys.
const FROM_2: &str = "
    BEGIN IMMEDIATE;
    DROP INDEX records_by_key;
    UPDATE meta SET value = 3 WHERE name = 'schema';
    COMMIT;";

/// Bytes of a page, for files made from now on: what is made together takes fewer of larger ones.
const PAGE_BYTES: i64 = 8 * 1024;

/// Pages of the database that are kept in memory.
const CACHE_KIB: i64 = 16 * 1024;

/// How the database's file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Several processes may open the file; only the claim decides who may write. Slower.
    pub shared: bool,
    /// Pages in the log before it is copied into the database.
    pub checkpoint: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { shared: false, checkpoint: 2000 }
    }
}

/// Space that a disk that was full must have before it is written to again.
const TRIAL_BYTES: i64 = 64 * 1024;

pub struct Sqlite {
    connection: Connection,
    /// Known since this claim: before it somebody else may have written.
    rows: Option<Rows>,
}

impl Sqlite {
    /// Open or make the database at `path`. It is locked: a second process is refused.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Tuning::default())
    }

    /// As [`Self::open`], with a say in how the file is used.
    pub fn open_with(path: &Path, tuning: Tuning) -> Result<Self, Error> {
        let connection = Connection::open(path).map_err(Error::Open)?;
        if !tuning.shared {
            connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(Error::Open)?;
        }
        connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(Error::Open)?;
        use_log(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(Error::Open)?;
        connection.pragma_update(None, "wal_autocheckpoint", tuning.checkpoint).map_err(Error::Open)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(Error::Open)?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;",
        )?;
        let this = Self { connection, rows: None };
        this.check_schema()?;
        this.connection.execute_batch(TABLES)?;
        Ok(this)
    }

    /// What these records are known by elsewhere: a number that was drawn once for them, and goes where they go.
    ///
    /// # Errors
    /// [`Error::Full`], if it is to be drawn and there is no space.
    pub fn installation(&self) -> Result<i64, Error> {
        self.connection.execute("INSERT OR IGNORE INTO meta VALUES ('installation', random() & ?1)", [i64::MAX])?;
        meta(&self.connection, "installation")?.ok_or(Error::Sqlite(rusqlite::Error::QueryReturnedNoRows))
    }

    fn check_schema(&self) -> Result<(), Error> {
        match meta(&self.connection, "schema")? {
            Some(SCHEMA) => Ok(()),
            Some(1) => Ok(self.connection.execute_batch(FROM_1)?),
            Some(2) => Ok(self.connection.execute_batch(FROM_2)?),
            Some(found) => Err(Error::Schema { found, known: SCHEMA }),
            None => {
                self.connection.execute("INSERT INTO meta VALUES ('schema', ?1)", [SCHEMA])?;
                Ok(())
            }
        }
    }

    /// Find out whether there is some space. Rows that do not change are not written, so this writes what is new each time.
    fn try_space(&mut self, group: &Group<'_>) -> Result<(), Error> {
        let transaction = self.write()?;
        admit(&transaction, group)?;
        transaction.execute("INSERT OR REPLACE INTO trial VALUES (1, randomblob(?1))", [TRIAL_BYTES])?;
        transaction.commit()?;
        self.connection.execute("DELETE FROM trial", [])?;
        Ok(())
    }

    /// A transaction that writes, and that nobody else's can come between.
    fn write(&mut self) -> Result<Transaction<'_>, Error> {
        immediate(&mut self.connection)
    }
}

fn immediate(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Switch to the write-ahead log. SQLite names the new mode before it has written it down, and stays in the old one if that
/// fails; then a power cut may undo a commit. So the statement is run to its end.
fn use_log(connection: &Connection) -> Result<(), Error> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL").map_err(Error::Open)?;
    let mut rows = statement.query([]).map_err(Error::Open)?;
    let mut mode = String::new();
    while let Some(row) = rows.next().map_err(Error::Open)? {
        mode = row.get(0).map_err(Error::Open)?;
    }
    match mode.as_str() {
        "wal" => Ok(()),
        _ => Err(Error::NoLog),
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

/// Refuse a group of another writer, or one that does not follow.
fn admit(transaction: &Transaction<'_>, group: &Group<'_>) -> Result<(), Error> {
    lease(transaction)?.admit(group.epoch)?;
    group.follows(revision(transaction)?)
}

impl Backend for Sqlite {
    fn claim(&mut self, claim: &Claim) -> Result<Epoch, Error> {
        self.rows = None;
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
        self.rows = Some(read(&transaction, put)?);
        revision(&transaction)
    }

    fn commit(&mut self, group: &Group<'_>) -> Result<(), Error> {
        if group.commits.is_empty() {
            return self.try_space(group);
        }
        let transaction = immediate(&mut self.connection)?;
        admit(&transaction, group)?;
        let rows = match &mut self.rows {
            Some(rows) => rows,
            none => none.insert(read(&transaction, &mut drop)?),
        };
        let moved = write(&transaction, rows, group)?;
        let last = group.last() as i64;
        transaction.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('revision', ?1)")?.execute([last])?;
        transaction.commit()?;
        rows.follow(moved);
        Ok(())
    }
}

/// Hand every record to `put`, and remember its row.
fn read(transaction: &Transaction<'_>, put: &mut dyn FnMut(Record)) -> Result<Rows, Error> {
    let mut rows = Rows::default();
    let mut stored = transaction.prepare("SELECT kind, key, value, rowid FROM records")?;
    let mut stored = stored.query([])?;
    while let Some(row) = stored.next()? {
        let number: i64 = row.get(0)?;
        let table = TableName::from_number(number).ok_or(Error::UnknownTable(number))?;
        let key = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if !rows.add(table, key, row.get(3)?) {
            return Err(Error::Twice { table: table.name(), key: key.to_owned() });
        }
        put(Record::from_bytes(table, row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?);
    }
    Ok(rows)
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(error),
        }
    }
}

/// Of each record only what the group leaves of it: a task that was placed, taken and reported running within one group is
/// written once.
fn last_of_each<'a>(group: &Group<'a>, rows: &Rows) -> Vec<(&'a Change, String, Print)> {
    let mut seen = HashSet::new();
    let all = group.commits.iter().flat_map(|commit| &commit.changes).rev();
    let mut last: Vec<_> = all
        .filter_map(|change| {
            let key = change.key();
            let print = rows.print(change.table(), &key);
            seen.insert(print).then_some((change, key, print))
        })
        .collect();
    last.reverse();
    last
}

/// Write what a group changes; where it put and deleted records.
fn write(transaction: &Transaction<'_>, rows: &Rows, group: &Group<'_>) -> Result<Vec<Moved>, Error> {
    let mut insert = transaction.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3)")?;
    let mut update = transaction.prepare_cached("UPDATE records SET value = ?2 WHERE rowid = ?1")?;
    let mut delete = transaction.prepare_cached("DELETE FROM records WHERE rowid = ?1")?;
    let mut moved = Vec::new();
    for (change, key, print) in last_of_each(group, rows) {
        let found = match (change, rows.get(&print)) {
            (Change::Put(record), Some(row)) => update.execute(params![row, record.to_bytes()])?,
            (Change::Put(record), None) => {
                let row = insert.insert(params![record.table() as i64, key, record.to_bytes()])?;
                moved.push((print, Some(row)));
                1
            }
            (Change::Delete(..), Some(row)) => {
                moved.push((print, None));
                delete.execute([row])?
            }
            (Change::Delete(..), None) => 1,
        };
        if found != 1 {
            return Err(Error::Gone { table: change.table().name(), key });
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA_1: &str = "
        CREATE TABLE records (
            kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key)
        ) WITHOUT ROWID;
        INSERT INTO meta VALUES ('schema', 1), ('revision', 7);";

    const SCHEMA_2: &str = "
        CREATE TABLE records (kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL);
        CREATE UNIQUE INDEX records_by_key ON records (kind, key);
        INSERT INTO meta VALUES ('schema', 2), ('revision', 7);";

    fn cluster(name: &str) -> Record {
        let (account, name) = ("000000000000".to_owned(), name.to_owned());
        Record::from(longshore_model::cluster::Cluster { account, name, api: Default::default() })
    }

    fn loaded(file: &Path) -> (Sqlite, Revision, Vec<String>) {
        let mut found = Vec::new();
        let mut opened = Sqlite::open(file).unwrap();
        let revision = opened.load(&mut |record| found.push(record.key())).unwrap();
        (opened, revision, found)
    }

    fn commit(sqlite: &mut Sqlite, revision: Revision, changes: Vec<Change>) -> Result<(), Error> {
        let epoch = sqlite.claim(&Claim::of("test"))?;
        let commits = [std::sync::Arc::new(crate::Commit { revision, changes })];
        sqlite.commit(&Group { epoch, after: revision - 1, commits: &commits })
    }

    #[test]
    fn a_file_of_an_older_schema_is_read_and_written_on() {
        for (number, schema) in [(1, SCHEMA_1), (2, SCHEMA_2)] {
            let name = format!("longshore-store-schema-{number}-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&directory).unwrap();
            let file = directory.join("state.db");
            let record = cluster("web");
            let old = Connection::open(&file).unwrap();
            old.execute_batch("CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;")
                .unwrap();
            old.execute_batch(schema).unwrap();
            let row = params![record.table() as i64, record.key(), record.to_bytes()];
            old.execute("INSERT INTO records VALUES (?1, ?2, ?3)", row).unwrap();
            drop(old);
            let (_, revision, found) = loaded(&file);
            assert_eq!((revision, found), (7, vec![record.key()]));
            let (mut sqlite, ..) = loaded(&file);
            commit(&mut sqlite, 8, vec![Change::Put(record.clone()), Change::Put(cluster("api"))]).unwrap();
            commit(&mut sqlite, 9, vec![Change::Delete(TableName::Cluster, record.key())]).unwrap();
            drop(sqlite);
            let (_, revision, found) = loaded(&file);
            assert_eq!((revision, found), (9, vec![cluster("api").key()]));
            std::fs::remove_dir_all(&directory).unwrap();
        }
    }

    #[test]
    fn an_installation_keeps_its_number_and_another_has_another() {
        let directory = std::env::temp_dir().join(format!("longshore-store-number-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let of = |file: &str| loaded(&directory.join(file)).0.installation().unwrap();
        let (one, other) = (of("one.db"), of("other.db"));
        assert!(one >= 0 && other >= 0 && one != other);
        assert_eq!((of("one.db"), of("other.db")), (one, other));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_record_that_is_there_twice_or_not_where_it_was_is_an_error() {
        let directory = std::env::temp_dir().join(format!("longshore-store-rows-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (mut sqlite, ..) = loaded(&directory.join("state.db"));
        commit(&mut sqlite, 1, vec![Change::Put(cluster("web"))]).unwrap();
        let epoch = lease(&sqlite.connection).unwrap().epoch;
        let commits = [std::sync::Arc::new(crate::Commit { revision: 2, changes: vec![Change::Put(cluster("web"))] })];
        sqlite.connection.execute("DELETE FROM records", []).unwrap();
        let gone = sqlite.commit(&Group { epoch, after: 1, commits: &commits });
        assert!(matches!(gone, Err(Error::Gone { .. })), "{gone:?}");
        for _ in 0..2 {
            let row = params![TableName::Cluster as i64, "x", cluster("x").to_bytes()];
            sqlite.connection.execute("INSERT INTO records VALUES (?1, ?2, ?3)", row).unwrap();
        }
        assert!(matches!(sqlite.load(&mut drop), Err(Error::Twice { .. })));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
