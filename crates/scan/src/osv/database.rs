//! The database as it is read.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::severity::Rating;
use super::{APPLICATION, Refused, VERSION, base, canonical};
use crate::version::Scheme;
use crate::{Ecosystem, Error};

/// An imported database.
pub struct Database {
    connection: Connection,
}

/// What a database is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Seconds since 1970.
    pub imported_at: i64,
    /// When the newest of its advisories was changed, in seconds since 1970.
    pub newest_at: i64,
    pub advisories: u64,
    /// That could not be read, with the first few of them.
    pub refused: u64,
    pub first_refused: Vec<Refused>,
    pub withdrawn: u64,
    /// Without a package that could be looked for.
    pub bare: u64,
    /// With how many packages each has advisories for.
    pub ecosystems: Vec<(String, u64)>,
}

/// What may be wrong with a package of some name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) names: Vec<String>,
    pub(crate) description: String,
    pub(crate) uri: String,
    pub(crate) rating: Rating,
    pub(crate) events: Events,
    pub(crate) versions: Vec<String>,
}

/// Ranges, each of events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Events(pub(crate) Vec<Vec<Event>>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// From this version on it is there; from the beginning if that is `0`.
    Introduced(String),
    /// From this version on it is not.
    Fixed(String),
    /// After this version it is not.
    LastAffected(String),
    /// Of versions from here on nothing is said, unless there is a later limit.
    Limit(String),
}

impl Database {
    /// Opens a database.
    ///
    /// # Errors
    /// `NoDatabase` when there is none, `Schema` when it is of another version or something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            return Err(Error::NoDatabase);
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let schema = || Error::Schema { path: path.to_owned() };
        let (application, version) = (pragma("application_id"), pragma("user_version"));
        if (application.map_err(|_| schema())?, version.map_err(|_| schema())?) != (APPLICATION, VERSION) {
            return Err(schema());
        }
        Ok(Self { connection })
    }

    /// What it is made of.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn status(&self) -> Result<Status, Error> {
        let count = |key| self.number(key).map(i64::unsigned_abs);
        let mut refused = self.connection.prepare("SELECT name, reason FROM refused ORDER BY rowid")?;
        let refused = refused.query_map([], |row| Ok(Refused { name: row.get(0)?, reason: row.get(1)? }))?;
        let ecosystems = "SELECT name, (SELECT count(DISTINCT package) FROM affected WHERE ecosystem = number) \
                          FROM ecosystem ORDER BY name";
        let mut ecosystems = self.connection.prepare(ecosystems)?;
        let ecosystems = ecosystems.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        Ok(Status {
            imported_at: self.number("imported_at")?,
            newest_at: self.newest_at()?,
            advisories: count("advisories")?,
            refused: count("refused")?,
            first_refused: refused.collect::<Result<_, _>>()?,
            withdrawn: count("withdrawn")?,
            bare: count("bare")?,
            ecosystems: ecosystems.collect::<Result<_, _>>()?,
        })
    }

    /// When the newest of its advisories was changed, in seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest_at(&self) -> Result<i64, Error> {
        self.number("newest_at")
    }

    fn number(&self, key: &str) -> Result<i64, Error> {
        let query = "SELECT value FROM meta WHERE key = ?1";
        Ok(self.connection.query_row(query, [key], |row| row.get(0)).optional()?.unwrap_or_default())
    }

    /// The numbers of the ecosystems that are meant; none if the database holds nothing of them.
    pub(crate) fn ecosystems(&self, ecosystem: &Ecosystem) -> Result<Vec<i64>, Error> {
        let (name, after) = match ecosystem {
            Ecosystem::Is(name) => (name, String::new()),
            // All that begin with the name and `::`; `;` follows the colon.
            Ecosystem::Begins(name) => (name, format!("{name}::")),
        };
        let query = "SELECT number FROM ecosystem WHERE name = ?1 OR (?2 <> '' AND name >= ?2 AND name < ?3)";
        let mut statement = self.connection.prepare_cached(query)?;
        let end = format!("{name}:;");
        let numbers = statement.query_map([name, &after, &end], |row| row.get(0))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    }

    /// What may be wrong with the packages of this name.
    pub(crate) fn candidates(&self, ecosystem: &Ecosystem, name: &str) -> Result<Vec<Candidate>, Error> {
        let query = "SELECT names, description, uri, coalesce(affected.rating, advisory.rating), events, versions \
                     FROM affected JOIN advisory ON advisory.number = affected.advisory \
                     WHERE ecosystem = ?1 AND package = ?2 ORDER BY advisory.id, place";
        let package = canonical(base(ecosystem.name()), name);
        let mut statement = self.connection.prepare_cached(query)?;
        let mut candidates = Vec::new();
        for number in self.ecosystems(ecosystem)? {
            let rows = statement.query_map((number, &package), |row| {
                let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
                Ok(Candidate {
                    names: lines(row.get(0)?),
                    description: row.get(1)?,
                    uri: row.get(2)?,
                    rating: serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default(),
                    events: Events::from_text(&row.get::<_, String>(4)?),
                    versions: lines(row.get(5)?),
                })
            })?;
            for row in rows {
                candidates.push(row?);
            }
        }
        Ok(candidates)
    }
}

