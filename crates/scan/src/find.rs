//! What is known to be wrong with an image's packages.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::layer::is_late;
use crate::osv::{Candidate, Database, Severity};
use crate::package::{Contents, Ecosystem, Kind, Package};
use crate::version::Scheme;

/// Findings of one image. More are cut off, and that they were is said.
const MOST_FINDINGS: usize = 20_000;

/// What was found, worst first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    pub findings: Vec<Finding>,
    /// How many there are of each severity that there is one of.
    pub counts: BTreeMap<Severity, u32>,
    /// When the newest advisory of the database was changed, in seconds since 1970.
    pub source_updated_at: i64,
    /// What was not judged, and why: sentences for a person. Empty if everything was.
    pub unjudged: Vec<String>,
    pub system: System,
}

/// What became of the packages that a distribution installed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum System {
    /// There are none, of languages neither.
    #[default]
    Nothing,
    /// There are none, but some of languages.
    Bare,
    Judged,
    /// They cannot be read, or nobody publishes advisories for them; why.
    Unsupported(String),
    /// The database holds nothing for them, or, where there are none, for those of any language; why.
    NotInDatabase(String),
}

/// One vulnerability of one package, as `DescribeImageScanFindings` tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub name: String,
    pub description: String,
    pub uri: String,
    pub severity: Severity,
    pub attributes: Vec<Attribute>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    pub key: String,
    pub value: String,
}

/// A package as advisories name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    kind: Kind,
    name: String,
    version: String,
}

/// Lays an image's packages beside a database.
///
/// # Errors
/// When the database cannot be read.
pub fn find(contents: &Contents, database: &Database) -> Result<Findings, Error> {
    find_until(contents, database, None)
}

/// As [`find`], which gives up at a time.
///
/// # Errors
/// As [`find`], and `TooLong`.
pub fn find_until(contents: &Contents, database: &Database, until: Option<Instant>) -> Result<Findings, Error> {
    let mut search = Search {
        database,
        contents,
        found: BTreeMap::new(),
        unjudged: BTreeMap::new(),
        candidates: Candidates::default(),
        is_cut: false,
    };
    let mut ecosystems = BTreeMap::new();
    for asked in contents.packages.iter().flat_map(asked).collect::<BTreeSet<_>>() {
        if search.is_cut {
            break;
        }
        if is_late(until) {
            return Err(Error::TooLong);
        }
        let ecosystem = match ecosystems.get(&asked.kind) {
            Some(known) => known,
            None => {
                let known = search.ecosystem(asked.kind)?;
                ecosystems.entry(asked.kind).or_insert(known)
            }
        };
        match ecosystem {
            Ok(ecosystem) => search.judge(&asked, ecosystem)?,
            Err(nowhere) => *search.unjudged.entry(nowhere.reason().clone()).or_default() += 1,
        }
    }
    let system = system(contents, &ecosystems);
    Ok(Findings { system, source_updated_at: database.newest_at()?, ..search.finish() })
}

/// Where to look for packages of a kind, or why nowhere.
type Where = Result<Ecosystem, Nowhere>;

#[derive(Clone)]
enum Nowhere {
    Unsupported(String),
    NotInDatabase(String),
}

impl Nowhere {
    fn reason(&self) -> &String {
        match self {
            Self::Unsupported(reason) | Self::NotInDatabase(reason) => reason,
        }
    }
}

fn system(contents: &Contents, ecosystems: &BTreeMap<Kind, Where>) -> System {
    // A database of packages that cannot be read weighs more than another that can.
    if let Some(problem) = contents.problems.iter().find(|problem| problem.hides_distribution) {
        return System::Unsupported(format!("{}: {}", problem.path, problem.reason));
    }
    match ecosystems.iter().find(|(kind, _)| kind.is_of_distribution()) {
        Some((_, Ok(_))) => System::Judged,
        Some((_, Err(Nowhere::Unsupported(reason)))) => System::Unsupported(reason.clone()),
        Some((_, Err(Nowhere::NotInDatabase(reason)))) => System::NotInDatabase(reason.clone()),
        None => match &contents.distribution {
            // Wherever its packages are listed, it is not where its package manager does.
            Some(distribution) => {
                System::Unsupported(format!("the image is of {}, and lists no packages of it", distribution.name()))
            }
            None => languages(ecosystems),
        },
    }
}

/// Of an image without a distribution's packages.
fn languages(ecosystems: &BTreeMap<Kind, Where>) -> System {
    if ecosystems.values().any(Result::is_ok) {
        return System::Bare;
    }
    let nowhere = ecosystems.values().find_map(|of| of.as_ref().err());
    nowhere.map_or(System::Nothing, |nowhere| System::NotInDatabase(nowhere.reason().clone()))
}

/// What advisories may call a package. Those of Debian and Alpine speak of sources, those that use rpm of either.
fn asked(package: &Package) -> Vec<Asked> {
    let own = || Asked { kind: package.kind, name: package.name.clone(), version: package.version.clone() };
    let source = package.source.as_ref();
    let source = source.map(|of| Asked { kind: package.kind, name: of.name.clone(), version: of.version.clone() });
    match package.kind {
        Kind::Deb | Kind::Apk => vec![source.unwrap_or_else(own)],
        _ => source.into_iter().chain([own()]).collect(),
    }
}

/// Those of the name that was looked for last: packages come by their names, and one may be there in many versions.
#[derive(Default)]
struct Candidates {
    of: Option<(Kind, String)>,
    list: Rc<Vec<Candidate>>,
}

/// By name, package and version: the same vulnerability may come from several databases.
type Key = (String, String, String);

