//! Rpm's database of SQLite: as SQLite makes it, and as nobody should.

use super::super::sqlite;
use super::*;

/// The packages that are read, before anything that is wrong.
fn packages(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), &'static str>) {
    let mut packages = Vec::new();
    let read = sqlite::read(bytes, |package| packages.push(package.to_vec()));
    (packages, read)
}

fn check_refused(bytes: &[u8], expected: &str) {
    assert_eq!(packages(bytes).1, Err(expected));
    match found(RPM_PATH, bytes) {
        Some(Found::Unread(reason) | Found::Packages { unread: Some(reason), .. }) => {
            assert_eq!(reason, format!("unsupported rpm database: {expected}"));
        }
        other => panic!("{expected}: {other:?}"),
    }
}

/// A database of pages of this many bytes, with rows of these lengths.
fn database(size: usize, before: &str, lengths: &[usize]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let row = |(number, length): (usize, &usize)| (0..*length).map(|at| (at * 7 + number) as u8).collect();
    let rows: Vec<Vec<u8>> = lengths.iter().enumerate().map(row).collect();
    let table = format!("PRAGMA page_size = {size}; {before}; {RPM_TABLE}");
    (rpm_database(&table, &rows, "DELETE"), rows)
}

#[test]
fn what_sqlite_wrote_is_read_whatever_its_length() {
    for size in [512, 1024, 4096, 65_536] {
        // What lies in a page, what goes on in others, and what fills them to the last byte.
        let edges = [size - 40, size - 12, size, 2 * size - 45, 2 * size - 4, 3 * size];
        let lengths: Vec<usize> =
            edges.iter().flat_map(|edge| edge - 12..edge + 12).chain([0, 1, 100, 5 * size, 200_000, 7]).collect();
        for before in ["", "PRAGMA auto_vacuum = FULL", "CREATE TABLE other (a, b UNIQUE); CREATE VIEW v AS SELECT 1"] {
            let (bytes, rows) = database(size, before, &lengths);
            assert_eq!(packages(&bytes), (rows, Ok(())), "{size} {before}");
        }
    }
}

#[test]
fn a_table_of_many_pages_is_read_in_order() {
    let lengths: Vec<usize> = (0..3000).map(|number| number % 300).collect();
    let (bytes, rows) = database(512, "", &lengths);
    assert_eq!(packages(&bytes), (rows, Ok(())));
    let many: String = (0..200).map(|number| format!("CREATE TABLE other{number} (a, b, c);")).collect();
    let (bytes, rows) = database(512, &format!("BEGIN; {many} COMMIT"), &[3, 1000]);
    assert_eq!(packages(&bytes), (rows, Ok(())));
}

#[test]
fn rows_that_were_removed_are_not_read() {
    let table = format!(
        "{RPM_TABLE}; INSERT INTO Packages (blob) VALUES (x'0102'), (zeroblob(9000)), (x'03'); DELETE FROM Packages WHERE hnum < 3"
    );
    assert_eq!(packages(&rpm_database(&table, &[b"last".to_vec()], "WAL")), (vec![vec![3], b"last".to_vec()], Ok(())));
}

#[test]
fn no_expression_of_an_image_is_run() {
    let endless =
        "CREATE VIEW Packages AS WITH RECURSIVE c(blob) AS (SELECT 1 UNION ALL SELECT blob FROM c) SELECT blob FROM c";
    let doubled: String =
        (1..60).map(|of| format!("CREATE VIEW v{of} AS SELECT a.blob FROM v{} AS a, v{0} AS b;", of - 1)).collect();
    let doubled = format!("CREATE VIEW v0 AS SELECT 1 AS blob; {doubled} CREATE VIEW Packages AS SELECT * FROM v59");
    let (row, none) = ("a row of its table of packages is not as rpm makes it", "it has no table of packages");
    let rows = [
        (endless, none),
        (&doubled, none),
        ("CREATE VIRTUAL TABLE Packages USING fts5 (blob)", none),
        ("CREATE TABLE a (b); CREATE INDEX Packages ON a (hex(zeroblob(b)))", none),
        (
            "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, n, blob AS (hex(zeroblob(n))));\
             INSERT INTO Packages (n) VALUES (40000000)",
            row,
        ),
        (
            // Last, for SQLite computes it when a row is added.
            "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY); INSERT INTO Packages DEFAULT VALUES;\
             ALTER TABLE Packages ADD COLUMN blob BLOB AS (instr(zeroblob(1200000), zeroblob(600000) || x'01'))",
            row,
        ),
        ("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob); INSERT INTO Packages (blob) VALUES ('text')", row),
        ("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob); INSERT INTO Packages DEFAULT VALUES", row),
        ("CREATE TABLE Packages (blob PRIMARY KEY) WITHOUT ROWID", "one of its pages is of an unknown kind"),
    ];
    for (table, expected) in rows {
        check_refused(&rpm_database(table, &[], "DELETE"), expected);
    }
}

