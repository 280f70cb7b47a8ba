//! The house rules that a machine can check: arrows between crates, the pure line, sizes, freshness of generated files.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use xtask::{codegen, docs, root};

/// The arrows of ARCHITECTURE.md. A crate may depend on what its arrows lead to, directly or further on.
const ARROWS: &[(&str, &[&str])] = &[
    ("longshore", &["longshore-control", "longshore-agent", "longshore-scan", "longshore-supervisor"]),
    ("longshore-control", &["longshore-services", "longshore-link", "longshore-login", "longshore-scan"]),
    ("longshore-edge", &["longshore-link"]),
    (
        "longshore-agent",
        &[
            "longshore-edge",
            "longshore-link",
            "longshore-layer",
            "longshore-login",
            "longshore-plan",
            "longshore-supervisor",
        ],
    ),
    ("longshore-services", &["longshore-store", "longshore-plan", "longshore-api"]),
    ("longshore-store", &["longshore-model"]),
    ("longshore-disk", &[]),
    ("longshore-layer", &[]),
    ("longshore-login", &[]),
    ("longshore-scan", &["longshore-layer"]),
    ("longshore-sim", &["longshore-services", "longshore-link"]),
    ("longshore-supervisor", &[]),
    ("longshore-link", &["longshore-model"]),
    ("longshore-plan", &["longshore-model"]),
    ("longshore-model", &["longshore-api"]),
    ("longshore-api", &["longshore-wire"]),
    ("longshore-wire", &[]),
    ("xtask", &["longshore-api"]),
    ("hello-web", &[]),
];

const PURE: &[&str] = &["longshore-wire", "longshore-api", "longshore-model", "longshore-plan", "longshore-link"];

/// What nothing below the pure line may reach: runtimes, sockets, files, databases, chance.
const EFFECTS: &[&str] = &[
    "async-std",
    "fjall",
    "hyper",
    "hyper-util",
    "mio",
    "nix",
    "rand",
    "reqwest",
    "rtnetlink",
    "rusqlite",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-tungstenite",
    "tracing-subscriber",
    "uuid",
];

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;

#[test]
fn generated_files_are_fresh() {
    for (path, content) in codegen::generate().expect("the models") {
        let committed = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
        assert!(committed == content, "{path} is stale: run `cargo xtask codegen`");
    }
    let committed = std::fs::read_to_string(root().join("docs/operations.md")).unwrap_or_default();
    assert!(committed == docs::render(), "docs/operations.md is stale: run `cargo xtask docs`");
}

#[test]
fn crates_depend_along_the_arrows_only() {
    let metadata = metadata(&["--no-deps"]);
    let mut known = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = text(&package["name"]);
        let allowed = reachable(name);
        for dependency in normal_dependencies(package).filter(|name| name.starts_with("longshore")) {
            assert!(allowed.contains(dependency), "{name} must not depend on {dependency}");
        }
        assert!(
            ARROWS.iter().any(|(known, _)| *known == name),
            "{name} has no arrows in this test and ARCHITECTURE.md"
        );
        known.insert(name.to_owned());
    }
    let gone: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).filter(|name| !known.contains(*name)).collect();
    assert!(gone.is_empty(), "arrows of crates that do not exist: {gone:?}");
}

#[test]
fn pure_crates_reach_no_effects() {
    for pure in PURE {
        let effects: Vec<String> =
            reached_packages(pure).into_iter().filter(|name| EFFECTS.contains(&name.as_str())).collect();
        assert!(effects.is_empty(), "{pure} reaches {effects:?}");
    }
}

/// Its memory is paid for each task.
#[test]
fn the_supervisor_has_no_async_runtime() {
    let reached = reached_packages("longshore-supervisor");
    assert!(!reached.contains("tokio") && !reached.contains("mio"), "{reached:?}");
}

