use longshore_wire::Timestamp;

use super::*;
use crate::{Change, TableName};

const REPOSITORY: &str = "r1";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn repository() -> Repository {
    Repository::new("123456789012", "team/web", REPOSITORY, at(0))
}

fn layer(digest: &str, pushed_at: i64) -> Layer {
    Layer { repository: REPOSITORY.to_owned(), digest: digest.to_owned(), size: 10, pushed_at: at(pushed_at) }
}

fn image(digest: &str, layers: &[&str], images: &[&str], subject: Option<&str>) -> Image {
    let owned = |digests: &[&str]| digests.iter().map(|digest| (*digest).to_owned()).collect();
    Image {
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size: 20,
        subject: subject.map(str::to_owned),
        layers: owned(layers),
        images: owned(images),
        ..Image::new(REPOSITORY, digest, at(9))
    }
}

fn tag(name: &str, digest: &str) -> ImageTag {
    let (repository, tag, digest) = (REPOSITORY.to_owned(), name.to_owned(), digest.to_owned());
    ImageTag { repository, tag, digest, moved_at: at(9), looked_at: None }
}

fn state(changes: impl IntoIterator<Item = Change>) -> State {
    let mut state = State::default();
    changes.into_iter().for_each(|change| state.apply(&change));
    state
}

fn delete(state: &mut State, table: TableName, key: String) {
    state.apply(&Change::Delete(table, key));
}

fn loose(state: &State) -> Vec<&str> {
    state.index.registry.loose().map(|(_, key)| &**key).collect()
}

#[test]
fn an_arn_of_a_repository_leads_to_its_key() {
    let arn = "arn:aws:ecr:us-east-1:123456789012:repository/team/web";
    assert_eq!(key_of(arn).as_deref(), Some("123456789012/team/web"));
    assert_eq!(key_of("arn:aws:ecs:us-east-1:123456789012:repository/web"), None);
    assert_eq!(key_of("arn:aws:ecr:us-east-1:123456789012:web"), None);
    assert_eq!(key_of("arn:zz:ecr:us-east-1:123456789012:repository/team/web"), None);
}

#[test]
fn a_layer_is_loose_as_long_as_no_image_names_it() {
    let mut state = state([layer("b", 2).into(), layer("a", 3).into()]);
    assert_eq!(loose(&state), ["r1@b", "r1@a"], "those first that were pushed first");
    state.apply(&image("m1", &["a"], &[], None).into());
    state.apply(&image("m2", &["a", "b"], &[], None).into());
    assert_eq!(loose(&state), [""; 0]);
    assert_eq!(state.index.registry.uses("r1@a"), 2);
    // Put again as it was, and then otherwise.
    state.apply(&image("m2", &["a", "b"], &[], None).into());
    state.apply(&image("m2", &["b"], &[], None).into());
    assert_eq!((state.index.registry.uses("r1@a"), loose(&state)), (1, vec![]));
    delete(&mut state, TableName::Image, content_key(REPOSITORY, "m1"));
    assert_eq!(loose(&state), ["r1@a"]);
    state.apply(&layer("a", 7).into());
    assert_eq!(loose(&state), ["r1@a"]);
    delete(&mut state, TableName::Layer, content_key(REPOSITORY, "a"));
    assert_eq!(loose(&state), [""; 0]);
}

#[test]
fn loose_layers_and_references_are_counted_by_repository() {
    let other = Layer { repository: "r2".to_owned(), ..layer("a", 1) };
    let mut state = state([layer("a", 1).into(), layer("b", 2).into(), other.into()]);
    let counts = |state: &State| {
        let index = &state.index.registry;
        ["r1", "r2"].map(|id| (index.loose_in(id), index.references(id)))
    };
    assert_eq!(counts(&state), [(2, 0), (1, 0)]);
    state.apply(&image("m1", &["a"], &[], None).into());
    state.apply(&image("m2", &["a", "b"], &["m1"], None).into());
    assert_eq!(counts(&state), [(0, 4), (1, 0)]);
    state.apply(&layer("b", 9).into());
    delete(&mut state, TableName::Image, content_key(REPOSITORY, "m2"));
    assert_eq!(counts(&state), [(1, 1), (1, 0)]);
    delete(&mut state, TableName::Layer, content_key(REPOSITORY, "b"));
    assert_eq!(counts(&state), [(0, 1), (1, 0)]);
}

#[test]
fn a_layer_that_comes_after_its_image_is_not_loose() {
    let state = state([image("m1", &["a"], &[], None).into(), layer("a", 3).into()]);
    assert_eq!(loose(&state), [""; 0]);
}

