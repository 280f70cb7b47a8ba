//! botocore's own protocol cases, with us as the server: its serialized requests are decoded, its parsed results encoded.
//!
//! The cases are not part of this repository. `LONGSHORE_BOTOCORE_CASES` names the `tests/unit/protocols` directory of an
//! unpacked botocore source package; else the one that `./test` fetched into `build/` is taken.
#![allow(clippy::disallowed_methods, reason = "tests read the cases from files")]

mod input;
mod model;
mod output;
mod tree;

use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// The cases' directory: the one that the environment names, else what lies unpacked in `build/`.
fn directory() -> PathBuf {
    if let Some(named) = std::env::var_os("LONGSHORE_BOTOCORE_CASES") {
        return PathBuf::from(named);
    }
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build");
    let unpacked = std::fs::read_dir(&build).into_iter().flatten().flatten();
    let packages = unpacked.filter(|entry| entry.file_name().to_string_lossy().starts_with("botocore-"));
    let found = packages.map(|entry| entry.path().join("tests/unit/protocols")).find(|path| path.is_dir());
    found.expect("`./test` fetches botocore's cases; or name them in LONGSHORE_BOTOCORE_CASES")
}

/// One case, with the suite it stands in.
struct Case {
    suite: Json,
    case: Json,
}

impl Case {
    fn id(&self) -> &str {
        self.case["id"].as_str().unwrap_or("unnamed")
    }
}

/// The cases of `protocols/<side>/<file>.json`.
fn cases(directory: &std::path::Path, side: &str, file: &str) -> Vec<Case> {
    let path = directory.join(side).join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let suites: Vec<Json> = serde_json::from_str(&text).expect("the cases are JSON");
    let mut cases = Vec::new();
    for suite in suites {
        for case in suite["cases"].as_array().into_iter().flatten() {
            cases.push(Case { suite: suite.clone(), case: case.clone() });
        }
    }
    cases
}

/// Runs `check` over the cases of the files on one side, except the skipped ones, and reports all failures together.
/// A skip that names no case is a failure too, and so is an empty directory.
fn run(side: &str, files: &[&str], skips: &[(&str, &str)], check: impl Fn(&Case) -> Result<(), String>) {
    let directory = directory();
    let all: Vec<Case> = files.iter().flat_map(|file| cases(&directory, side, file)).collect();
    assert!(!all.is_empty(), "there are no cases in {}", directory.display());
    let stale: Vec<&str> =
        skips.iter().map(|(id, _)| *id).filter(|id| !all.iter().any(|case| case.id() == *id)).collect();
    assert!(stale.is_empty(), "skips that name no case: {stale:?}");
    let (skipped, kept): (Vec<&Case>, Vec<&Case>) =
        all.iter().partition(|case| skips.iter().any(|(id, _)| *id == case.id()));
    let failures: Vec<String> =
        kept.iter().filter_map(|case| check(case).err().map(|error| format!("{}: {error}", case.id()))).collect();
    println!("{side}: {} cases hold, {} skipped", kept.len() - failures.len(), skipped.len());
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), kept.len(), failures.join("\n"));
}
