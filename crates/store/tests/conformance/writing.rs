//! One writer at a time, and what it does with transactions.

use std::time::Duration;

use longshore_store::{Backend, Claim, Closed, Error, Full, Group, Step, Store, Unsettled};

use crate::fixture::{Fixture, commit, contents, loaded, manual, put, settled, value, write};

fn lease(holder: &str, now: i64) -> Claim {
    Claim { holder: holder.to_owned(), now, ttl: Some(Duration::from_millis(100)) }
}

pub fn whoever_opens_takes_the_next_epoch<F: Fixture>() {
    let fixture = F::new();
    for epoch in 1..4 {
        assert_eq!(fixture.open().claim(&Claim::of("a")).unwrap(), epoch);
    }
    let (_store, writer) = manual(&fixture);
    assert_eq!(writer.epoch(), 4);
}

pub fn an_older_writer_changes_nothing<F: Fixture>() {
    let fixture = F::new();
    let (mut old, mut new) = (fixture.open(), fixture.open());
    let first = old.claim(&Claim::of("a")).unwrap();
    old.commit(&Group { epoch: first, after: 0, commits: &[commit(1, vec![put("a", 1)])] }).unwrap();
    let second = new.claim(&Claim::of("b")).unwrap();
    let before = loaded(&mut new);
    let refused = old.commit(&Group { epoch: first, after: 1, commits: &[commit(2, vec![put("a", 2)])] });
    assert!(matches!(refused, Err(Error::Fenced { epoch: 1, newest: 2 })), "{refused:?}");
    assert!(matches!(old.renew(first, 1000), Err(Error::Fenced { .. })));
    assert_eq!(loaded(&mut new), before);
    new.commit(&Group { epoch: second, after: 1, commits: &[commit(2, vec![put("a", 3)])] }).unwrap();
    assert_eq!(loaded(&mut new).0, 2);
}

pub fn a_lease_keeps_others_away_until_it_ends<F: Fixture>() {
    let fixture = F::new();
    let (mut one, mut other) = (fixture.open(), fixture.open());
    let epoch = one.claim(&lease("a", 1000)).unwrap();
    let refused = other.claim(&lease("b", 1099));
    assert!(matches!(&refused, Err(Error::Held { holder, until: 1100 }) if holder == "a"), "{refused:?}");
    one.commit(&Group { epoch, after: 0, commits: &[commit(1, vec![put("a", 1)])] }).unwrap();
    assert_eq!(fixture.open().claim(&lease("a", 1050)).unwrap(), 2, "the same holder need not wait");
    assert_eq!(other.claim(&lease("b", 1150)).unwrap(), 3);
    assert_eq!(other.claim(&Claim { now: 1160, ..Claim::of("b") }).unwrap(), 4);
    assert_eq!(one.claim(&lease("a", 1161)).unwrap(), 5, "a claim without a time to live keeps nobody away");
}

pub fn a_lease_can_be_renewed_and_given_up<F: Fixture>() {
    let fixture = F::new();
    let (mut one, mut other) = (fixture.open(), fixture.open());
    let epoch = one.claim(&lease("a", 1000)).unwrap();
    one.renew(epoch, 1500).unwrap();
    assert!(matches!(other.claim(&lease("b", 1499)), Err(Error::Held { until: 1500, .. })));
    one.renew(epoch, 1200).unwrap();
    assert_eq!(other.claim(&lease("b", 1200)).unwrap(), 2);
}

pub fn a_store_that_lost_its_epoch_acknowledges_nothing<F: Fixture>() {
    let fixture = F::new();
    let (old, mut old_writer) = manual(&fixture);
    let first = write(&old, put("a", 1)).unwrap();
    old_writer.step().unwrap();
    let (new, mut new_writer) = manual(&fixture);
    assert_eq!(value(&new.read(), "a"), Some(1));
    let lost = write(&old, put("a", 2)).unwrap();
    assert_eq!(old_writer.step(), Err(Closed));
    assert_eq!(settled(&old, lost), Err(Unsettled::Closed(Closed)));
    assert_eq!(settled(&old, first), Ok(()));
    let after = write(&old, put("a", 3)).unwrap();
    assert_eq!(old_writer.step(), Err(Closed));
    assert_eq!(settled(&old, after), Err(Unsettled::Closed(Closed)));
    let kept = write(&new, put("a", 4)).unwrap();
    new_writer.step().unwrap();
    assert_eq!(settled(&new, kept), Ok(()));
    assert_eq!(value(&manual(&fixture).0.read(), "a"), Some(4));
}

