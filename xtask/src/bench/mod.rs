//! `cargo xtask bench [--even-if-busy] [--breakdown] [NAME…]`: the figures of SPECIFICATION.md, measured on this machine
//! beside their peers.
//!
//! Every figure is measured from outside, on the release binary, over its API. Real containers are used except where a row
//! says "simulated". What is compared is measured in turn, round by round. The table goes to standard output as Markdown
//! and to build/bench.json; docs/performance.md explains each row. On a busy machine nothing is measured unless asked for.

mod api;
mod breakdown;
mod client;
mod crowd;
mod edge;
mod etcd;
mod fleet;
mod instance;
mod launch;
mod memory;
mod moto;
mod pressure;
mod registry;
mod reset;
mod scale;
mod signed;
mod stats;
mod table;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use pressure::Pressure;
use table::Row;

type Bench = fn() -> Result<Vec<Row>>;

const BENCHES: &[(&str, Bench)] = &[
    ("launch", launch::run),
    ("reset", reset::run),
    ("api", api::run),
    ("memory", memory::run),
    ("scale", scale::run),
    ("million", scale::million),
    ("edge", edge::run),
    ("registry", registry::run),
];

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    even_if_busy: bool,
    breakdown: bool,
    names: Vec<String>,
}

impl Wanted {
    fn read(words: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        for word in words {
            match word.as_str() {
                "--even-if-busy" => wanted.even_if_busy = true,
                "--breakdown" => wanted.breakdown = true,
                name if BENCHES.iter().any(|(known, _)| *known == name) => wanted.names.push(name.to_owned()),
                unknown => {
                    let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
                    bail!("there is no benchmark {unknown}; there are {}", known.join(", "));
                }
            }
        }
        Ok(wanted)
    }

    fn includes(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|wanted| wanted == name)
    }
}

/// Measure, print and write what `words` ask for.
///
/// # Errors
/// If the machine is busy, a benchmark is unknown or one fails.
pub fn run(words: &[String]) -> Result<()> {
    let wanted = Wanted::read(words)?;
    let pressure = Pressure::now();
    pressure.admit(wanted.even_if_busy)?;
    if wanted.breakdown {
        print!("{}", breakdown::run()?);
        return Ok(());
    }
    let mut rows = Vec::new();
    for (name, bench) in BENCHES.iter().filter(|(name, _)| wanted.includes(name)) {
        eprintln!("bench: {name}");
        rows.extend(bench().with_context(|| format!("the benchmark {name}"))?);
    }
    println!("{}", table::markdown(&rows));
    println!("{} processors; {}.", std::thread::available_parallelism()?, pressure.words());
    write(&rows, &pressure)
}

fn write(rows: &[Row], pressure: &Pressure) -> Result<()> {
    let found = json!({ "busy": pressure.is_busy(), "pressure": pressure.words(), "figures": table::json(rows) });
    std::fs::create_dir_all("build")?;
    std::fs::write("build/bench.json", serde_json::to_string_pretty(&found)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Wanted> {
        Wanted::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn no_name_is_every_benchmark_and_an_unknown_one_is_refused() {
        assert!(read(&[]).unwrap().includes("scale"));
        let some = read(&["--even-if-busy", "launch", "--breakdown"]).unwrap();
        assert!(some.includes("launch") && !some.includes("scale") && some.even_if_busy && some.breakdown);
        assert!(read(&["launhc"]).unwrap_err().to_string().contains("there are launch, reset"));
    }
}
