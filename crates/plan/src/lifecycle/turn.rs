//! One turn of an errand: which of the images that were to go still may, and what goes in one transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use longshore_model::registry::{Image, tag_key};
use longshore_model::{Change, State, TableName};

use crate::{MAX_CHANGES, Plan};

/// An image that is to go.
pub(super) struct Going {
    pub image: Arc<Image>,
    /// The tags that it had when it was chosen, in their order.
    pub tags: Vec<String>,
    /// Whether it has lost some of them.
    pub is_begun: bool,
}

impl Going {
    fn had(&self, tag: &String) -> bool {
        self.tags.binary_search(tag).is_ok()
    }
}

/// What goes in one turn. A change is left for a note.
#[derive(Default)]
pub(super) struct Turn {
    pub plan: Plan,
    gone: HashSet<String>,
    /// How many of the indexes that list an image have gone.
    unlisted: HashMap<String, usize>,
}

impl Turn {
    /// Lets an image go with its tags, if it still may; else it stays. What there was not the room for is given back. Only of an
    /// image whose tags are more than a transaction takes do some go before the others; if the errand is cut short just then, by
    /// the end of the process say, it is without these.
    pub fn take(&mut self, state: &State, one: Going) -> Option<Going> {
        let now = self.still_going(state, &one)?;
        let tags = state.index.registry.tags(&now.key());
        let room = MAX_CHANGES - 1 - self.plan.changes.len();
        let is_whole = tags.len() < room;
        if !is_whole && !self.plan.changes.is_empty() {
            return Some(one);
        }
        let delete = |tag: &String| Change::Delete(TableName::ImageTag, tag_key(&now.repository, tag));
        self.plan.changes.extend(tags.take(room).map(delete));
        if !is_whole {
            return Some(Going { is_begun: true, ..one });
        }
        self.plan.changes.push(Change::Delete(TableName::Image, now.key()));
        self.gone.insert(now.digest.clone());
        now.images.iter().for_each(|listed| *self.unlisted.entry(listed.clone()).or_default() += 1);
        None
    }

    /// The image as it is now, if no index lists it but those that have gone. It must be as it was. One that has lost tags already
    /// goes also if it was pulled, but not if it was tagged anew.
    fn still_going<'a>(&self, state: &'a State, one: &Going) -> Option<&'a Image> {
        let key = one.image.key();
        let now: &Image = state.images.get(&key)?;
        let unlisted = self.unlisted.get(&now.digest).copied().unwrap_or(0);
        let is_listed = state.index.registry.listings(&key) > unlisted;
        let is_meant = match one.is_begun {
            true => now.pushed_at == one.image.pushed_at && state.index.registry.tags(&key).all(|tag| one.had(tag)),
            false => self.is_as_it_was(state, now, one),
        };
        (is_meant && !is_listed).then_some(now)
    }

    /// Whether an image was not pulled nor tagged since it was chosen, and what it is about is not there, or goes as well.
    fn is_as_it_was(&self, state: &State, now: &Image, one: &Going) -> bool {
        let stays = |subject: &String| !self.gone.contains(subject) && state.image(&now.repository, subject).is_some();
        *now == *one.image
            && state.index.registry.tags(&now.key()).eq(&one.tags)
            && !now.subject.as_ref().is_some_and(stays)
    }
}
