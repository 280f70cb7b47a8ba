//! `cargo xtask bench [NAME…]`: the figures of SPECIFICATION.md, measured on this machine beside their peers.
//!
//! Every figure is measured from outside, on the release binary, over its API. Real containers are used except where a row
//! says "simulated". The table goes to standard output and, as JSON, to build/bench.json.

mod api;
mod client;
mod instance;
mod launch;
mod memory;
mod stats;

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};

/// One line of the table.
pub struct Row {
    pub figure: String,
    pub value: String,
    pub wanted: String,
}

impl Row {
    fn new(figure: impl Into<String>, value: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { figure: figure.into(), value: value.into(), wanted: wanted.into() }
    }
}

type Bench = fn() -> Result<Vec<Row>>;

const BENCHES: &[(&str, Bench)] = &[("launch", launch::run), ("api", api::run), ("memory", memory::run)];

pub fn run(names: &[String]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !BENCHES.iter().any(|(known, _)| known == name)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
        bail!("there is no benchmark {unknown}; there are {}", known.join(", "));
    }
    let mut rows = Vec::new();
    for (name, bench) in BENCHES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            eprintln!("bench: {name}");
            rows.extend(bench().with_context(|| format!("the benchmark {name}"))?);
        }
    }
    print!("{}", table(&rows));
    let json: Vec<_> = rows
        .iter()
        .map(|row| serde_json::json!({ "figure": row.figure, "value": row.value, "wanted": row.wanted }))
        .collect();
    std::fs::create_dir_all("build")?;
    std::fs::write("build/bench.json", serde_json::to_string_pretty(&json)?)?;
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| figure | measured | wanted |\n|---|---|---|\n");
    for row in rows {
        let _ = writeln!(text, "| {} | {} | {} |", row.figure, row.value, row.wanted);
    }
    text
}