struct Search<'a> {
    database: &'a Database,
    contents: &'a Contents,
    found: BTreeMap<Key, Finding>,
    /// Reasons, with how many packages each speaks of.
    unjudged: BTreeMap<String, usize>,
    candidates: Candidates,
    is_cut: bool,
}

impl Search<'_> {
    fn ecosystem(&self, kind: Kind) -> Result<Where, Error> {
        let unsupported = |reason: String| Ok(Err(Nowhere::Unsupported(reason)));
        let ecosystem = match (kind.ecosystem(), &self.contents.distribution) {
            (Some(name), _) => Ecosystem::Is(name.to_owned()),
            (None, None) => {
                return unsupported("the image does not say which distribution its packages are of".to_owned());
            }
            (None, Some(distribution)) => match distribution.ecosystem() {
                Some(ecosystem) => ecosystem,
                None => return unsupported(format!("no advisories are known for {}", distribution.name())),
            },
        };
        if self.database.ecosystems(&ecosystem)?.is_empty() {
            let reason = format!("the vulnerability database holds nothing for {}", ecosystem.name());
            return Ok(Err(Nowhere::NotInDatabase(reason)));
        }
        Ok(Ok(ecosystem))
    }

    fn judge(&mut self, asked: &Asked, ecosystem: &Ecosystem) -> Result<(), Error> {
        let scheme = asked.kind.scheme();
        let mut is_known = true;
        for candidate in self.candidates(asked, ecosystem)?.iter() {
            let is_listed = candidate.versions.iter().any(|listed| is_same(scheme, listed, &asked.version));
            match candidate.events.judge(scheme, &asked.version) {
                _ if is_listed => self.put(asked, ecosystem, candidate),
                Some(true) => self.put(asked, ecosystem, candidate),
                Some(false) => {}
                None => is_known = false,
            }
        }
        if !is_known {
            *self.unjudged.entry("versions cannot be compared".to_owned()).or_default() += 1;
        }
        Ok(())
    }

    fn candidates(&mut self, asked: &Asked, ecosystem: &Ecosystem) -> Result<Rc<Vec<Candidate>>, Error> {
        let is_same = |(kind, name): &(Kind, String)| *kind == asked.kind && *name == asked.name;
        if !self.candidates.of.as_ref().is_some_and(is_same) {
            let mut list = self.database.candidates(ecosystem, &asked.name)?;
            // One that speaks of a single vulnerability knows more of it than one that sums up several.
            list.sort_by_key(|candidate| candidate.names.len());
            self.candidates = Candidates { of: Some((asked.kind, asked.name.clone())), list: Rc::new(list) };
        }
        Ok(self.candidates.list.clone())
    }

    fn put(&mut self, asked: &Asked, ecosystem: &Ecosystem, candidate: &Candidate) {
        for name in &candidate.names {
            if self.found.len() >= MOST_FINDINGS {
                self.is_cut = true;
                return;
            }
            let key = (name.clone(), asked.name.clone(), asked.version.clone());
            let finding = || finding(name, asked, ecosystem, candidate);
            let known = self.found.entry(key).or_insert_with(finding);
            // What the first did not know of how bad it is, another may.
            if known.severity == Severity::Undefined {
                known.severity = candidate.rating.severity;
            }
        }
    }

    fn finish(self) -> Findings {
        let mut findings: Vec<Finding> = self.found.into_values().collect();
        // Stable: those of one severity stay in the order of their names.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let mut counts = BTreeMap::new();
        for finding in &findings {
            *counts.entry(finding.severity).or_default() += 1;
        }
        let told = |(reason, count): (&String, &usize)| match count {
            1 => format!("1 package was not judged: {reason}"),
            count => format!("{count} packages were not judged: {reason}"),
        };
        let mut unjudged: Vec<String> = self.unjudged.iter().map(told).collect();
        unjudged.extend(self.contents.problems.iter().map(|of| format!("{} was not read: {}", of.path, of.reason)));
        if self.is_cut {
            unjudged.push(format!("there are more than the {MOST_FINDINGS} findings that are kept"));
        }
        Findings { findings, counts, unjudged, ..Findings::default() }
    }
}

fn is_same(scheme: Scheme, one: &str, other: &str) -> bool {
    one == other || scheme.compare(one, other).is_some_and(std::cmp::Ordering::is_eq)
}

fn finding(name: &str, asked: &Asked, ecosystem: &Ecosystem, candidate: &Candidate) -> Finding {
    let mut attributes = vec![("package_version", asked.version.clone()), ("package_name", asked.name.clone())];
    for score in &candidate.rating.scores {
        let [points, vector] = match score.version {
            2 => ["CVSS2_SCORE", "CVSS2_VECTOR"],
            3 => ["CVSS3_SCORE", "CVSS3_VECTOR"],
            _ => ["CVSS4_SCORE", "CVSS4_VECTOR"],
        };
        attributes.extend([(points, format!("{:.1}", score.score)), (vector, score.vector.clone())]);
    }
    if let Some(fixed) = candidate.events.fixed_after(asked.kind.scheme(), &asked.version) {
        attributes.push(("fixed_version", fixed.to_owned()));
    }
    let attribute = |(key, value): (&str, String)| Attribute { key: key.to_owned(), value };
    // Debian tells of each CVE on a page of its own, which is where ECR leads to.
    let is_debian = ecosystem.name().starts_with("Debian:") && name.starts_with("CVE-");
    let tracker = || format!("https://security-tracker.debian.org/tracker/{name}");
    Finding {
        name: name.to_owned(),
        description: candidate.description.clone(),
        uri: if is_debian { tracker() } else { candidate.uri.clone() },
        severity: candidate.rating.severity,
        attributes: attributes.into_iter().map(attribute).collect(),
    }
}

#[cfg(test)]
mod tests;
