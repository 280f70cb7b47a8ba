//! A full disk: writes are refused clearly, reads are served, and when space returns writes are taken again.

use longshore_model::State;
use longshore_store::{Claim, Error, Full, Missed, Step, Store, Unsettled};

use crate::fixture::{Fixture, contents, delete, loaded, manual, put, settled, value, write};

const REFUSED: Result<(), Unsettled> = Err(Unsettled::Full(Full));

pub fn a_full_disk_refuses_writes_serves_reads_and_recovers<F: Fixture>() {
    let fixture = F::new();
    let (store, mut writer) = manual(&fixture);
    let kept = write(&store, put("a", 1)).unwrap();
    writer.step().unwrap();
    fixture.set_full(true);
    let undone = write(&store, put("a", 2)).unwrap();
    assert_eq!(writer.step(), Ok(Step::Full));
    assert_eq!(settled(&store, kept), Ok(()));
    assert_eq!(settled(&store, undone), REFUSED);
    assert!(store.is_full());
    let revision = store.read().revision();
    assert_eq!((value(&store.read(), "a"), settled(&store, revision)), (Some(1), Ok(())), "reads are served");
    assert_eq!(write(&store, put("a", 3)), Err(Full));
    let looked = store.transact(|state, _| Ok::<_, Full>(value(state, "a"))).unwrap();
    assert_eq!((looked.0, settled(&store, looked.1)), (Some(1), Ok(())));
    assert_eq!(store.reset(|_| Vec::new()), Err(Full));
    assert_eq!(writer.step(), Ok(Step::Full));
    fixture.set_full(false);
    assert_eq!(writer.step(), Ok(Step::Recovered));
    let taken = write(&store, put("a", 4)).unwrap();
    assert!(taken > revision, "revisions are not given twice");
    assert_eq!(writer.step(), Ok(Step::Committed(taken)));
    assert_eq!(settled(&store, taken), Ok(()));
    assert_eq!(settled(&store, undone), REFUSED);
    assert_eq!(value(&manual(&fixture).0.read(), "a"), Some(4));
}

pub fn what_a_full_disk_refused_never_happened<F: Fixture>() {
    let fixture = F::new();
    let (store, mut writer) = manual(&fixture);
    for name in ["a", "b", "c"] {
        write(&store, put(name, 1)).unwrap();
    }
    writer.step().unwrap();
    let before = contents(&store.read());
    fixture.set_full(true);
    let several = |_: &State, changes: &mut Vec<_>| {
        changes.extend([put("a", 2), put("a", 3), delete("b"), put("b", 4), delete("c"), put("d", 5), delete("d")]);
        Ok::<(), Full>(())
    };
    let first = store.transact(several).unwrap().1;
    let second = store.transact(several).unwrap().1;
    write(&store, delete("a")).unwrap();
    let reset = store.reset(|_| vec![put("z", 1)]).unwrap();
    // The group is smaller than the queue: what is queued behind it goes too.
    assert_eq!(writer.step_at_most(2), Ok(Step::Full));
    assert_eq!(contents(&store.read()), before);
    for revision in [first, second, reset] {
        assert_eq!(settled(&store, revision), REFUSED);
    }
    fixture.set_full(false);
    assert_eq!(writer.step(), Ok(Step::Recovered));
    assert_eq!(writer.step(), Ok(Step::Idle));
    assert_eq!(loaded(&mut fixture.open()).1, before);
}

pub fn a_watch_over_a_full_disk_is_told_to_read_afresh<F: Fixture>() {
    let fixture = F::new();
    let (store, mut writer) = manual(&fixture);
    write(&store, put("a", 1)).unwrap();
    writer.step().unwrap();
    let mut watch = store.watch(1).unwrap();
    fixture.set_full(true);
    write(&store, put("a", 2)).unwrap();
    let (_, mut early) = store.read_and_watch();
    writer.step().unwrap();
    assert!(matches!(watch.try_next(), Err(Missed::Compacted(_))));
    assert!(matches!(early.try_next(), Err(Missed::Compacted(_))), "what it began with was undone");
    let (_, mut afresh) = store.read_and_watch();
    fixture.set_full(false);
    writer.step().unwrap();
    let taken = write(&store, put("a", 3)).unwrap();
    writer.step().unwrap();
    assert_eq!(afresh.try_next().unwrap().map(|commit| commit.revision), Some(taken));
}

pub fn a_store_with_a_thread_recovers_by_itself<F: Fixture>() {
    let fixture = F::new();
    let store = Store::open(fixture.open()).unwrap();
    settled(&store, write(&store, put("a", 1)).unwrap()).unwrap();
    fixture.set_full(true);
    // More than the queue holds: none of these may block for ever.
    let refused = (0..5000).map(|number| write(&store, put("a", number))).filter(Result::is_err).count();
    let last = store.transact(|_, _| Ok::<(), Full>(())).unwrap().1;
    let _ = settled(&store, last);
    assert!(refused > 0 || store.is_full());
    assert_eq!(value(&store.read(), "a"), Some(1));
    fixture.set_full(false);
    let taken = loop {
        match write(&store, put("a", 6000)) {
            Ok(revision) => break revision,
            Err(Full) => std::thread::yield_now(),
        }
    };
    assert_eq!(settled(&store, taken), Ok(()));
    drop(store);
    assert_eq!(value(&manual(&fixture).0.read(), "a"), Some(6000));
}

pub fn a_full_disk_is_not_opened<F: Fixture>() {
    let fixture = F::new();
    drop(manual(&fixture));
    fixture.set_full(true);
    assert!(matches!(Store::open_manual(fixture.open(), &Claim::of("test")).err(), Some(Error::Full)));
    fixture.set_full(false);
    assert_eq!(manual(&fixture).1.epoch(), 2, "an attempt that failed took no epoch");
}
