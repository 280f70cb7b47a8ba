use std::collections::BTreeMap;

use longshore_api::ecr as api;
use longshore_model::registry::ImageTag;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn repository(policy: Option<&str>) -> Change {
    Repository {
        account: "123456789012".to_owned(),
        name: "web".to_owned(),
        id: "r1".to_owned(),
        created_at: at(0),
        mutability: api::ImageTagMutability::Mutable,
        exclusions: Vec::new(),
        scan_on_push: false,
        encryption: api::EncryptionType::Aes256,
        kms_key: None,
        data_key: None,
        policy: None,
        lifecycle: policy.map(|text| Lifecycle { text: text.to_owned(), set_at: at(0), evaluated_at: None }),
        tags: BTreeMap::new(),
    }
    .into()
}

fn image(digest: &str, pushed_at: i64, images: &[&str]) -> Change {
    let images = images.iter().map(|digest| (*digest).to_owned()).collect();
    Image { repository: "r1".to_owned(), images, ..super::tests::image(digest, pushed_at) }.into()
}

fn tag(tag: &str, digest: &str) -> Change {
    let (repository, digest) = ("r1".to_owned(), digest.to_owned());
    ImageTag { repository, tag: tag.to_owned(), digest, moved_at: at(0) }.into()
}

fn state(changes: impl IntoIterator<Item = Change>) -> State {
    let mut state = State::default();
    changes.into_iter().for_each(|change| state.apply(&change));
    state
}

/// Turns until there is nothing more to do at that time. Returns how many there were.
fn run(state: &mut State, now: i64) -> usize {
    for turns in 0..100 {
        let plan = turn(state, at(now));
        assert!(plan.changes.len() <= MAX_CHANGES);
        if plan.changes.is_empty() {
            assert!(plan.not_before.is_none_or(|wake| wake > at(now)), "nothing to do, and yet a wish to be woken");
            return turns;
        }
        plan.changes.iter().for_each(|change| state.apply(change));
        let found = crate::check::state(state);
        assert!(found.is_empty(), "{found:?}");
    }
    panic!("a hundred turns and no end");
}

fn digests(state: &State) -> Vec<&str> {
    state.images_of("r1").map(|image| image.digest.as_str()).collect()
}

const KEEP_ONE: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan",
    "countNumber":1},"action":{"type":"expire"}}]}"#;

#[test]
fn a_policy_lets_images_go_and_is_looked_at_again_later() {
    let many = (0..300).map(|number| tag(&format!("t{number:03}"), "old"));
    let changes = [
        repository(Some(KEEP_ONE)),
        image("old", 1, &[]),
        image("child", 2, &[]),
        image("index", 3, &["child"]),
        image("new", 4, &[]),
    ];
    let mut state = state(changes.into_iter().chain(many));
    let turns = run(&mut state, 10);
    assert!(turns >= 3, "{turns}");
    assert_eq!(digests(&state), ["new"]);
    assert_eq!(state.image_tags.iter().count(), 0);
    let evaluated = |state: &State| state.repository_of("r1").unwrap().lifecycle.clone().unwrap().evaluated_at;
    assert_eq!(evaluated(&state), Some(at(10)));
    state.apply(&image("newer", 11, &[]));
    assert_eq!(turn(&state, at(12)).not_before, Some(at(10 + AGAIN_MILLIS / 1000)));
    run(&mut state, 10 + AGAIN_MILLIS / 1000);
    assert_eq!(digests(&state), ["newer"]);
}

#[test]
fn a_policy_that_selects_everything_keeps_what_it_counts_and_no_more() {
    let rows = (0..500).map(|number| image(&format!("m{number:03}"), number, &[]));
    let mut state = state([repository(Some(KEEP_ONE))].into_iter().chain(rows));
    run(&mut state, 1000);
    assert_eq!(digests(&state), ["m499"]);
}
