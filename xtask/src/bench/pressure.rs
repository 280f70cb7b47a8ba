//! Whether others use the processors: a figure taken on a busy machine says little.

use anyhow::{Result, bail};

const FILE: &str = "/proc/pressure/cpu";

/// Percent of the last ten seconds in which somebody waited for a processor: more is busy.
const MOST: f64 = 5.0;

/// How the machine was before the first figure, in words.
pub struct Pressure {
    percent: Option<f64>,
}

impl Pressure {
    /// What the kernel says; nothing where it keeps no such account.
    pub fn now() -> Self {
        let text = std::fs::read_to_string(FILE).unwrap_or_default();
        Self { percent: parse(&text) }
    }

    /// # Errors
    /// If the machine is busy and `even_if_busy` is not given.
    pub fn admit(&self, even_if_busy: bool) -> Result<()> {
        match self.percent {
            Some(percent) if percent > MOST && !even_if_busy => bail!(
                "the machine is busy: in {percent} % of the last ten seconds somebody waited for a processor ({FILE}), and \
                 figures taken at more than {MOST} % say little. Wait, or go on with --even-if-busy; the table then says so"
            ),
            _ => Ok(()),
        }
    }

    pub fn is_busy(&self) -> bool {
        self.percent.is_some_and(|percent| percent > MOST)
    }

    pub fn words(&self) -> String {
        match self.percent {
            Some(percent) if self.is_busy() => format!("**busy machine**: CPU pressure {percent} % at the start"),
            Some(percent) => format!("CPU pressure {percent} % at the start"),
            None => "this kernel keeps no account of CPU pressure".to_owned(),
        }
    }
}

/// `avg10` of the line `some`.
fn parse(text: &str) -> Option<f64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_refused_unless_told_otherwise() {
        let text = "some avg10=48.22 avg60=37.82 avg300=28.50 total=2928639113\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let busy = Pressure { percent: parse(text) };
        assert_eq!(busy.percent, Some(48.22));
        assert!(busy.admit(false).unwrap_err().to_string().contains("48.22 %"));
        assert!(busy.admit(true).is_ok() && busy.words().contains("busy"));
        assert!(Pressure { percent: Some(1.0) }.admit(false).is_ok());
        assert!(Pressure { percent: parse("") }.admit(false).is_ok());
    }
}
