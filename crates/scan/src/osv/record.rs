//! One advisory as OSV writes it, and what is kept of it. (<https://ossf.github.io/osv-schema/>)

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::database::{Event, Events};
use super::severity::{Rating, Score};
use super::{canonical, scheme};

/// Bytes of what is told of an advisory.
const LONGEST_DESCRIPTION: usize = 1000;
/// Of ids, names of packages, versions, ecosystems.
const LONGEST_NAME: usize = 512;
const LONGEST_URI: usize = 2048;
const MOST_NAMES: usize = 64;
const MOST_AFFECTED: usize = 100_000;
const MOST_EVENTS: usize = 10_000;

#[derive(Deserialize)]
pub(super) struct Record {
    id: String,
    modified: String,
    withdrawn: Option<Value>,
    aliases: Option<Vec<String>>,
    upstream: Option<Vec<String>>,
    related: Option<Vec<String>>,
    summary: Option<String>,
    details: Option<String>,
    severity: Option<Vec<Vector>>,
    affected: Option<Vec<RecordAffected>>,
    references: Option<Vec<Reference>>,
    database_specific: Option<Specific>,
}

#[derive(Deserialize)]
struct Vector {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: String,
    url: String,
}

/// What a database adds of its own, as far as it is understood.
#[derive(Deserialize)]
struct Specific {
    severity: Option<Value>,
    urgency: Option<Value>,
}

#[derive(Deserialize)]
struct RecordAffected {
    package: Option<Package>,
    ranges: Option<Vec<Range>>,
    versions: Option<Vec<String>>,
    severity: Option<Vec<Vector>>,
    ecosystem_specific: Option<Specific>,
    database_specific: Option<Specific>,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    events: Vec<RecordEvent>,
}

#[derive(Deserialize)]
struct RecordEvent {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
    limit: Option<String>,
}

/// An advisory as the database keeps it.
#[derive(Debug, PartialEq)]
pub(super) struct Advisory {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) modified: i64,
    /// What its findings are called: its CVEs, else its id.
    pub(super) names: Vec<String>,
    pub(super) description: String,
    pub(super) uri: String,
    pub(super) rating: Rating,
    pub(super) affected: Vec<Affected>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Affected {
    pub(super) ecosystem: String,
    pub(super) package: String,
    pub(super) events: Events,
    /// Those that the events do not speak of.
    pub(super) versions: Vec<String>,
    /// If it is another one than the advisory's.
    pub(super) rating: Option<Rating>,
}

/// What is no advisory any more.
#[derive(Debug, PartialEq)]
pub(super) struct Withdrawn {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) modified: i64,
}

/// What a file holds.
pub(super) enum Read {
    Advisory(Box<Advisory>),
    Withdrawn(Withdrawn),
    /// It names no package that could be looked for.
    Bare,
}

/// Reads an advisory.
///
/// # Errors
/// The reason, when it is none.
pub(super) fn read(bytes: &[u8]) -> Result<Read, String> {
    let refuse = |error: serde_json::Error| format!("it is no advisory of OSV: {error}");
    let record: Record = serde_json::from_slice(bytes).map_err(refuse)?;
    if !is_name(&record.id) {
        return Err("its id is none".to_owned());
    }
    let modified = record.modified.parse::<Timestamp>();
    let modified = modified.map_err(|_| "when it was modified is no time".to_owned())?.as_second();
    if record.withdrawn.as_ref().is_some_and(|withdrawn| !withdrawn.is_null()) {
        return Ok(Read::Withdrawn(Withdrawn { id: record.id, modified }));
    }
    let names = record.names();
    let rating = record.rating();
    let affected = record.affected.as_deref().unwrap_or_default();
    if affected.len() > MOST_AFFECTED {
        return Err(format!("it affects more than {MOST_AFFECTED} packages"));
    }
    let affected = affected.iter().filter_map(|affected| affected.read(&rating).transpose());
    let affected = affected.collect::<Result<Vec<_>, _>>()?;
    if affected.is_empty() {
        return Ok(Read::Bare);
    }
    let uri = record.link();
    let description = cut(record.description(), LONGEST_DESCRIPTION);
    Ok(Read::Advisory(Box::new(Advisory { id: record.id, modified, names, description, uri, rating, affected })))
}

impl Record {
    fn names(&self) -> Vec<String> {
        let is_cve = |id: &&String| id.starts_with("CVE-") && is_name(id);
        let own = std::iter::once(&self.id).chain(self.aliases.iter().flatten()).chain(self.upstream.iter().flatten());
        let mut cves: BTreeSet<&String> = own.filter(is_cve).take(MOST_NAMES).collect();
        // AlmaLinux calls what its errata fix related.
        if cves.is_empty() && self.id.starts_with("ALSA-") {
            cves = self.related.iter().flatten().filter(is_cve).take(MOST_NAMES).collect();
        }
        if cves.is_empty() { vec![self.id.clone()] } else { cves.into_iter().cloned().collect() }
    }

