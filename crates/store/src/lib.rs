//! Keeps State (SQLite) and the bulk (log events).
