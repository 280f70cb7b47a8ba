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

    /// The last row whose key begins with `prefix`.
    pub fn last<'a>(&'a self, prefix: &'a str) -> Option<&'a Arc<T>> {
        self.scan(prefix).last().map(|(_, row)| row)
    }

    pub(crate) fn put(&mut self, key: Arc<str>, row: Arc<T>) -> Option<Arc<T>> {
        self.rows.insert(key, row)
    }

    pub(crate) fn delete(&mut self, key: &str) -> Option<Arc<T>> {
        self.rows.remove(key)
    }
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
}
