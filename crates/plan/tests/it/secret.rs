//! Secrets and keys whose deletion was scheduled, when their time has come.

use std::collections::BTreeMap;

use longshore_model::kms::{EncryptionKey, KeyAlias, KeyGrant, KeyMaterial};
use longshore_model::secret::{MOST_VERSIONS, Secret, SecretVersion};
use longshore_model::{Change, State};
use longshore_plan::{MAX_CHANGES, check, reap};
use longshore_wire::{Blob, Timestamp};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn secret(name: &str, delete_at: Option<i64>) -> Secret {
    Secret {
        account: "1".to_owned(),
        name: name.to_owned(),
        suffix: "abcdef".to_owned(),
        uid: format!("uid-{name}"),
        created_at: at(0),
        changed_at: None,
        accessed_at: None,
        description: None,
        kind: None,
        kms_key: None,
        tags: BTreeMap::new(),
        policy: None,
        stages: BTreeMap::from([("AWSCURRENT".to_owned(), "v0".to_owned())]),
        deleted_at: delete_at.map(|_| at(0)),
        delete_at: delete_at.map(at),
        rotation: None,
    }
}

/// A secret with so many versions.
fn with_versions(secret: Secret, versions: usize) -> Vec<Change> {
    let version = |number| SecretVersion {
        account: secret.account.clone(),
        secret: secret.uid.clone(),
        id: format!("v{number}"),
        created_at: at(0),
        accessed_at: None,
        kms_key: None,
        text: true,
        sealed: Blob(vec![0; 10]),
    };
    let mut changes: Vec<Change> = (0..versions).map(|number| version(number).into()).collect();
    changes.push(secret.into());
    changes
}

fn key(id: &str, delete_at: Option<i64>) -> EncryptionKey {
    let (material, sealed) = ("m".to_owned(), "s".to_owned());
    let material = KeyMaterial { number: 1, id: material, created_at: at(0), on_demand: false, sealed };
    EncryptionKey {
        account: "1".to_owned(),
        id: id.to_owned(),
        created_at: at(0),
        description: String::new(),
        disabled: false,
        delete_at: delete_at.map(at),
        policy: String::new(),
        tags: BTreeMap::new(),
        service: None,
        materials: vec![material],
        rotation_days: None,
        rotate_at: None,
    }
}

fn alias(name: &str, key: &str) -> KeyAlias {
    let (name, key) = (format!("alias/{name}"), key.to_owned());
    KeyAlias { account: "1".to_owned(), name, key, created_at: at(0), updated_at: at(0) }
}

fn grant(key: &str) -> KeyGrant {
    KeyGrant {
        account: "1".to_owned(),
        key: key.to_owned(),
        id: "g".to_owned(),
        created_at: at(0),
        name: None,
        grantee: String::new(),
        retiring: None,
        operations: Vec::new(),
        context: BTreeMap::new(),
        equals: false,
        policy: String::new(),
    }
}

/// A turn at this time; the time it asks for another.
fn turn(state: &mut State, now: i64) -> Option<i64> {
    let plan = reap::turn(state, at(now), 3600);
    assert!(plan.changes.len() <= MAX_CHANGES);
    plan.changes.iter().for_each(|change| state.apply(change));
    assert_eq!(check::state(state), []);
    plan.not_before.map(Timestamp::millis)
}

#[test]
fn a_secret_goes_with_its_versions_when_its_window_ends_and_no_other_does() {
    let mut state = State::default();
    let made = [with_versions(secret("kept", None), 2), with_versions(secret("gone", Some(7 * DAY)), 3)];
    made.iter().flatten().for_each(|change| state.apply(change));
    assert_eq!(turn(&mut state, 7 * DAY - 1), Some(7 * DAY));
    assert_eq!((state.secrets.len(), state.secret_versions.len()), (2, 5));
    turn(&mut state, 7 * DAY);
    assert_eq!((state.secrets.len(), state.secret_versions.len()), (1, 2));
    assert!(state.secrets.contains("1/kept"));
    assert_eq!(state.index.stocks.of("1").bytes, 20);
    assert_eq!(turn(&mut state, 100 * DAY), None);
}

#[test]
fn a_secret_that_was_restored_stays() {
    let mut state = State::default();
    with_versions(secret("s", Some(DAY)), 1).iter().for_each(|change| state.apply(change));
    state.apply(&secret("s", None).into());
    assert_eq!(turn(&mut state, 2 * DAY), None);
    assert_eq!(state.secrets.len(), 1);
}

#[test]
fn many_large_secrets_go_turn_by_turn() {
    let mut state = State::default();
    for number in 0..4 {
        let secret = secret(&format!("s{number}"), Some(DAY));
        with_versions(secret, MOST_VERSIONS).iter().for_each(|change| state.apply(change));
    }
    for left in (0..4).rev() {
        turn(&mut state, DAY);
        assert_eq!(state.secrets.len(), left);
    }
    assert!(state.secret_versions.is_empty());
}

#[test]
fn a_key_goes_with_its_aliases_and_grants() {
    let mut state = State::default();
    for change in [
        key("gone", Some(7 * DAY)).into(),
        key("kept", None).into(),
        alias("a", "gone").into(),
        alias("b", "gone").into(),
        alias("c", "kept").into(),
        grant("gone").into(),
        grant("kept").into(),
    ] {
        let change: Change = change;
        state.apply(&change);
    }
    assert_eq!(turn(&mut state, 0), Some(7 * DAY));
    turn(&mut state, 7 * DAY);
    assert_eq!((state.encryption_keys.len(), state.key_aliases.len()), (1, 1));
    assert!(state.key_aliases.contains("1/alias/c"));
    assert_eq!(state.key_grants.len(), 1);
}