    fn rating(&self) -> Rating {
        let vectors = self.severity.as_deref().unwrap_or_default();
        Rating::new(said(&[&self.database_specific], vectors), scores(vectors))
    }

    fn description(&self) -> &str {
        let texts = [self.summary.as_deref(), self.details.as_deref()];
        let mut texts = texts.into_iter().flatten().map(str::trim).filter(|text| !text.is_empty());
        texts.next().unwrap_or_default()
    }

    /// Where it is told of: the advisory itself if it has a place, else any.
    fn link(&self) -> String {
        let is_link = |reference: &&Reference| {
            let url = &reference.url;
            let is_web = url.starts_with("https://") || url.starts_with("http://");
            is_web && url.len() <= LONGEST_URI && url.chars().all(|c| c.is_ascii_graphic())
        };
        let links = || self.references.iter().flatten().filter(is_link);
        let advisory = links().find(|link| link.kind == "ADVISORY").or_else(|| links().next());
        let home = || format!("https://osv.dev/vulnerability/{}", self.id);
        advisory.map_or_else(home, |link| link.url.clone())
    }
}

impl RecordAffected {
    /// `None` if there is nothing to look for.
    fn read(&self, of_advisory: &Rating) -> Result<Option<Affected>, String> {
        let Some(package) = &self.package else { return Ok(None) };
        if !is_name(&package.name) || !is_name(&package.ecosystem) {
            return Err("a package has a name or an ecosystem that is none".to_owned());
        }
        let events = self.events()?;
        let versions = self.versions(&package.ecosystem, &events)?;
        if events.is_empty() && versions.is_empty() {
            return Ok(None);
        }
        let vectors = self.severity.as_deref().unwrap_or_default();
        let words = said(&[&self.ecosystem_specific, &self.database_specific], vectors);
        let mut rating = Rating::new(words, scores(vectors));
        if !rating.is_empty() {
            fill(&mut rating, of_advisory);
        }
        Ok(Some(Affected {
            ecosystem: package.ecosystem.clone(),
            package: canonical(&package.ecosystem, &package.name),
            events,
            versions,
            rating: Some(rating).filter(|rating| !rating.is_empty() && rating != of_advisory),
        }))
    }

    fn events(&self) -> Result<Events, String> {
        let ranges = self.ranges.iter().flatten().filter(|range| matches!(range.kind.as_str(), "ECOSYSTEM" | "SEMVER"));
        let mut all = Vec::new();
        for range in ranges {
            if range.events.len() > MOST_EVENTS {
                return Err(format!("a range has more than {MOST_EVENTS} events"));
            }
            let events: Vec<Event> = range.events.iter().filter_map(RecordEvent::read).collect();
            if !events.iter().all(|event| is_name(event.version())) {
                return Err("a range has a version that is none".to_owned());
            }
            all.push(events);
        }
        Ok(Events(all))
    }

    fn versions(&self, ecosystem: &str, events: &Events) -> Result<Vec<String>, String> {
        let is_spoken_of =
            |version: &String| scheme(ecosystem).is_some_and(|scheme| events.judge(scheme, version) == Some(true));
        let listed = self.versions.iter().flatten();
        let listed: Vec<String> = listed.filter(|version| !is_spoken_of(version)).cloned().collect();
        if listed.iter().all(|version| is_name(version)) {
            return Ok(listed);
        }
        Err("one of its versions is none".to_owned())
    }
}

impl RecordEvent {
    fn read(&self) -> Option<Event> {
        let introduced = self.introduced.clone().map(Event::Introduced);
        let fixed = self.fixed.clone().map(Event::Fixed);
        let last = self.last_affected.clone().map(Event::LastAffected);
        // An asterisk is the limit that there is without one.
        let limit = self.limit.clone().filter(|limit| limit != "*").map(Event::Limit);
        introduced.or(fixed).or(last).or(limit)
    }
}

/// The words that are said of how bad it is: a distribution's own first.
fn said<'a>(specific: &[&'a Option<Specific>], vectors: &'a [Vector]) -> Vec<&'a str> {
    let specific = specific.iter().filter_map(|specific| specific.as_ref());
    let words = specific.flat_map(|specific| [&specific.urgency, &specific.severity]).flatten();
    let of_distributions = vectors.iter().filter(|vector| vector.kind == "Ubuntu");
    words.filter_map(Value::as_str).chain(of_distributions.map(|vector| vector.score.as_str())).collect()
}

fn scores(vectors: &[Vector]) -> Vec<Score> {
    vectors.iter().filter(|vector| vector.kind.starts_with("CVSS_")).filter_map(|v| Score::read(&v.score)).collect()
}

/// What a package's own rating lacks is the advisory's.
fn fill(rating: &mut Rating, of_advisory: &Rating) {
    if rating.scores.is_empty() {
        rating.scores.clone_from(&of_advisory.scores);
    }
    if rating.severity == super::Severity::Undefined {
        rating.severity = of_advisory.severity;
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.chars().any(char::is_control)
}

/// The text up to a number of bytes, and what shows that there was more.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text[..end].trim_end())
}
