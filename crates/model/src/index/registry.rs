//! What images have to do with tags, layers and each other, and which contents are still needed.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use longshore_wire::Timestamp;

use crate::registry::{Image, ImageTag, Layer, Repository, bytes_key, content_key};

/// Digests, or names of tags, by the key of an image.
type Sets = HashMap<String, BTreeSet<String>>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Keys of repositories by their ids.
    repositories: HashMap<String, Arc<str>>,
    /// Numbers of repositories by account.
    accounts: HashMap<String, usize>,
    /// Numbers of images by repository.
    images: HashMap<String, usize>,
    /// Names of an image's tags.
    tags: Sets,
    /// Digests of the images that are about an image, there or not.
    referrers: Sets,
    /// How much the images of a repository name, in all.
    references: HashMap<String, usize>,
    /// How many images of its repository have a layer, by the layer's key.
    uses: HashMap<String, usize>,
    /// How many indexes of its repository list an image, by the image's key. The same bytes may be a layer as well.
    listings: HashMap<String, usize>,
    /// Digests of the indexes that list an image which was not fetched from their upstream, by the image's key.
    waiting: Sets,
    /// Keys of layers that no image names, by when they were pushed.
    loose: BTreeSet<(Timestamp, Arc<str>)>,
    /// Numbers of these by repository.
    loose_in: HashMap<String, usize>,
    /// How many images, layers and findings of scans are the bytes that are called so ([`bytes_key`]).
    holders: HashMap<String, usize>,
    /// How many images, tags and layers a repository has, those that were deleted too.
    contents: HashMap<String, usize>,
}

impl Registry {
    /// The key of the repository that has this id, unless it was deleted.
    pub fn repository(&self, id: &str) -> Option<&Arc<str>> {
        self.repositories.get(id)
    }

    /// How many repositories an account has.
    pub fn repositories(&self, account: &str) -> usize {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    /// How many images a repository has.
    pub fn images(&self, repository: &str) -> usize {
        self.images.get(repository).copied().unwrap_or(0)
    }

    /// Names of the tags that lead to the image with this key.
    pub fn tags<'a>(&'a self, image: &str) -> impl ExactSizeIterator<Item = &'a String> + use<'a> {
        set(&self.tags, image)
    }

