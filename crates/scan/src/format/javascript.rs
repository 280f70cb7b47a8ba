//! npm's and yarn's lock files, and the manifests of installed modules.

use serde_json::value::RawValue;

use super::json::{self, DEEPEST};
use super::shelf::Shelf;
use crate::package::Kind;

type Told = Result<(), String>;

/// Versions 2 and 3 list packages by their place; version 1 nests them by their name.
pub(super) fn read_lock(text: &str, shelf: &mut Shelf<'_>) -> Told {
    let mut has_packages = false;
    json::members(text, &mut |key, _| {
        has_packages |= key == "packages";
        Ok(())
    })?;
    json::members(text, &mut |key, value| match key {
        "packages" => read_places(value, shelf),
        "dependencies" if !has_packages => read_tree(value, shelf, 0),
        _ => Ok(()),
    })
}

fn read_places(places: &RawValue, shelf: &mut Shelf<'_>) -> Told {
    json::members(places.get(), &mut |place, value| {
        let member = Member::read(value)?;
        // What is outside of node_modules is the project itself.
        let Some((_, by_place)) = place.rsplit_once("node_modules/") else { return Ok(()) };
        if !member.is_link {
            add(member.name.as_deref().unwrap_or(by_place), member.version.as_deref(), shelf);
        }
        Ok(())
    })
}

fn read_tree(dependencies: &RawValue, shelf: &mut Shelf<'_>, depth: usize) -> Told {
    if depth > DEEPEST {
        return Err("its dependencies are nested too deep".to_owned());
    }
    json::members(dependencies.get(), &mut |name, value| {
        add(name, Member::read(value)?.version.as_deref(), shelf);
        json::members(value.get(), &mut |key, inner| match key {
            "dependencies" => read_tree(inner, shelf, depth + 1),
            _ => Ok(()),
        })
    })
}

/// `package.json` of an installed module.
pub(super) fn read_module(text: &str, shelf: &mut Shelf<'_>) -> Told {
    let mut member = Member::default();
    json::members(text, &mut |key, value| {
        member.take(key, value);
        Ok(())
    })?;
    // Some modules have one in a directory of theirs, only to say how it is to be loaded.
    if let (Some(name), Some(version)) = (&member.name, &member.version) {
        add(name, Some(version), shelf);
    }
    Ok(())
}

#[derive(Default)]
struct Member {
    name: Option<String>,
    version: Option<String>,
    is_link: bool,
}

impl Member {
    fn read(value: &RawValue) -> Result<Self, String> {
        let mut member = Self::default();
        json::members(value.get(), &mut |key, value| {
            member.take(key, value);
            Ok(())
        })?;
        Ok(member)
    }

    fn take(&mut self, key: &str, value: &RawValue) {
        match key {
            "name" => self.name = json::string(value),
            "version" => self.version = json::string(value),
            "link" => self.is_link = value.get() == "true",
            _ => {}
        }
    }
}

/// Adds a package by its version. What was not got from a registry has an address in its place, or none.
fn add(name: &str, version: Option<&str>, shelf: &mut Shelf<'_>) {
    let Some(version) = version else { return };
    // An alias: the name that it is installed under is not the one that it is published under.
    let aliased = version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@'));
    let (name, version) = aliased.unwrap_or((name, version));
    if version.starts_with(|first: char| first.is_ascii_digit()) {
        shelf.add(Kind::Npm, name, version);
    }
}

/// Paragraphs that begin with what was asked for: `"name@range", "name@range":`. Yarn 2 and later write YAML of the same form.
pub(super) fn read_yarn(text: &str, shelf: &mut Shelf<'_>) {
    let mut name = None;
    for line in text.lines() {
        if !line.starts_with([' ', '#']) && line.ends_with(':') {
            name = yarn_name(line);
            continue;
        }
        let field = line.strip_prefix("  ").filter(|field| !field.starts_with(' '));
        let version = field.and_then(|field| field.strip_prefix("version"));
        if let (Some(version), Some(of)) = (version, name) {
            let version = version.trim_start_matches(':').trim().trim_matches('"');
            add(of, Some(version).filter(|version| *version != "0.0.0-use.local"), shelf);
            name = None;
        }
    }
}

/// The name of the first thing asked for: of an alias, the one that it is published under.
fn yarn_name(line: &str) -> Option<&str> {
    let first = line.trim_end_matches(':').trim_matches('"').split(", ").next()?.trim_matches('"');
    let (name, range) = split_range(first)?;
    let alias = range.strip_prefix("npm:").and_then(split_range);
    Some(alias.map_or(name, |(published, _)| published))
}

/// `@scope/name@range` in two.
fn split_range(text: &str) -> Option<(&str, &str)> {
    let at = text.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some((&text[..at], &text[at + 1..]))
}
