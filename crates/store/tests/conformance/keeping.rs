//! Back ends keep what is committed, and nothing else.

use longshore_model::Change;
use longshore_model::cluster::Cluster;
use longshore_store::{Backend, Claim, Error, Group};

use crate::fixture::{Fixture, commit, delete, loaded, put};

pub fn a_fresh_back_end_is_empty<F: Fixture>() {
    let (revision, records) = loaded(&mut F::new().open());
    assert_eq!((revision, records.len()), (0, 0));
}

pub fn what_is_committed_is_there_after_opening_again<F: Fixture>() {
    let fixture = F::new();
    let mut backend = fixture.open();
    let epoch = backend.claim(&Claim::of("a")).unwrap();
    let cluster = Cluster { account: "000000000000".into(), name: "blue".into(), api: Default::default() };
    let group = [commit(1, vec![put("a", 1), put("b", 1)]), commit(2, vec![put("a", 2), delete("b"), delete("none")])];
    backend.commit(&Group { epoch, after: 0, commits: &group }).unwrap();
    let group = [commit(7, vec![Change::from(cluster), put("c", 3)])];
    backend.commit(&Group { epoch, after: 2, commits: &group }).unwrap();
    drop(backend);
    let (revision, records) = loaded(&mut fixture.open());
    assert_eq!(revision, 7);
    let keys: Vec<&str> = records.keys().map(String::as_str).collect();
    assert_eq!(keys, ["Cluster 000000000000/blue", "Setting 000000000000/a/", "Setting 000000000000/c/"]);
    assert!(records["Setting 000000000000/a/"].contains("\"2\""));
}

pub fn a_commit_that_follows_another_revision_changes_nothing<F: Fixture>() {
    let fixture = F::new();
    let mut backend = fixture.open();
    let epoch = backend.claim(&Claim::of("a")).unwrap();
    backend.commit(&Group { epoch, after: 0, commits: &[commit(3, vec![put("a", 3)])] }).unwrap();
    let before = loaded(&mut backend);
    for after in [0, 2, 4] {
        let refused = backend.commit(&Group { epoch, after, commits: &[commit(5, vec![put("a", 5)])] });
        assert!(matches!(refused, Err(Error::Moved { expected, stored: 3 }) if expected == after), "{refused:?}");
        assert_eq!(loaded(&mut fixture.open()), before);
    }
    backend.commit(&Group { epoch, after: 3, commits: &[commit(5, vec![put("a", 5)])] }).unwrap();
    assert_eq!(loaded(&mut fixture.open()).0, 5);
}

pub fn an_empty_group_changes_nothing<F: Fixture>() {
    let fixture = F::new();
    let mut backend = fixture.open();
    let epoch = backend.claim(&Claim::of("a")).unwrap();
    backend.commit(&Group { epoch, after: 0, commits: &[commit(1, vec![put("a", 1)])] }).unwrap();
    let before = loaded(&mut backend);
    backend.commit(&Group { epoch, after: 1, commits: &[] }).unwrap();
    assert_eq!(loaded(&mut fixture.open()), before);
    let refused = backend.commit(&Group { epoch, after: 0, commits: &[] });
    assert!(matches!(refused, Err(Error::Moved { .. })), "{refused:?}");
}