    /// Digests of the images that are about the one with this key, in their order, from behind `after` on.
    pub fn referrers<'a>(&'a self, image: &str, after: &str) -> impl Iterator<Item = &'a String> + use<'a> {
        let rest = (Bound::Excluded(after), Bound::Unbounded);
        self.referrers.get(image).map(|all| all.range::<str, _>(rest)).into_iter().flatten()
    }

    /// How many images of its repository have the layer with this key.
    pub fn uses(&self, layer: &str) -> usize {
        self.uses.get(layer).copied().unwrap_or(0)
    }

    /// How many indexes of its repository list the image with this key.
    pub fn listings(&self, image: &str) -> usize {
        self.listings.get(image).copied().unwrap_or(0)
    }

    /// Digests of the indexes that lack the image with this key.
    pub fn waiting<'a>(&'a self, image: &str) -> impl ExactSizeIterator<Item = &'a String> + use<'a> {
        set(&self.waiting, image)
    }

    /// Keys of layers that no image names, those first that were pushed first.
    pub fn loose(&self) -> impl Iterator<Item = (Timestamp, &Arc<str>)> {
        self.loose.iter().map(|(at, key)| (*at, key))
    }

    /// How many layers of a repository no image names.
    pub fn loose_in(&self, repository: &str) -> usize {
        self.loose_in.get(repository).copied().unwrap_or(0)
    }

    /// How many contents the images of a repository name; one that two name counts twice.
    pub fn references(&self, repository: &str) -> usize {
        self.references.get(repository).copied().unwrap_or(0)
    }

    /// Whether any repository has the bytes that are called so ([`bytes_key`]), or had them and is not cleared away.
    pub fn is_held(&self, bytes: &str) -> bool {
        self.holders.contains_key(bytes)
    }

    /// Ids of repositories that were deleted and of which something is left.
    pub fn ruins(&self) -> impl Iterator<Item = &String> {
        self.contents.keys().filter(|id| !self.repositories.contains_key(*id))
    }

    pub(crate) fn replace_repository(&mut self, key: &Arc<str>, old: Option<&Repository>, new: Option<&Repository>) {
        if let Some(new) = new {
            count(&mut self.accounts, &new.account, true);
            self.repositories.insert(new.id.clone(), key.clone());
        }
        let Some(old) = old else { return };
        count(&mut self.accounts, &old.account, false);
        if new.is_none_or(|new| new.id != old.id) {
            self.repositories.remove(&old.id);
        }
    }

    pub(crate) fn replace_image(
        &mut self,
        key: &Arc<str>,
        old: Option<&Image>,
        new: Option<&Image>,
        pushed: impl Fn(&str) -> Option<Timestamp>,
    ) {
        // What goes first: a set that both are in must have the new one at the end.
        old.into_iter().for_each(|old| self.change_image(key, old, false, &pushed));
        new.into_iter().for_each(|new| self.change_image(key, new, true, &pushed));
    }

    fn change_image(&mut self, key: &str, image: &Image, come: bool, pushed: &impl Fn(&str) -> Option<Timestamp>) {
        debug_assert_eq!(key, image.key());
        count(&mut self.images, &image.repository, come);
        count(&mut self.contents, &image.repository, come);
        count(&mut self.holders, &bytes_key(&image.repository, &image.digest), come);
        count_many(&mut self.references, &image.repository, image.parts().count(), come);
        if let Some(subject) = &image.subject {
            include(&mut self.referrers, content_key(&image.repository, subject), &image.digest, come);
        }
        for listed in &image.images {
            count(&mut self.listings, &content_key(&image.repository, listed), come);
        }
        for absent in &image.absent {
            include(&mut self.waiting, content_key(&image.repository, absent), &image.digest, come);
        }
        for layer in &image.layers {
            let layer = content_key(&image.repository, layer);
            count(&mut self.uses, &layer, come);
            let Some(at) = pushed(&layer) else { continue };
            self.hang(at, layer.as_str().into());
        }
    }

    pub(crate) fn replace_tag(&mut self, old: Option<&ImageTag>, new: Option<&ImageTag>) {
        for (tag, come) in [(old, false), (new, true)] {
            let Some(tag) = tag else { continue };
            include(&mut self.tags, content_key(&tag.repository, &tag.digest), &tag.tag, come);
            count(&mut self.contents, &tag.repository, come);
        }
    }

    pub(crate) fn replace_layer(&mut self, key: &Arc<str>, old: Option<&Layer>, new: Option<&Layer>) {
        if let Some(old) = old {
            self.unhang(&(old.pushed_at, key.clone()));
        }
        for (layer, come) in [(new, true), (old, false)] {
            let Some(layer) = layer else { continue };
            count(&mut self.holders, &bytes_key(&layer.repository, &layer.digest), come);
            count(&mut self.contents, &layer.repository, come);
        }
        if let Some(new) = new {
            self.hang(new.pushed_at, key.clone());
        }
    }

    /// Bytes that are held by something else than an image or a layer: what scans found.
    pub(crate) fn hold(&mut self, bytes: &str, come: bool) {
        count(&mut self.holders, bytes, come);
    }

    /// A layer that is there is loose if no image names it.
    fn hang(&mut self, pushed_at: Timestamp, key: Arc<str>) {
        let entry = (pushed_at, key);
        if self.uses(&entry.1) > 0 {
            return self.unhang(&entry);
        }
        let repository = repository_of(&entry.1).to_owned();
        if self.loose.insert(entry) {
            count(&mut self.loose_in, &repository, true);
        }
    }

    fn unhang(&mut self, entry: &(Timestamp, Arc<str>)) {
        if self.loose.remove(entry) {
            count(&mut self.loose_in, repository_of(&entry.1), false);
        }
    }
}

/// The repository's id in the key of a content.
fn repository_of(content: &str) -> &str {
    content.split_once('@').map_or(content, |(repository, _)| repository)
}

fn set<'a>(sets: &'a Sets, key: &str) -> impl ExactSizeIterator<Item = &'a String> + use<'a> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    sets.get(key).unwrap_or(&NONE).iter()
}

/// One more, or one less.
fn count(counts: &mut HashMap<String, usize>, key: &str, more: bool) {
    count_many(counts, key, 1, more);
}

fn count_many(counts: &mut HashMap<String, usize>, key: &str, many: usize, more: bool) {
    let before = counts.get(key).copied().unwrap_or(0);
    match if more { before.saturating_add(many) } else { before.saturating_sub(many) } {
        0 => drop(counts.remove(key)),
        now => match counts.get_mut(key) {
            Some(count) => *count = now,
            None => drop(counts.insert(key.to_owned(), now)),
        },
    }
}

fn include(sets: &mut Sets, key: String, member: &str, within: bool) {
    if within {
        sets.entry(key).or_default().insert(member.to_owned());
        return;
    }
    let Some(set) = sets.get_mut(&key) else { return };
    set.remove(member);
    if set.is_empty() {
        sets.remove(&key);
    }
}
