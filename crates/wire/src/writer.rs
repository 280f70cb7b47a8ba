//! Where typed values write themselves.

use crate::{MemberDef, ShapeDef, Timestamp};

/// A protocol's encoder. Values arrive depth first, between matching `begin` and `end` calls; names come from tables, so
/// that a writer may follow flattening, location names and timestamp formats by itself.
///
/// A [`Writer::structure`] is followed by [`Writer::member`] and a value for each present member, then [`Writer::end`];
/// a list by its elements; a map by [`Writer::key`] and a value for each entry.
pub trait Writer {
    fn structure(&mut self, def: &'static ShapeDef);
    fn member(&mut self, def: &'static MemberDef);
    fn list(&mut self, len: usize);
    fn map(&mut self, len: usize);
    fn key(&mut self, key: &str);
    /// Closes the innermost structure, list or map.
    fn end(&mut self);
    fn boolean(&mut self, value: bool);
    fn integer(&mut self, value: i64);
    fn float(&mut self, value: f32);
    fn double(&mut self, value: f64);
    fn string(&mut self, value: &str);
    fn blob(&mut self, value: &[u8]);
    fn timestamp(&mut self, value: Timestamp);
    /// Only within documents and sparse collections: absent members are not written at all.
    fn null(&mut self);
}
