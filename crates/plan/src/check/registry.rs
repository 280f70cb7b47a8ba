//! The laws of repositories and what is in them.

use std::collections::{BTreeMap, BTreeSet};

use longshore_model::State;
use longshore_model::registry::{MOST_TAGS, bytes_key, content_key, is_sealed};

use super::Found;

pub(super) fn registry(state: &State, found: &mut Found) {
    let ids: BTreeSet<&str> = state.repositories.iter().map(|(_, row)| row.id.as_str()).collect();
    found.unless(ids.len() == state.repositories.iter().count(), "a repository has an id of its own", "");
    for (key, row) in state.repositories.iter() {
        let has_key = row.data_key.is_some();
        found.unless(is_sealed(&row.id) == has_key, "a repository has a data key if its bytes are sealed", &**key);
    }
    tags(state, found);
    images(state, &ids, found);
    scans(state, found);
    for (key, row) in state.layers.iter() {
        found.unless(row.size >= 0, "a layer has no less than no bytes", &**key);
        found.unless(is_held(state, &row.repository, &row.digest), "what a layer is is held", &**key);
        let is_loose = state.index.registry.loose().any(|(_, loose)| loose == key);
        let is_used = state.index.registry.uses(key) > 0;
        found.unless(is_loose != is_used, "a layer is loose unless an image names it", &**key);
    }
    for (id, _) in state.lifecycle_previews.iter() {
        found.unless(ids.contains(&**id), "a preview is of a repository", &**id);
    }
}

fn is_held(state: &State, repository: &str, digest: &str) -> bool {
    state.index.registry.is_held(&bytes_key(repository, digest))
}

fn scans(state: &State, found: &mut Found) {
    let waiting: BTreeSet<&str> = state.index.scans.unfinished().map(|key| &**key).collect();
    let lost: BTreeSet<&str> = state.index.scans.lost().map(|key| &**key).collect();
    for (key, row) in state.image_scans.iter() {
        let has_image = state.images.contains(key);
        let waits = has_image && row.is_unfinished();
        found.unless(waiting.contains(&**key) == waits, "a scan waits for its turn until it has ended", &**key);
        found.unless(lost.contains(&**key) != has_image, "a scan without its image is lost", &**key);
        found.unless(row.is_unfinished() != row.completed_at.is_some(), "a scan that has ended says when", &**key);
        let held = row.findings.as_ref().is_none_or(|digest| is_held(state, &row.repository, digest));
        found.unless(held, "what a scan found is held", &**key);
    }
    let all = waiting.len() <= state.image_scans.len() && lost.len() <= state.image_scans.len();
    found.unless(all, "a scan that waits or is lost is there", "");
}

fn tags(state: &State, found: &mut Found) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (key, row) in state.image_tags.iter() {
        let image = content_key(&row.repository, &row.digest);
        found.unless(state.images.contains(&image), "a tag leads to an image", &**key);
        let indexed = state.index.registry.tags(&image).any(|tag| *tag == row.tag);
        found.unless(indexed, "an image knows its tags", &**key);
        *counts.entry(image).or_default() += 1;
    }
    for (image, count) in counts {
        found.unless(count <= MOST_TAGS, "an image has no more tags than its quota", &image);
        found.unless(state.index.registry.tags(&image).len() == count, "an image knows no other tags", &image);
    }
}

/// Of a repository that was deleted, what is left goes in any order.
fn images(state: &State, ids: &BTreeSet<&str>, found: &mut Found) {
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for (key, row) in state.images.iter() {
        row.parts().for_each(|part| *uses.entry(content_key(&row.repository, part)).or_default() += 1);
        found.unless(is_held(state, &row.repository, &row.digest), "what an image is is held", &**key);
        if !ids.contains(row.repository.as_str()) {
            continue;
        }
        let layers = row.layers.iter().all(|digest| state.layer(&row.repository, digest).is_some());
        found.unless(layers, "an image's layers are in its repository", &**key);
        let listed = row.images.iter().all(|digest| state.image(&row.repository, digest).is_some());
        found.unless(listed, "what an index lists is in its repository", &**key);
        let itself = row.subject.as_ref() != Some(&row.digest) && !row.images.contains(&row.digest);
        found.unless(itself, "an image is not about itself, nor lists itself", &**key);
    }
    for (content, count) in uses {
        found.unless(state.index.registry.uses(&content) == count, "what is named is counted", &content);
    }
}