impl Event {
    pub(super) fn version(&self) -> &str {
        match self {
            Self::Introduced(version) | Self::Fixed(version) | Self::LastAffected(version) | Self::Limit(version) => {
                version
            }
        }
    }
}

impl Events {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// An event a line, an empty line after each range.
    pub(super) fn to_text(&self) -> String {
        let line = |event: &Event| match event {
            Event::Introduced(version) => format!("i{version}\n"),
            Event::Fixed(version) => format!("f{version}\n"),
            Event::LastAffected(version) => format!("l{version}\n"),
            Event::Limit(version) => format!("m{version}\n"),
        };
        self.0.iter().map(|range| range.iter().map(line).collect::<String>() + "\n").collect()
    }

    pub(super) fn from_text(text: &str) -> Self {
        let event = |line: &str| match line.split_at_checked(1)? {
            ("i", version) => Some(Event::Introduced(version.to_owned())),
            ("f", version) => Some(Event::Fixed(version.to_owned())),
            ("l", version) => Some(Event::LastAffected(version.to_owned())),
            ("m", version) => Some(Event::Limit(version.to_owned())),
            _ => None,
        };
        Self(text.split_terminator("\n\n").map(|range| range.lines().filter_map(event).collect()).collect())
    }

    /// Whether a version is in one of the ranges; `None` if it, or one that decides it, is no version by these rules.
    pub(crate) fn judge(&self, scheme: Scheme, version: &str) -> Option<bool> {
        let mut is_known = true;
        for range in &self.0 {
            match judge_range(range, scheme, version) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => is_known = false,
            }
        }
        is_known.then_some(false)
    }

    /// The first version after this one that it is fixed in.
    pub(crate) fn fixed_after(&self, scheme: Scheme, version: &str) -> Option<&str> {
        let fixed = self.0.iter().flatten().filter_map(|event| match event {
            Event::Fixed(fixed) => Some(fixed.as_str()),
            _ => None,
        });
        let later = fixed.filter(|fixed| scheme.compare(fixed, version).is_some_and(std::cmp::Ordering::is_gt));
        later.min_by(|one, other| scheme.compare(one, other).unwrap_or(std::cmp::Ordering::Equal))
    }
}

/// The last event that is not after the version decides.
fn judge_range(range: &[Event], scheme: Scheme, version: &str) -> Option<bool> {
    if is_beyond(range, scheme, version)? {
        return Some(false);
    }
    let mut decides: Option<&Event> = None;
    for event in range {
        let is_reached = match event {
            Event::Introduced(from) => from == "0" || scheme.compare(version, from)?.is_ge(),
            Event::Fixed(from) => scheme.compare(version, from)?.is_ge(),
            Event::LastAffected(last) => scheme.is_after(version, last)?,
            Event::Limit(_) => false,
        };
        if is_reached && decides.map_or(Some(true), |known| is_later(event, known, scheme))? {
            decides = Some(event);
        }
    }
    Some(matches!(decides, Some(Event::Introduced(_))))
}

/// Whether a version is none that the range speaks of.
fn is_beyond(range: &[Event], scheme: Scheme, version: &str) -> Option<bool> {
    let mut is_limited = false;
    for event in range {
        let Event::Limit(limit) = event else { continue };
        if scheme.compare(version, limit)?.is_lt() {
            return Some(false);
        }
        is_limited = true;
    }
    Some(is_limited)
}

fn is_later(event: &Event, known: &Event, scheme: Scheme) -> Option<bool> {
    // What holds from a version on, and then what holds after it.
    let rank = |event: &Event| match event {
        Event::Fixed(_) | Event::Limit(_) => 0,
        Event::Introduced(_) => 1,
        Event::LastAffected(_) => 2,
    };
    let is_later_at_one = rank(event) > rank(known);
    match (known.version(), event.version()) {
        ("0", "0") => Some(is_later_at_one),
        ("0", _) => Some(true),
        (_, "0") => Some(false),
        (known, new) => {
            let order = scheme.compare(new, known)?;
            Some(order.is_gt() || order.is_eq() && is_later_at_one)
        }
    }
}
