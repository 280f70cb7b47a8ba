//! What a benchmark found, as a line of Markdown and of JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::stats::Samples;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Seconds,
    PerSecond,
    Megabytes,
    MegabytesPerSecond,
    /// A ratio.
    Times,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::PerSecond => "/s",
            Self::Megabytes => "MB",
            Self::MegabytesPerSecond => "MB/s",
            Self::Times => "×",
        }
    }

    /// `12.3 ms`, `39,902 /s`
    fn shown(self, number: f64) -> String {
        let digits = match number.abs() {
            large if large >= 1000.0 => grouped(number.round() as i64),
            middle if middle >= 100.0 => format!("{number:.0}"),
            small if small < 10.0 && self == Self::Times => format!("{small:.2}"),
            _ => format!("{number:.1}"),
        };
        format!("{digits} {}", self.word())
    }
}

/// `1234567` to `1,234,567`
fn grouped(number: i64) -> String {
    let digits = number.abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// What is promised of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// One figure.
pub struct Row {
    figure: String,
    unit: Unit,
    samples: Samples,
    goal: Option<Goal>,
    /// Which percentile the goal speaks of.
    percentile: usize,
    /// Processor time of the measured process, microseconds an operation.
    cpu_us: Option<f64>,
    /// Other figures of the same run that it stands beside.
    beside: Vec<String>,
    simulated: bool,
}

impl Row {
    /// A figure with one value or many.
    pub fn new(figure: impl Into<String>, unit: Unit, samples: impl Into<Samples>) -> Self {
        let (figure, samples) = (figure.into(), samples.into());
        Self { figure, unit, samples, goal: None, percentile: 50, cpu_us: None, beside: Vec::new(), simulated: false }
    }

    pub fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtMost(goal));
        self
    }

    pub fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtLeast(goal));
        self
    }

    /// The value and the goal are of this percentile instead of the median.
    pub fn percentile(mut self, percent: usize) -> Self {
        self.percentile = percent;
        self
    }

    pub fn cpu_us(mut self, micros: f64) -> Self {
        self.cpu_us = Some(micros);
        self
    }

    pub fn beside(mut self, words: impl Into<String>) -> Self {
        self.beside.push(words.into());
        self
    }

    /// Tasks of this row have no containers.
    pub fn simulated(mut self) -> Self {
        self.simulated = true;
        self
    }

    fn value(&self) -> f64 {
        self.samples.percentile(self.percentile)
    }

    /// Whether the promise was kept, where there is one.
    pub fn kept(&self) -> Option<bool> {
        match self.goal? {
            Goal::AtMost(most) => Some(self.value() <= most),
            Goal::AtLeast(least) => Some(self.value() >= least),
        }
    }

    fn wanted(&self) -> String {
        match self.goal {
            Some(Goal::AtMost(most)) => format!("≤ {}", self.unit.shown(most)),
            Some(Goal::AtLeast(least)) => format!("≥ {}", self.unit.shown(least)),
            None => String::new(),
        }
    }

    fn markdown(&self) -> String {
        let label = match self.percentile {
            50 => String::new(),
            other => format!("p{other} "),
        };
        let mut value = format!("{label}{}", self.unit.shown(self.value()));
        if self.samples.len() > 1 {
            let (low, high) = (self.unit.shown(self.samples.low()), self.unit.shown(self.samples.high()));
            let _ = write!(value, " ({low} – {high}, n = {})", self.samples.len());
        }
        let kept = match self.kept() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        let cpu = self.cpu_us.map(|micros| format!("{micros:.0}")).unwrap_or_default();
        let simulated = if self.simulated { " (simulated)" } else { "" };
        let (figure, beside) = (&self.figure, self.beside.join("; "));
        format!("| {figure}{simulated} | {value} | {cpu} | {beside} | {} | {kept} |", self.wanted())
    }

    fn json(&self) -> Value {
        let (relation, goal) = match self.goal {
            Some(Goal::AtMost(most)) => (Some("at most"), Some(most)),
            Some(Goal::AtLeast(least)) => (Some("at least"), Some(least)),
            None => (None, None),
        };
        json!({
            "figure": self.figure, "unit": self.unit.word(), "percentile": self.percentile, "value": self.value(),
            "low": self.samples.low(), "high": self.samples.high(), "samples": self.samples.len(),
            "cpuMicrosPerOperation": self.cpu_us, "beside": self.beside, "simulated": self.simulated,
            "relation": relation, "goal": goal, "kept": self.kept(),
        })
    }
}

pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| figure | median (range) | CPU-µs an operation | beside it | wanted | kept |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(text, "{}", row.markdown());
    }
    text
}

pub fn json(rows: &[Row]) -> Value {
    rows.iter().map(Row::json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_its_median_its_range_and_whether_it_is_kept() {
        let row = Row::new("x", Unit::Millis, vec![3.0, 1.0, 2.0]).at_most(2.0).cpu_us(7.4).beside("y").simulated();
        assert_eq!(row.markdown(), "| x (simulated) | 2.0 ms (1.0 ms – 3.0 ms, n = 3) | 7 | y | ≤ 2.0 ms | yes |");
        let late = Row::new("x", Unit::Millis, vec![3.0, 1.0, 2.0]).percentile(99).at_most(2.0);
        assert_eq!(late.kept(), Some(false));
        assert_eq!(late.json()["value"], 3.0);
        let rate = Row::new("r", Unit::PerSecond, 1_234_567.0).at_least(16_000.0);
        assert_eq!(rate.markdown(), "| r | 1,234,567 /s |  |  | ≥ 16,000 /s | yes |");
        assert_eq!(Row::new("r", Unit::PerSecond, 1.0).kept(), None);
    }
}