/// The names of all packages a crate links, itself included.
fn reached_packages(name: &str) -> BTreeSet<String> {
    let metadata = metadata(&[]);
    let names: BTreeMap<&str, &str> =
        array(&metadata["packages"]).map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let nodes = array(&metadata["resolve"]["nodes"]);
    let edges: BTreeMap<&str, Vec<&str>> = nodes.map(|node| (text(&node["id"]), linked(node))).collect();
    let mut open: Vec<&str> = names.iter().filter(|(_, other)| **other == name).map(|(id, _)| *id).collect();
    assert!(!open.is_empty(), "there is no {name}");
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            open.extend(edges.get(id).into_iter().flatten());
        }
    }
    reached.iter().map(|id| names[id].to_owned()).collect()
}

#[test]
fn pure_crates_ban_effects_with_reasons() {
    let config = |name: &str| {
        let path = root().join("crates").join(name.trim_start_matches("longshore-")).join("clippy.toml");
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let first = config(PURE[0]);
    assert!(first.contains("std::time::SystemTime::now") && first.contains("std::fs::File"));
    for pure in PURE {
        assert!(config(pure) == first, "{pure} has bans of its own");
    }
}

#[test]
fn files_and_functions_are_small_and_say_what_they_are() {
    let mut faults = Vec::new();
    for path in sources() {
        let content = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
        let lines: Vec<&str> = content.lines().collect();
        if lines.len() > MAX_FILE_LINES {
            faults.push(format!("{path} has {} lines", lines.len()));
        }
        // Tests are tables: they may be long, and their names say what they are.
        if path.ends_with("tests.rs") || path.contains("/tests/") || path.starts_with("tests/") {
            continue;
        }
        if !content.starts_with("//!") {
            faults.push(format!("{path} does not begin with its module's documentation"));
        }
        let code: Vec<&str> = lines.into_iter().take_while(|line| *line != "#[cfg(test)]").collect();
        let long = long_functions(&code).into_iter();
        faults.extend(long.map(|(line, length)| format!("{path}:{line} is {length} lines long")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The Rust files under version control, but for generated ones.
fn sources() -> Vec<String> {
    let output = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().expect("git ls-files");
    let listed = String::from_utf8(output.stdout).expect("UTF-8");
    let sources: Vec<String> = listed.lines().filter(|path| !path.contains("/generated/")).map(str::to_owned).collect();
    assert!(!sources.is_empty(), "git lists no sources");
    sources.into_iter().filter(|path| root().join(path).exists()).collect()
}

/// Where functions of too many lines begin. Formatting is fixed, so a function ends at the brace of its own indentation.
fn long_functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let end =
            lines[start..].iter().position(|line| *line == closing || line.ends_with(';') && indent_of(line) == indent);
        let length = end.map_or(0, |end| end + 1);
        if length > MAX_FUNCTION_LINES {
            found.push((start + 1, length));
        }
    }
    found
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn begins_function(line: &str) -> bool {
    let words = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""];
    line.split_whitespace().find(|word| !words.contains(word)) == Some("fn")
}

#[test]
fn long_functions_are_found() {
    let long = format!("    pub async fn f() {{\n{}    }}\n", "        x();\n".repeat(70));
    assert_eq!(long_functions(&long.lines().collect::<Vec<_>>()), [(1, 72)]);
    assert_eq!(long_functions(&["fn f() {", "}"]), []);
}

/// What cargo knows of the workspace, for Linux: crates of other platforms need not be here.
fn metadata(arguments: &[&str]) -> Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform])
        .args(arguments)
        .current_dir::<PathBuf>(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo's metadata")
}

fn reachable(name: &str) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        for next in ARROWS.iter().filter(|(from, _)| *from == name).flat_map(|(_, to)| to.iter()) {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

/// Dependencies of the built crate; what its tests and build script need does not count.
fn normal_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    array(&package["dependencies"])
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| text(&dependency["name"]))
}

fn linked(node: &Value) -> Vec<&str> {
    let normal = |dependency: &&Value| array(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
    array(&node["deps"]).filter(normal).map(|dependency| text(&dependency["pkg"])).collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
