//! SQLite on a simulated disk: the power goes, a sync fails, the disk fills up, at any moment. Whatever was acknowledged is
//! found again, and nothing half.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_disk::Disk;
use longshore_model::setting::Setting;
use longshore_model::{Change, State, TableName};
use longshore_store::{Backend, Claim, Closed, Commit, Error, Full, Group, Revision, Sqlite, Step, Store, Tuning};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Pages in the log before it is copied: few, so that short runs copy often.
const CHECKPOINT: u32 = 8;

/// Images looked at after each run.
const IMAGES: usize = 6;

type Records = BTreeMap<String, String>;

fn open(disk: &Disk) -> Result<Sqlite, Error> {
    Sqlite::open_with(&disk.path("state.db"), Tuning { shared: false, checkpoint: CHECKPOINT })
}

fn key(name: u8) -> String {
    format!("000000000000/{name}/")
}

/// One change: a record of some size, or none.
#[derive(Clone, Debug)]
struct Edit {
    name: u8,
    length: Option<u16>,
}

impl Edit {
    fn change(&self, salt: usize) -> Change {
        let Some(length) = self.length else { return Change::Delete(TableName::Setting, key(self.name)) };
        let value = format!("{salt} ").repeat(usize::from(length) / 4 + 1);
        let (account, principal) = ("000000000000".to_owned(), String::new());
        Setting { account, principal, name: self.name.to_string(), value }.into()
    }
}

/// Groups of commits of edits.
type Work = Vec<Vec<Vec<Edit>>>;

fn work() -> impl Strategy<Value = Work> {
    let length = prop_oneof![3 => (1..600_u16).prop_map(Some), 2 => (1..20_000_u16).prop_map(Some), 1 => Just(None)];
    let edit = (0..6_u8, length).prop_map(|(name, length)| Edit { name, length });
    let commit = prop::collection::vec(edit, 1..4);
    prop::collection::vec(prop::collection::vec(commit, 1..4), 1..12)
}

fn records(state: &State) -> Records {
    state.settings.iter().map(|(key, row)| (key.to_string(), row.value.clone())).collect()
}

fn load(sqlite: &mut Sqlite) -> Result<(Revision, Records), Error> {
    let mut state = State::default();
    let revision = sqlite.load(&mut |record| state.apply(&Change::Put(record)))?;
    Ok((revision, records(&state)))
}

/// What a run left behind.
struct Run {
    /// What is held at each revision that was tried.
    models: Vec<Records>,
    acknowledged: Revision,
    /// How it ended, if not well.
    error: Option<Error>,
}

/// Write until all is written, or the disk fails.
fn write(disk: &Disk, work: &Work) -> Run {
    let mut run = Run { models: vec![Records::default()], acknowledged: 0, error: None };
    run.error = write_on(disk, work, &mut run).err();
    run
}

fn write_on(disk: &Disk, work: &Work, run: &mut Run) -> Result<(), Error> {
    let mut sqlite = open(disk)?;
    let epoch = sqlite.claim(&Claim::of("test"))?;
    let mut state = State::default();
    for commits in work {
        let after = run.acknowledged;
        let group: Vec<Arc<Commit>> = commits
            .iter()
            .map(|edits| {
                let revision = run.models.len() as Revision;
                let changes: Vec<Change> = edits.iter().map(|edit| edit.change(run.models.len())).collect();
                changes.iter().for_each(|change| state.apply(change));
                run.models.push(records(&state));
                Arc::new(Commit { revision, changes })
            })
            .collect();
        let group = Group { epoch, after, commits: &group };
        sqlite.commit(&group)?;
        run.acknowledged = group.last();
    }
    Ok(())
}

fn queue(store: &Store, decided: Vec<Change>) -> Result<Revision, Full> {
    let queued = store.transact(|_, changes| {
        *changes = decided;
        Ok::<(), Full>(())
    });
    queued.map(|((), revision)| revision)
}