pub fn a_transaction_decides_against_the_newest_state<F: Fixture>() {
    let (store, mut writer) = manual(&F::new());
    for expected in 0..5 {
        let add = |state: &longshore_model::State, changes: &mut Vec<_>| {
            let old = value(state, "a").unwrap_or(0);
            changes.push(put("a", old + 1));
            Ok::<u64, Full>(old)
        };
        assert_eq!(store.transact(add).unwrap(), (expected, expected + 1));
    }
    assert_eq!(writer.step_at_most(2), Ok(Step::Committed(2)));
    assert_eq!(writer.step(), Ok(Step::Committed(5)));
    assert_eq!(writer.step(), Ok(Step::Idle));
}

pub fn a_transaction_that_refuses_leaves_nothing_behind<F: Fixture>() {
    #[derive(Debug, PartialEq)]
    struct No;
    impl From<Full> for No {
        fn from(_: Full) -> Self {
            unreachable!("the disk is not full")
        }
    }
    let (store, mut writer) = manual(&F::new());
    write(&store, put("a", 1)).unwrap();
    let before = contents(&store.read());
    let refused = store.transact(|_, changes| {
        changes.push(put("a", 2));
        Err::<(), No>(No)
    });
    assert_eq!(refused, Err(No));
    assert_eq!(contents(&store.read()), before);
    assert_eq!(store.transact(|_, _| Ok::<(), No>(())), Ok(((), 1)), "nothing to write is no revision");
    assert_eq!(writer.step(), Ok(Step::Committed(1)));
}

pub fn nothing_is_durable_before_it_is_committed<F: Fixture>() {
    let fixture = F::new();
    let (store, mut writer) = manual(&fixture);
    let revision = write(&store, put("a", 1)).unwrap();
    assert_eq!(value(&store.read(), "a"), Some(1));
    assert!(!store.is_durable(revision));
    assert!(store.watch(0).unwrap().try_next().unwrap().is_none());
    assert_eq!(loaded(&mut fixture.open()).0, 0);
    writer.step().unwrap();
    assert!(store.is_durable(revision));
    assert_eq!(loaded(&mut fixture.open()).0, revision);
    let lost = write(&store, put("a", 2)).unwrap();
    drop(writer);
    assert_eq!(settled(&store, lost), Err(Unsettled::Closed(Closed)));
    assert_eq!(value(&manual(&fixture).0.read(), "a"), Some(1));
}

pub fn what_is_queued_is_written_when_the_store_is_dropped<F: Fixture>() {
    let fixture = F::new();
    let store = Store::open(fixture.open()).unwrap();
    for number in 1..=50 {
        write(&store, put("a", number)).unwrap();
    }
    drop(store);
    assert_eq!(value(&Store::open(fixture.open()).unwrap().read(), "a"), Some(50));
}

/// The writer's thread renews the lease of an open store, and gives it up when the store is dropped.
pub fn an_open_store_keeps_its_lease<F: Fixture>() {
    let fixture = F::new();
    // Renewed after a third of it: a slow disk has the rest.
    let ttl = Duration::from_secs(8);
    let claim = |holder: &str| Claim { holder: holder.to_owned(), now: 0, ttl: Some(ttl) };
    let store = Store::open_as(fixture.open(), &claim("a")).unwrap();
    std::thread::sleep(ttl + ttl / 8);
    let refused = Store::open_as(fixture.open(), &claim("b")).err();
    assert!(matches!(refused, Some(Error::Held { .. })), "{refused:?}");
    settled(&store, write(&store, put("a", 1)).unwrap()).unwrap();
    drop(store);
    assert_eq!(value(&Store::open_as(fixture.open(), &claim("b")).unwrap().read(), "a"), Some(1));
}
