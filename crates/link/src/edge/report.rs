//! What an edge reports.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Metrics;

/// Targets and series of one part of a report ([`EdgeReport::parts`]).
const HEALTH: usize = 2_000;
const SERIES: usize = 96;

/// What changed since the last report. The first of a session holds the health of every target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EdgeReport {
    /// The generation that is served.
    pub generation: i64,
    pub health: Vec<TargetHealth>,
    /// Every listener that is not served, and why; those of before that are not in it are served now.
    pub problems: Vec<Problem>,
    /// What was counted in a minute that has passed: one in most reports that have any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
}

impl EdgeReport {
    /// The report in parts, each of which fits a frame ([`crate::MAX_FRAME`]).
    pub fn parts(self) -> impl Iterator<Item = Self> {
        let Self { generation, health, problems, metrics } = self;
        let (at, series) = metrics.map(|metrics| (metrics.at, metrics.series)).unwrap_or_default();
        let count = health.len().div_ceil(HEALTH).max(series.len().div_ceil(SERIES)).max(1);
        (0..count).map(move |part| Self {
            generation,
            health: piece(&health, part, HEALTH).to_vec(),
            problems: problems.clone(),
            metrics: Some(piece(&series, part, SERIES).to_vec())
                .filter(|series| !series.is_empty())
                .map(|series| Metrics { at, series }),
        })
    }
}

/// The pieces of `all` have this size, but for the last.
fn piece<T>(all: &[T], number: usize, size: usize) -> &[T] {
    all.chunks(size).nth(number).unwrap_or_default()
}

/// What a target's health has become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetHealth {
    /// ARN.
    pub target_group: String,
    /// As in the configuration.
    pub id: String,
    pub port: u16,
    pub state: TargetState,
    #[serde(default)]
    pub reason: Option<Reason>,
    /// In the words of `DescribeTargetHealth`.
    #[serde(default)]
    pub description: Option<String>,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// A listener that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// ARN.
    pub listener: String,
    pub problem: String,
}

/// States of `DescribeTargetHealth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TargetState {
    #[serde(rename = "initial")]
    Initial,
    #[serde(rename = "healthy")]
    Healthy,
    #[serde(rename = "unhealthy")]
    Unhealthy,
    #[serde(rename = "unhealthy.draining")]
    UnhealthyDraining,
    #[serde(rename = "unused")]
    Unused,
    #[serde(rename = "draining")]
    Draining,
    #[serde(rename = "unavailable")]
    Unavailable,
}

/// Reasons of `DescribeTargetHealth` that an edge or its planner gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    #[serde(rename = "Elb.RegistrationInProgress")]
    RegistrationInProgress,
    #[serde(rename = "Elb.InitialHealthChecking")]
    InitialHealthChecking,
    #[serde(rename = "Elb.InternalError")]
    InternalError,
    #[serde(rename = "Target.ResponseCodeMismatch")]
    ResponseCodeMismatch,
    #[serde(rename = "Target.Timeout")]
    Timeout,
    #[serde(rename = "Target.FailedHealthChecks")]
    FailedHealthChecks,
    #[serde(rename = "Target.NotRegistered")]
    NotRegistered,
    #[serde(rename = "Target.NotInUse")]
    NotInUse,
    #[serde(rename = "Target.DeregistrationInProgress")]
    DeregistrationInProgress,
    #[serde(rename = "Target.InvalidState")]
    InvalidState,
    #[serde(rename = "Target.IpUnusable")]
    IpUnusable,
    #[serde(rename = "Target.HealthCheckDisabled")]
    HealthCheckDisabled,
}

/// As the API spells them.
impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// As the API spells them.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