/// Every image of the disk holds what was acknowledged, and whole groups only, and can be written on.
fn check(disk: &Disk, run: &Run, seed: u64) -> Result<(), TestCaseError> {
    let mut seed = seed;
    let mut dice = |sides: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % sides
    };
    for _ in 0..IMAGES {
        let image = disk.crash(&mut dice);
        let mut sqlite = open(&image).map_err(|error| TestCaseError::fail(format!("does not open: {error}")))?;
        let (revision, records) = load(&mut sqlite).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let tried = run.models.len() as Revision - 1;
        prop_assert!(
            revision == run.acknowledged || revision == tried,
            "revision {revision} is found; {} is acknowledged, {tried} was tried",
            run.acknowledged
        );
        prop_assert!(records == run.models[revision as usize], "the records are not those of revision {revision}");
        let epoch = sqlite.claim(&Claim::of("next")).unwrap();
        let next =
            Arc::new(Commit { revision: revision + 1, changes: vec![Edit { name: 9, length: Some(9) }.change(0)] });
        sqlite.commit(&Group { epoch, after: revision, commits: &[next] }).unwrap();
        prop_assert_eq!(load(&mut sqlite).unwrap().0, revision + 1);
    }
    Ok(())
}

fn run<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    runner.run(&strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    run(400, (work(), 0..1000_u64, any::<u64>()), |(work, moment, seed)| {
        let rehearsal = Disk::default();
        assert!(write(&rehearsal, &work).error.is_none());
        let disk = Disk::default();
        disk.power_off_after(moment % rehearsal.counts().0);
        let run = write(&disk, &work);
        prop_assert!(!matches!(run.error, Some(Error::Full)), "a disk without power is not full");
        check(&disk, &run, seed)
    });
}

#[test]
fn a_failed_sync_ends_the_writing_and_loses_nothing_acknowledged() {
    run(400, (work(), 0..1000_u64, any::<u64>()), |(work, moment, seed)| {
        let rehearsal = Disk::default();
        write(&rehearsal, &work);
        let disk = Disk::default();
        disk.fail_sync_after(moment % rehearsal.counts().1);
        let run = write(&disk, &work);
        prop_assert!(!matches!(run.error, Some(Error::Full)), "a failed sync is not a full disk");
        check(&disk, &run, seed)
    });
}

#[test]
fn a_store_whose_sync_failed_acknowledges_nothing_more() {
    let mut fatal = 0;
    for syncs in 0..60 {
        let disk = Disk::default();
        let (store, mut writer) = Store::open_manual(open(&disk).unwrap(), &Claim::of("test")).unwrap();
        disk.fail_sync_after(syncs);
        for round in 0..20 {
            let edit = Edit { name: 1, length: Some(3000) };
            let revision = queue(&store, vec![edit.change(round)]).unwrap();
            if writer.step() != Err(Closed) {
                assert!(store.is_durable(revision));
                continue;
            }
            fatal += 1;
            assert!(!store.is_durable(revision));
            let later = queue(&store, vec![edit.change(99)]).unwrap();
            assert_eq!(writer.step(), Err(Closed), "nothing is tried again");
            assert!(!store.is_durable(later));
            break;
        }
    }
    assert!(fatal > 10, "only {fatal} syncs failed where it is seen");
}

#[test]
fn a_disk_that_fills_up_refuses_whole_groups_recovers_and_loses_nothing() {
    run(300, (work(), 0..400_usize, any::<u64>()), |(work, room, seed)| {
        let disk = Disk::default();
        let (store, mut writer) = Store::open_manual(open(&disk).unwrap(), &Claim::of("test")).unwrap();
        disk.set_capacity(Some(disk.used() + room * 512));
        let mut kept = records(&store.read());
        for (round, edits) in work.iter().flatten().enumerate() {
            let decided = queue(&store, edits.iter().map(|edit| edit.change(round)).collect());
            let step = writer.step().unwrap();
            let taken = decided.is_ok_and(|revision| store.is_durable(revision));
            prop_assert_eq!(taken, matches!(step, Step::Committed(_)));
            if taken {
                kept = records(&store.read());
            }
            prop_assert!(records(&store.read()) == kept, "reads show what is durable");
        }
        let full = store.is_full();
        disk.set_capacity(None);
        prop_assert_eq!(writer.step().unwrap(), if full { Step::Recovered } else { Step::Idle });
        let revision = queue(&store, vec![Edit { name: 1, length: Some(1) }.change(1)]).unwrap();
        writer.step().unwrap();
        prop_assert!(store.is_durable(revision));
        let last = records(&store.read());
        let mut seed = seed;
        let image = disk.crash(&mut |sides| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % sides
        });
        prop_assert!(load(&mut open(&image).unwrap()).unwrap().1 == last);
        Ok(())
    });
}
