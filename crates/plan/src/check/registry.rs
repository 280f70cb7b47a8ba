//! The laws of repositories and what is in them.

use std::collections::{BTreeMap, BTreeSet};

use longshore_api::ecr::ReplicationStatus as Status;
use longshore_model::State;
use longshore_model::registry::cache::MOST_RULES;
use longshore_model::registry::{
    Image, ImageScan, ImageTag, Layer, MOST_TAGS, Repository, bytes_key, content_key, is_sealed,
};

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
    replications(state, found);
    index(state, found);
    let loose: BTreeSet<&str> = state.index.registry.loose().map(|(_, key)| &**key).collect();
    for (key, row) in state.layers.iter() {
        found.unless(row.size >= 0, "a layer has no less than no bytes", &**key);
        found.unless(is_held(state, &row.repository, &row.digest), "what a layer is is held", &**key);
        let is_loose = loose.contains(&**key);
        let is_used = state.index.registry.uses(key) > 0;
        found.unless(is_loose != is_used, "a layer is loose unless an image names it", &**key);
    }
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    state.cache_rules.iter().for_each(|(_, row)| *rules.entry(&row.account).or_default() += 1);
    for (account, count) in rules {
        found.unless(count <= MOST_RULES, "an account has no more cache rules than its quota", account);
    }
    for (id, _) in state.lifecycle_previews.iter() {
        found.unless(ids.contains(&**id), "a preview is of a repository", &**id);
    }
}

/// What is kept up with each change is what the records alone give.
fn index(state: &State, found: &mut Found) {
    let mut afresh = State::default();
    state.repositories.iter().for_each(|(_, row)| afresh.apply(&Repository::clone(row).into()));
    state.images.iter().for_each(|(_, row)| afresh.apply(&Image::clone(row).into()));
    state.image_tags.iter().for_each(|(_, row)| afresh.apply(&ImageTag::clone(row).into()));
    state.layers.iter().for_each(|(_, row)| afresh.apply(&Layer::clone(row).into()));
    state.image_scans.iter().for_each(|(_, row)| afresh.apply(&ImageScan::clone(row).into()));
    let same = afresh.index.registry == state.index.registry;
    found.unless(same, "the index of repositories is one made anew from their records", "");
    let same = afresh.index.scans == state.index.scans;
    found.unless(same, "the index of scans is one made anew from their records", "");
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

fn replications(state: &State, found: &mut Found) {
    let index = &state.index.replications;
    let waiting: BTreeSet<_> = index.waiting().map(|(to, at, key)| (to.clone(), *at, &**key)).collect();
    let lost: BTreeSet<&str> = index.lost().map(|key| &**key).collect();
    let mut wanted = BTreeSet::new();
    for (key, row) in state.image_replications.iter() {
        let has_image = state.images.contains(key);
        found.unless(lost.contains(&**key) != has_image, "a replication without its image is lost", &**key);
        wanted.extend(row.waiting().filter(|_| has_image).map(|(to, at)| (to, at, &**key)));
        let places: BTreeSet<_> = row.replicas.iter().map(|one| one.destination()).collect();
        found.unless(places.len() == row.replicas.len(), "an image goes to a registry once", &**key);
        for replica in &row.replicas {
            let is_told = replica.failure_code.is_some();
            found.unless(replica.status != Status::Failed || is_told, "a copy that failed says why", &**key);
            found.unless(replica.status != Status::Complete || !is_told, "a copy that is there did not fail", &**key);
        }
    }
    found.unless(waiting == wanted, "the copies that are to be made wait, and no others", "");
    found.unless(lost.len() <= state.image_replications.len(), "a replication that is lost is there", "");
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
    let (mut uses, mut listings): (BTreeMap<String, usize>, BTreeMap<String, usize>) = Default::default();
    for (key, row) in state.images.iter() {
        row.layers.iter().for_each(|part| *uses.entry(content_key(&row.repository, part)).or_default() += 1);
        row.images.iter().for_each(|part| *listings.entry(content_key(&row.repository, part)).or_default() += 1);
        found.unless(is_held(state, &row.repository, &row.digest), "what an image is is held", &**key);
        if !ids.contains(row.repository.as_str()) {
            continue;
        }
        let layers = row.layers.iter().all(|digest| state.layer(&row.repository, digest).is_some());
        found.unless(layers, "an image's layers are in its repository", &**key);
        let listed = row.images.iter().all(|digest| state.image(&row.repository, digest).is_some());
        found.unless(listed, "what an index lists is in its repository", &**key);
        let apart = row.absent.iter().all(|digest| !row.images.contains(digest));
        found.unless(apart, "what an index lacks it does not have", &**key);
        let itself = row.subject.as_ref() != Some(&row.digest) && !row.images.contains(&row.digest);
        found.unless(itself, "an image is not about itself, nor lists itself", &**key);
    }
    for (content, count) in uses {
        found.unless(state.index.registry.uses(&content) == count, "what is named is counted", &content);
    }
    for (image, count) in listings {
        found.unless(state.index.registry.listings(&image) == count, "what is listed is counted", &image);
    }
}