/// Where the page begins that is the root of the table of packages.
fn root(bytes: &[u8]) -> usize {
    let size = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let begins = |kinds: &[u8], from: usize| (from..bytes.len()).step_by(size).find(|at| kinds.contains(&bytes[*at]));
    begins(&[5, 13], size).unwrap()
}

#[test]
fn pages_that_lead_to_one_are_not_read_over_and_over() {
    let lengths = [300; 200];
    let (whole, _) = database(512, "", &lengths);
    let inner = root(&whole);
    assert_eq!(whole[inner], 5);
    // All children of the root are its first.
    let mut bytes = whole.clone();
    let cell = |number: usize| {
        inner + usize::from(u16::from_be_bytes([whole[inner + 12 + 2 * number], whole[inner + 13 + 2 * number]]))
    };
    let child = whole[cell(0)..][..4].to_vec();
    for number in 1..usize::from(u16::from_be_bytes([whole[inner + 3], whole[inner + 4]])) {
        bytes[cell(number)..][..4].copy_from_slice(&child);
    }
    check_refused(&bytes, "its pages lead to each other");
    // And the root itself.
    let itself = u32::try_from(inner / 512 + 1).unwrap().to_be_bytes();
    bytes[inner + 8..inner + 12].copy_from_slice(&itself);
    check_refused(&bytes, "its pages lead to each other");
}

#[test]
fn rows_that_are_one_are_not_read_over_and_over() {
    for (length, expected) in [(2000, "its rows lie on each other"), (100_000, "its rows lie on each other")] {
        let (mut bytes, _) = database(4096, "", &[length]);
        let leaf = root(&bytes);
        let cell = [bytes[leaf + 8], bytes[leaf + 9]];
        bytes[leaf + 3..leaf + 5].copy_from_slice(&500_u16.to_be_bytes());
        for number in 0..500 {
            bytes[leaf + 8 + 2 * number..][..2].copy_from_slice(&cell);
        }
        check_refused(&bytes, expected);
    }
}

#[test]
fn databases_of_sqlite_that_are_damaged_are_told() {
    let (whole, _) = database(1024, "", &[100, 4700]);
    let leaf = root(&whole);
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let large = leaf + usize::from(u16::from_be_bytes([whole[leaf + 10], whole[leaf + 11]]));
    let rows = [
        (b"noise".to_vec(), "it is none of SQLite's"),
        (Vec::new(), "it is none of SQLite's"),
        (whole[..99].to_vec(), "it is none of SQLite's"),
        (whole[..1000].to_vec(), "it ends early"),
        (whole[..leaf + 1000].to_vec(), "it ends early"),
        (whole[..whole.len() - 1].to_vec(), "it ends early"),
        (changed(16, &[0, 0]), "its pages are of no size that SQLite has"),
        (changed(16, &[3, 0]), "its pages are of no size that SQLite has"),
        (changed(16, &[1, 0]), "its pages are of no size that SQLite has"),
        (changed(leaf, &[2]), "one of its pages is of an unknown kind"),
        (changed(leaf + 3, &[0xff; 2]), "one of its pages is damaged"),
        (changed(leaf + 8, &[0xff; 2]), "one of its pages is damaged"),
        (changed(leaf + 8, &1024_u16.to_be_bytes()), "one of its rows is damaged"),
        (changed(large, &[0xff; 9]), "its rows lie on each other"),
        (changed(large + 3, &[9]), "a row of its table of packages is not as rpm makes it"),
    ];
    for (number, (bytes, expected)) in rows.iter().enumerate() {
        assert_eq!(packages(bytes).1, Err(*expected), "row {number}");
    }
}

#[test]
fn no_change_of_a_byte_makes_the_reader_panic() {
    let (whole, _) = database(512, "", &[100, 3000, 400, 400, 0]);
    for at in (0..whole.len()).filter(|at| *at < 1200 || at % 3 == 0) {
        for with in [0, 1, 5, 13, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = with;
            let (read, _) = packages(&bytes);
            assert!(read.iter().map(Vec::len).sum::<usize>() <= whole.len());
        }
    }
    for length in 0..whole.len() {
        let _ = packages(&whole[..length]);
    }
}
