//! Which row of the database holds a record.
//!
//! In memory, because an index on disk costs each new key a page of its own in every group. A key is known by 128 bits of
//! hashes under secrets of this process, so that a record takes 28 to 57 bytes here; that any two of 2³² keys meet has a
//! chance of 1 in 2⁶⁵.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use longshore_model::TableName;

/// What a key is known by.
pub(crate) type Print = [u64; 2];

/// A record that a group has put in a row, or has deleted.
pub(crate) type Moved = (Print, Option<i64>);

#[derive(Default)]
pub(crate) struct Rows {
    secrets: [RandomState; 2],
    known: HashMap<Print, i64>,
}

impl Rows {
    pub fn print(&self, table: TableName, key: &str) -> Print {
        self.secrets.each_ref().map(|secret| secret.hash_one((table, key)))
    }

    pub fn get(&self, print: &Print) -> Option<i64> {
        self.known.get(print).copied()
    }

    /// The row of a record that was read; `false` if the record has one already.
    pub fn add(&mut self, table: TableName, key: &str, row: i64) -> bool {
        let print = self.print(table, key);
        self.known.insert(print, row).is_none()
    }

    /// What a group has changed, once it is stored.
    pub fn follow(&mut self, moved: Vec<Moved>) {
        for (print, row) in moved {
            match row {
                Some(row) => drop(self.known.insert(print, row)),
                None => drop(self.known.remove(&print)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_one_row_and_a_table_of_its_own() {
        let mut rows = Rows::default();
        assert!(rows.add(TableName::Cluster, "a", 1) && rows.add(TableName::Service, "a", 2));
        assert!(!rows.add(TableName::Cluster, "a", 3));
        let print = rows.print(TableName::Service, "a");
        assert_eq!(rows.get(&print), Some(2));
        rows.follow(vec![(print, None), (rows.print(TableName::Cluster, "b"), Some(4))]);
        assert_eq!(rows.get(&print), None);
        assert_eq!(rows.get(&rows.print(TableName::Cluster, "b")), Some(4));
    }
}
