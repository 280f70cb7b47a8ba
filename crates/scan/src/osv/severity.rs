//! How bad it is: what a distribution or a database says of it, else by its scores.

use cvss::Cvss;
use serde::{Deserialize, Serialize};

/// As ECR tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    #[default]
    Undefined,
    Informational,
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undefined => "UNDEFINED",
            Self::Informational => "INFORMATIONAL",
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// Of a word that databases and distributions use; `None` for one that says nothing (`not yet assigned`).
    pub(super) fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "unimportant" | "negligible" | "none" | "informational" => Some(Self::Informational),
            "low" | "minor" => Some(Self::Low),
            "medium" | "moderate" => Some(Self::Medium),
            "high" | "important" => Some(Self::High),
            "critical" => Some(Self::Critical),
            _ => None,
        }
    }

    /// By the bands that versions 3 and 4 of CVSS share.
    fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            score if score > 0.0 => Self::Low,
            _ => Self::Informational,
        }
    }
}

/// A severity and the scores that are known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rating {
    pub(crate) severity: Severity,
    pub(crate) scores: Vec<Score>,
}

/// A vector of CVSS and what it comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score {
    /// 2, 3 or 4.
    pub(crate) version: u8,
    pub(crate) score: f64,
    pub(crate) vector: String,
}

/// Of a vector. No metric is that long.
const LONGEST_VECTOR: usize = 512;

impl Score {
    /// `None` for what is no vector.
    pub(super) fn read(vector: &str) -> Option<Self> {
        let vector = vector.trim().trim_end_matches('/');
        let parsed: Cvss = Some(vector).filter(|vector| vector.len() <= LONGEST_VECTOR)?.parse().ok()?;
        let version = match parsed {
            Cvss::CvssV20(_) => 2,
            Cvss::CvssV30(_) | Cvss::CvssV31(_) => 3,
            Cvss::CvssV40(_) => 4,
            _ => return None,
        };
        Some(Self { version, score: parsed.score(), vector: vector.to_owned() })
    }
}

impl Rating {
    /// The words weigh more than the scores, the first word most; of scores, that of the newest version.
    pub(super) fn new<'a>(words: impl IntoIterator<Item = &'a str>, mut scores: Vec<Score>) -> Self {
        scores.sort_by_key(|score| std::cmp::Reverse(score.version));
        scores.dedup_by_key(|score| score.version);
        let said = words.into_iter().find_map(Severity::of_word);
        let scored = || scores.first().map(|score| Severity::of_score(score.score));
        Self { severity: said.or_else(scored).unwrap_or_default(), scores }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.severity == Severity::Undefined && self.scores.is_empty()
    }
}
