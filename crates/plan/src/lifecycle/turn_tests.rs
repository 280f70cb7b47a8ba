use longshore_model::registry::{ImageTag, Layer, tag_key};
use longshore_model::{Change, TableName};

use crate::MAX_CHANGES;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn repository(policy: Option<&str>) -> Change {
    Repository {
        lifecycle: policy.map(|text| Lifecycle { text: text.to_owned(), set_at: at(0), evaluated_at: None }),
        ..Repository::new("123456789012", "web", "r1", at(0))
    }
    .into()
}

fn image(digest: &str, pushed_at: i64, images: &[&str]) -> Change {
    let images = images.iter().map(|digest| (*digest).to_owned()).collect();
    Image { repository: "r1".to_owned(), images, ..super::tests::image(digest, pushed_at) }.into()
}

/// An image that is about another: a signature, say.
fn about(digest: &str, pushed_at: i64, subject: &str) -> Change {
    let subject = Some(subject.to_owned());
    Image { repository: "r1".to_owned(), subject, ..super::tests::image(digest, pushed_at) }.into()
}

fn pull(state: &mut State, digest: &str, now: i64) {
    let pulled = Image::clone(state.image("r1", digest).unwrap());
    state.apply(&Image { pulled_at: Some(at(now)), ..pulled }.into());
}

fn tag(tag: &str, digest: &str) -> Change {
    let (repository, digest) = ("r1".to_owned(), digest.to_owned());
    ImageTag { repository, tag: tag.to_owned(), digest, moved_at: at(0), looked_at: None }.into()
}

fn state(changes: impl IntoIterator<Item = Change>) -> State {
    let mut state = State::default();
    changes.into_iter().for_each(|change| state.apply(&change));
    state
}

fn errand(state: &State, now: i64) -> Option<Errand> {
    let repository = due(state, at(now)).into_iter().next()?;
    let picture = Picture::of(state, &repository.id);
    Some(Errand::new(repository, picture, at(now)))
}

/// One turn, whose plan is committed.
fn step(errand: &mut Errand, state: &mut State, now: i64) {
    let plan = errand.turn(state, at(now));
    assert!(plan.changes.len() <= MAX_CHANGES);
    assert!(errand.is_over() || !plan.changes.is_empty(), "a turn for nothing");
    plan.changes.iter().for_each(|change| state.apply(change));
    let found = crate::check::state(state);
    assert!(found.is_empty(), "{found:?}");
}

/// Turns until there is nothing more to do at that time. Returns how many there were.
fn run(state: &mut State, now: i64) -> usize {
    let mut turns = 0;
    while let Some(mut errand) = errand(state, now) {
        while !errand.is_over() {
            step(&mut errand, state, now);
            turns += 1;
            assert!(turns < 100, "a hundred turns and no end");
        }
    }
    turns
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
    assert_eq!(run(&mut state, 9 + AGAIN_MILLIS / 1000), 0);
    run(&mut state, 10 + AGAIN_MILLIS / 1000);
    assert_eq!(digests(&state), ["newer"]);
}

#[test]
fn the_policy_that_is_due_longest_comes_first() {
    let again = AGAIN_MILLIS / 1000;
    let rows = [("a", 700, None), ("b", 0, Some(150)), ("c", 100, Some(50)), ("d", 0, Some(151)), ("e", 0, None)];
    let row = |(name, set, evaluated): (&str, i64, Option<i64>)| {
        let text = KEEP_ONE.to_owned();
        let lifecycle = Some(Lifecycle { text, set_at: at(set), evaluated_at: evaluated.map(at) });
        Repository { lifecycle, ..Repository::new("123456789012", name, name, at(0)) }.into()
    };
    let state = state(rows.map(row).into_iter().chain([repository(None)]));
    let due = |now: i64| due(&state, at(now)).into_iter().map(|repository| repository.name.clone()).collect::<String>();
    assert_eq!([due(0), due(99), due(100)], ["e", "e", "ec"]);
    assert_eq!([due(150 + again), due(151 + again)], ["ecab", "ecabd"]);
}

/// The bytes of a manifest may be pushed as a layer as well.
#[test]
fn an_image_whose_digest_is_a_layers_goes_all_the_same() {
    let new = Image { repository: "r1".to_owned(), layers: vec!["old".to_owned()], ..super::tests::image("new", 2) };
    let layer = Layer { repository: "r1".to_owned(), digest: "old".to_owned(), size: 1, pushed_at: at(0) };
    let mut state = state([repository(Some(KEEP_ONE)), layer.into(), image("old", 1, &[]), new.into()]);
    run(&mut state, 10);
    assert_eq!(digests(&state), ["new"]);
}

#[test]
fn a_policy_that_selects_everything_keeps_what_it_counts_and_no_more() {
    let rows = (0..500).map(|number| image(&format!("m{number:03}"), number, &[]));
    let mut state = state([repository(Some(KEEP_ONE))].into_iter().chain(rows));
    run(&mut state, 1000);
    assert_eq!(digests(&state), ["m499"]);
}

#[test]
fn indexes_go_before_what_they_list_in_as_few_turns_as_there_is_room_for() {
    let pair = |number: i64| {
        let (child, index) = (format!("c{number:03}"), format!("i{number:03}"));
        [image(&child, 2 * number, &[]), image(&index, 2 * number + 1, &[&child])]
    };
    let mut state = state([repository(Some(KEEP_ONE))].into_iter().chain((0..100).flat_map(pair)));
    assert_eq!(run(&mut state, 1000), 2);
    assert_eq!(digests(&state), ["c099", "i099"]);
}

