//! The small records: what a group and a stream are to the log store.

use longshore_wire::{Shape, json, record};

use crate::Error;

record! {
    /// A group that has or had streams.
    pub(super) struct Group {
        pub number: i64 = "number",
        /// Bytes of its events, each with its overhead.
        pub stored_bytes: i64 = "storedBytes",
    }

    /// A stream. Times are milliseconds since the epoch.
    pub(super) struct Stream {
        pub number: i64 = "number",
        pub created_at: i64 = "createdAt",
        /// The latest timestamp among its events.
        pub last_event: Option<i64> = "lastEvent",
        pub last_ingestion: Option<i64> = "lastIngestion",
    }
}

impl Group {
    pub fn number(&self) -> u64 {
        self.number as u64
    }
}

impl Stream {
    pub fn number(&self) -> u64 {
        self.number as u64
    }
}

pub(super) fn encode<T: Shape>(record: &T) -> Vec<u8> {
    json::to_vec(record)
}

pub(super) fn decode<T: Shape>(bytes: &[u8]) -> Result<T, Error> {
    json::from_slice(bytes)
        .map_err(|cause| Error::Record(longshore_model::Unreadable { table: "logs", cause: cause.to_string() }))
}

/// The value of an event: which stream it belongs to, when it came in, what it says.
pub(super) struct EventValue<'a> {
    pub stream: u64,
    pub ingested_at: i64,
    pub message: &'a [u8],
}

impl<'a> EventValue<'a> {
    const HEAD: usize = 16;

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::HEAD + self.message.len());
        bytes.extend_from_slice(&self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.ingested_at.to_be_bytes());
        bytes.extend_from_slice(self.message);
        bytes
    }

    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        Some(Self {
            stream: super::key::number(bytes)?,
            ingested_at: super::key::number(bytes.get(8..)?)? as i64,
            message: &bytes[Self::HEAD..],
        })
    }

    /// What a value of this length counts in the group's stored bytes.
    pub fn counted(length: usize) -> i64 {
        (length.saturating_sub(Self::HEAD) + super::EVENT_OVERHEAD) as i64
    }
}
