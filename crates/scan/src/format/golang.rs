//! `go.mod`: what is required, with what stands in for it.

use std::collections::HashMap;

use super::shelf::Shelf;
use crate::package::Kind;

pub(super) fn read(text: &str, shelf: &mut Shelf<'_>) {
    let mut required = Vec::new();
    let mut replaced = HashMap::new();
    let mut block = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or(line).trim();
        if line == ")" {
            block = None;
        } else if let Some(verb) = line.strip_suffix('(') {
            block = Some(verb.trim());
        } else {
            let (verb, rest) = match block {
                Some(verb) => (verb, line),
                None => line.split_once(char::is_whitespace).unwrap_or((line, "")),
            };
            let words: Vec<&str> = rest.split_whitespace().collect();
            match (verb, words.as_slice()) {
                ("require", [module, version]) => required.push((*module, *version)),
                ("replace", [module, "=>", to @ ..]) => drop(replaced.insert((*module, None), to.to_vec())),
                ("replace", [module, version, "=>", to @ ..]) => {
                    drop(replaced.insert((*module, Some(*version)), to.to_vec()));
                }
                _ => {}
            }
        }
    }
    for (module, version) in required {
        let stands_in = replaced.get(&(module, Some(version))).or_else(|| replaced.get(&(module, None)));
        match stands_in.map(Vec::as_slice) {
            Some([module, version]) => shelf.add(Kind::Go, module, version),
            // A directory stands in for it, whose version nobody knows.
            Some(_) => {}
            None => shelf.add(Kind::Go, module, version),
        }
    }
}