/// Of an image that came from an upstream, what it lists comes when it is asked for.
#[test]
fn an_index_goes_before_what_it_lists_also_where_that_came_later() {
    let rows = [
        repository(Some(KEEP_ONE)),
        image("outer", 1, &["inner", "child"]),
        image("inner", 2, &["child"]),
        image("child", 3, &[]),
        image("new", 4, &[]),
    ];
    let mut state = state(rows);
    assert_eq!(run(&mut state, 10), 1);
    assert_eq!(digests(&state), ["new"]);
}

#[test]
fn what_is_about_an_image_goes_behind_it() {
    let signatures = (0..200).map(|number| about(&format!("s{number:03}"), 5 + number, "old"));
    let rows = [repository(Some(KEEP_ONE)), image("old", 1, &[]), about("attested", 2, "s000"), image("new", 900, &[])];
    let mut state = state(rows.into_iter().chain(signatures));
    let mut errand = errand(&state, 1000).unwrap();
    step(&mut errand, &mut state, 1000);
    assert!(!errand.is_over() && state.image("r1", "old").is_none());
    step(&mut errand, &mut state, 1000);
    assert_eq!((errand.is_over(), digests(&state)), (true, vec!["new"]));
}

#[test]
fn what_is_about_an_image_stays_if_that_stays_after_all() {
    let rows = ["pulled", "tagged", "pushed"].map(|digest| image(digest, 1, &[]));
    let signatures = ["pulled", "tagged", "pushed"].map(|digest| about(&format!("s-{digest}"), 5, digest));
    let more = [repository(Some(KEEP_ONE)), about("attested", 6, "s-pulled"), image("new", 9, &[])];
    let mut state = state(more.into_iter().chain(rows).chain(signatures));
    let mut errand = errand(&state, 10).unwrap();
    pull(&mut state, "pulled", 10);
    state.apply(&tag("t", "tagged"));
    state.apply(&image("pushed", 10, &[]));
    step(&mut errand, &mut state, 11);
    assert!(errand.is_over());
    let wanted = ["attested", "new", "pulled", "pushed", "s-pulled", "s-pushed", "s-tagged", "tagged"];
    assert_eq!(digests(&state), wanted);
}

/// An image with more tags than go in one turn, one turn after `before`; and what is left in the end if `after` comes then.
fn check_many_tags(before: impl Fn(&mut State), after: impl Fn(&mut State), wanted: &[&str], tags: usize) {
    let many = (0..300).map(|number| tag(&format!("t{number:03}"), "old"));
    let rows = [repository(Some(KEEP_ONE)), image("old", 1, &[]), image("other", 2, &[]), image("new", 9, &[])];
    let mut state = state(rows.into_iter().chain(many));
    let mut errand = errand(&state, 10).unwrap();
    before(&mut state);
    step(&mut errand, &mut state, 10);
    after(&mut state);
    while !errand.is_over() {
        step(&mut errand, &mut state, 11);
    }
    assert_eq!((digests(&state).as_slice(), state.image_tags.iter().count()), (wanted, tags));
}

#[test]
fn an_image_of_many_tags_goes_to_the_end_unless_somebody_needs_it_by_then() {
    let nothing = |_: &mut State| ();
    let pulled = |state: &mut State| {
        if state.image("r1", "old").is_some() {
            pull(state, "old", 10);
        }
    };
    check_many_tags(nothing, nothing, &["new"], 0);
    check_many_tags(pulled, nothing, &["new", "old"], 300);
    check_many_tags(nothing, pulled, &["new"], 0);
    check_many_tags(nothing, |state| state.apply(&tag("u", "old")), &["new", "old"], 174);
    check_many_tags(nothing, |state| state.apply(&tag("t000", "new")), &["new"], 1);
    check_many_tags(nothing, |state| state.apply(&repository(None)), &["new", "other"], 0);
    // An index that lists it by now cannot be without it.
    check_many_tags(nothing, |state| state.apply(&image("new", 9, &["old"])), &["new", "old"], 173);
}

#[test]
fn what_changed_since_a_policy_was_evaluated_stays() {
    let old = |digest: &str| image(digest, 1, &[]);
    let rows = ["listed", "pulled", "tagged", "untagged", "left"].map(old);
    let mut state =
        state([repository(Some(KEEP_ONE)), image("new", 9, &[]), tag("t", "untagged")].into_iter().chain(rows));
    let mut errand = errand(&state, 10).unwrap();
    pull(&mut state, "pulled", 10);
    state.apply(&tag("u", "tagged"));
    state.apply(&Change::Delete(TableName::ImageTag, tag_key("r1", "t")));
    state.apply(&image("index", 10, &["listed"]));
    step(&mut errand, &mut state, 11);
    assert!(errand.is_over());
    assert_eq!(digests(&state), ["index", "listed", "new", "pulled", "tagged", "untagged"]);
}

#[test]
fn a_policy_that_was_replaced_or_taken_away_lets_nothing_more_go() {
    let rows = || [repository(Some(KEEP_ONE)), image("old", 1, &[]), image("new", 2, &[])];
    for now in [repository(None), repository(Some("{}"))] {
        let mut state = state(rows());
        let mut errand = errand(&state, 10).unwrap();
        state.apply(&now);
        step(&mut errand, &mut state, 10);
        assert!(errand.is_over());
        assert_eq!(digests(&state), ["new", "old"]);
    }
}
