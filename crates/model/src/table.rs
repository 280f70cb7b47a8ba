//! A typed table in memory: rows by text key, in key order, so that a prefix is a range and a page is a key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Rows are shared: a reader that took an `Arc` keeps its row unchanged while the table goes on.
#[derive(Clone, Debug)]
pub struct Table<T> {
    rows: BTreeMap<Arc<str>, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    pub fn get(&self, key: &str) -> Option<&Arc<T>> {
        self.rows.get(key)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.rows.contains_key(key)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<T>)> {
        self.rows.iter()
    }

    /// Rows whose key begins with `prefix`, in key order.
    pub fn scan<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<T>)> {
        self.scan_after(prefix, None)
    }

    /// As [`Self::scan`], for a prefix that was made for this, without the keys.
    pub fn under(&self, prefix: String) -> impl Iterator<Item = &Arc<T>> {
        let rows = self.rows.range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        rows.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, row)| row)
    }

    /// As [`Self::scan`], beginning behind the key `after`.
    pub fn scan_after<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<T>)> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.rows.range::<str, _>((start, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Rows whose key begins with `prefix`, from the last to the first, beginning before the key `before`.
    pub fn scan_back<'a>(
        &'a self,
        prefix: &'a str,
        before: Option<&str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<T>)> {
        let past = past(prefix);
        let end = match before.or(past.as_deref()) {
            Some(end) => Bound::Excluded(end),
            None => Bound::Unbounded,
        };
        self.rows.range::<str, _>((Bound::Unbounded, end)).rev().take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// The last row whose key begins with `prefix`.
    pub fn last<'a>(&'a self, prefix: &'a str) -> Option<&'a Arc<T>> {
        self.scan_back(prefix, None).next().map(|(_, row)| row)
    }

    /// The table's own copy of a key.
    pub(crate) fn key(&self, key: &str) -> Option<&Arc<str>> {
        self.rows.get_key_value(key).map(|(key, _)| key)
    }

    pub(crate) fn put(&mut self, key: Arc<str>, row: Arc<T>) -> Option<Arc<T>> {
        self.rows.insert(key, row)
    }

    /// Puts a row, or deletes what is there; returns what was.
    pub(crate) fn set(&mut self, key: &Arc<str>, row: Option<&Arc<T>>) -> Option<Arc<T>> {
        match row {
            Some(row) => self.put(key.clone(), row.clone()),
            None => self.delete(key),
        }
    }

    pub(crate) fn delete(&mut self, key: &str) -> Option<Arc<T>> {
        self.rows.remove(key)
    }
}

/// The least text after every text that begins with `prefix`, if its last character has a next one.
fn past(prefix: &str) -> Option<String> {
    let last = prefix.chars().next_back()?;
    let next = ((last as u32 + 1)..).map_while(|code| (code <= 0x10_ffff).then_some(code)).find_map(char::from_u32)?;
    Some(format!("{}{next}", &prefix[..prefix.len() - last.len_utf8()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_range_and_a_page_is_a_key() {
        let mut table = Table::default();
        for key in ["a/1", "a/2", "a/3", "b/1"] {
            table.put(key.into(), Arc::new(()));
        }
        let keys = |after| table.scan_after("a/", after).map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        assert_eq!(keys(None), ["a/1", "a/2", "a/3"]);
        assert_eq!(keys(Some("a/1")), ["a/2", "a/3"]);
        assert_eq!(keys(Some("a/3")), [""; 0]);
        assert_eq!(table.scan("c").count(), 0);
    }

    #[test]
    fn a_table_reads_backwards_too() {
        let mut table = Table::default();
        for key in ["a/1", "a/2", "a/3", "b/1"] {
            table.put(key.into(), Arc::new(key));
        }
        let keys = |before| table.scan_back("a/", before).map(|(key, _)| key.to_string()).collect::<Vec<_>>();
        assert_eq!(keys(None), ["a/3", "a/2", "a/1"]);
        assert_eq!(keys(Some("a/3")), ["a/2", "a/1"]);
        assert_eq!(keys(Some("a/1")), [""; 0]);
        assert_eq!(table.last("a/").map(|row| **row), Some("a/3"));
        assert_eq!(table.last("").map(|row| **row), Some("b/1"));
        assert_eq!(table.last("c").map(|row| **row), None);
    }
}
