//! What repositories lose: layers that no image has named for a day, and whatever lay in a repository that was deleted. Their
//! bytes go once nothing holds them.

use longshore_model::registry::{content_key, tag_key};
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after};

/// How long who pushed a layer, or was told that it is there, may take to push an image of it: as long as an upload may rest.
const UNNAMED_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Plan one turn: as much as one transaction takes.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for id in state.index.registry.ruins() {
        rubble(state, id, &mut plan.changes);
        if plan.changes.len() >= MAX_CHANGES {
            plan.wake(now);
            return plan;
        }
    }
    layers(state, now, &mut plan);
    plan
}

/// What is left of a repository, as far as there is room.
fn rubble(state: &State, id: &str, changes: &mut Vec<Change>) {
    let (contents, tags) = (content_key(id, ""), tag_key(id, ""));
    let tags = state.image_tags.scan(&tags).map(|(key, _)| (TableName::ImageTag, key));
    let images = state.images.scan(&contents).map(|(key, _)| (TableName::Image, key));
    let layers = state.layers.scan(&contents).map(|(key, _)| (TableName::Layer, key));
    let room = MAX_CHANGES.saturating_sub(changes.len());
    let all = tags.chain(images).chain(layers).take(room);
    changes.extend(all.map(|(table, key)| Change::Delete(table, key.to_string())));
}

fn layers(state: &State, now: Timestamp, plan: &mut Plan) {
    for (pushed_at, key) in state.index.registry.loose() {
        let end = after(pushed_at, UNNAMED_MILLIS);
        let of_ruin = || state.layers.get(key).is_none_or(|layer| state.repository_of(&layer.repository).is_none());
        if end > now {
            return plan.wake(end);
        }
        if plan.changes.len() >= MAX_CHANGES {
            return plan.wake(now);
        }
        if !of_ruin() {
            plan.changes.push(Change::Delete(TableName::Layer, key.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_model::registry::{Image, ImageTag, Layer, Repository};

    use super::*;

    const DAY: i64 = 24 * 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn repository(id: &str) -> Repository {
        Repository::new("123456789012", &format!("name-of-{id}"), id, at(0))
    }

    fn layer(repository: &str, digest: &str, pushed_at: i64) -> Layer {
        Layer { repository: repository.to_owned(), digest: digest.to_owned(), size: 1, pushed_at: at(pushed_at) }
    }

    fn image(repository: &str, digest: &str, layers: &[&str]) -> Image {
        Image {
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            ..Image::new(repository, digest, at(0))
        }
    }

    fn state(changes: Vec<Change>) -> State {
        let mut state = State::default();
        changes.iter().for_each(|change| state.apply(change));
        state
    }

    /// Keys that go in a turn, and what is left to do after all turns.
    fn turns(state: &mut State, now: i64) -> (Vec<String>, Option<Timestamp>) {
        let mut gone = Vec::new();
        loop {
            let plan = turn(state, at(now));
            assert!(plan.changes.len() <= MAX_CHANGES);
            if plan.changes.is_empty() {
                return (gone, plan.not_before);
            }
            for change in &plan.changes {
                let Change::Delete(_, key) = change else { panic!("{change:?}") };
                gone.push(key.to_string());
                state.apply(change);
            }
        }
    }

    #[test]
    fn layers_go_a_day_after_they_were_of_use() {
        let mut state = state(vec![
            repository("r").into(),
            layer("r", "used", 0).into(),
            layer("r", "old", 10).into(),
            layer("r", "new", 20).into(),
            image("r", "i", &["used"]).into(),
        ]);
        assert_eq!(turns(&mut state, DAY), (vec![], Some(at(DAY + 10))));
        assert_eq!(turns(&mut state, DAY + 10), (vec!["r@old".to_owned()], Some(at(DAY + 20))));
        assert_eq!(turns(&mut state, DAY + 20), (vec!["r@new".to_owned()], None));
        state.apply(&Change::Delete(TableName::Image, "r@i".to_owned()));
        assert_eq!(turns(&mut state, DAY + 20), (vec!["r@used".to_owned()], None));
    }

    #[test]
    fn a_deleted_repository_goes_bit_by_bit_and_no_other() {
        let mut changes = vec![repository("r").into(), repository("s").into(), layer("s", "x", 10).into()];
        for number in 0..200 {
            let digest = format!("d{number}");
            changes.push(image("r", &digest, &["x"]).into());
            changes.push(layer("r", &digest, 10).into());
            let tag =
                ImageTag { repository: "r".to_owned(), tag: digest.clone(), digest, moved_at: at(0), looked_at: None };
            changes.push(tag.into());
        }
        let mut state = state(changes);
        state.apply(&Change::Delete(TableName::Repository, repository("r").key()));
        let (gone, next) = turns(&mut state, 20);
        assert_eq!((gone.len(), next), (600, Some(at(DAY + 10))));
        assert!(gone.iter().all(|key| key.starts_with('r')));
        assert_eq!(state.index.registry.ruins().count(), 0);
    }
}