#[test]
fn a_tag_leads_to_one_image_and_an_image_knows_its_tags() {
    let images = [image("m1", &[], &[], None).into(), image("m2", &[], &[], None).into()];
    let mut state = state(images);
    state.apply(&tag("latest", "m1").into());
    state.apply(&tag("v1", "m1").into());
    state.apply(&tag("latest", "m2").into());
    let tags = |state: &State, digest| -> Vec<String> {
        state.index.registry.tags(&content_key(REPOSITORY, digest)).cloned().collect()
    };
    assert_eq!((tags(&state, "m1"), tags(&state, "m2")), (vec!["v1".to_owned()], vec!["latest".to_owned()]));
    assert_eq!(state.tagged_image(REPOSITORY, "latest").map(|image| image.digest.as_str()), Some("m2"));
    assert_eq!(state.tags_of(REPOSITORY).map(|tag| tag.tag.as_str()).collect::<Vec<_>>(), ["latest", "v1"]);
    assert_eq!(state.images_of(REPOSITORY).count(), 2);
    delete(&mut state, TableName::ImageTag, tag_key(REPOSITORY, "latest"));
    assert_eq!(tags(&state, "m2"), [""; 0]);
    assert_eq!(state.tagged_image(REPOSITORY, "latest"), None);
}

#[test]
fn an_image_that_changes_is_still_about_another() {
    let about = image("s", &[], &[], Some("m"));
    let mut state = state([about.clone().into()]);
    let referrers = |state: &State| state.index.registry.referrers("r1@m", "").cloned().collect::<Vec<_>>();
    state.apply(&Image { pulled_at: Some(at(10)), ..about.clone() }.into());
    assert_eq!(referrers(&state), ["s"]);
    state.apply(&Image { subject: Some("n".to_owned()), ..about }.into());
    assert_eq!(referrers(&state), [""; 0]);
}

#[test]
fn contents_are_held_by_whatever_has_them() {
    let mut state =
        state([layer("a", 1).into(), image("a", &[], &[], None).into(), image("s", &[], &["a"], Some("a")).into()]);
    let held = |state: &State| state.index.registry.is_held("a");
    assert_eq!(state.index.registry.referrers("r1@a", "").collect::<Vec<_>>(), ["s"]);
    assert_eq!(state.index.registry.referrers("r1@a", "s").count(), 0);
    assert_eq!((state.index.registry.uses("r1@a"), state.index.registry.listings("r1@a")), (0, 1));
    delete(&mut state, TableName::Layer, content_key(REPOSITORY, "a"));
    assert!(held(&state), "an image has it");
    delete(&mut state, TableName::Image, content_key(REPOSITORY, "a"));
    assert!(!held(&state));
    delete(&mut state, TableName::Image, content_key(REPOSITORY, "s"));
    assert_eq!(state.index.registry.referrers("r1@a", "").count(), 0);
}

#[test]
fn what_is_sealed_is_held_by_its_own_repository_alone() {
    let sealed = sealed_id("1");
    let row = |repository: &str| Layer { repository: repository.to_owned(), ..layer("a", 1) };
    let mut state = state([row(REPOSITORY).into(), row(&sealed).into()]);
    let held = |state: &State, bytes: &str| state.index.registry.is_held(bytes);
    assert!(held(&state, "a") && held(&state, "k1@a"));
    delete(&mut state, TableName::Layer, content_key(REPOSITORY, "a"));
    assert!(!held(&state, "a") && held(&state, "k1@a"));
    state.apply(&Image { repository: sealed.clone(), ..image("a", &[], &[], None) }.into());
    delete(&mut state, TableName::Layer, content_key(&sealed, "a"));
    assert!(held(&state, "k1@a"), "an image is these bytes");
    delete(&mut state, TableName::Image, content_key(&sealed, "a"));
    assert!(!held(&state, "k1@a"));
    assert!(is_sealed(&sealed) && !is_sealed(REPOSITORY));
}

#[test]
fn what_was_in_a_deleted_repository_is_found_until_it_is_gone() {
    let mut state = state([repository().into(), layer("a", 1).into(), tag("t", "m").into()]);
    assert_eq!(state.repository_of(REPOSITORY).map(|row| row.name.as_str()), Some("team/web"));
    assert_eq!(state.index.registry.repositories("123456789012"), 1);
    assert_eq!(state.index.registry.ruins().count(), 0);
    delete(&mut state, TableName::Repository, repository().key());
    assert_eq!(state.index.registry.repositories("123456789012"), 0);
    assert!(state.repository_of(REPOSITORY).is_none());
    assert_eq!(state.index.registry.ruins().collect::<Vec<_>>(), [REPOSITORY]);
    delete(&mut state, TableName::Layer, content_key(REPOSITORY, "a"));
    delete(&mut state, TableName::ImageTag, tag_key(REPOSITORY, "t"));
    assert_eq!(state.index.registry.ruins().count(), 0);
    assert_eq!(state.index, crate::index::Index::default());
}
