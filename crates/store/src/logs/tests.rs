use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

/// A directory of its own, gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("longshore-logs-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn open(&self) -> Logs {
        Logs::open(&self.0).unwrap()
    }

    /// What a crash now would leave behind.
    fn crash(&self) -> Dir {
        let image = Dir::new();
        copy(&self.0, &image.0);
        image
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn event(timestamp: i64, message: &str) -> NewEvent {
    NewEvent { timestamp, message: message.to_owned() }
}

fn make(logs: &Logs, stream: &str) {
    logs.wait(&logs.create_stream("g", stream, 1).unwrap()).unwrap();
}

fn put_as(logs: &Logs, stream: &str, events: &[NewEvent], pump: Option<&Pump>) {
    let batch = Batch { group: "g", stream, events, pump, now: 9 };
    logs.wait(&logs.put(batch).unwrap()).unwrap();
}

fn put(logs: &Logs, stream: &str, events: &[NewEvent]) {
    put_as(logs, stream, events, None);
}

fn get(logs: &Logs, stream: &str, cursor: Cursor, limit: usize) -> Page {
    logs.get("g", stream, Span::default(), cursor, limit).unwrap()
}

fn texts(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.message.as_str()).collect()
}

fn search(streams: Streams<'_>, limit: usize) -> Search<'_> {
    Search { group: "g", streams, span: Span::default(), descending: false, from: None, limit }
}

fn find_all(logs: &Logs, mut search: Search<'_>) -> Vec<String> {
    let mut messages = Vec::new();
    loop {
        let found = logs.filter(search, |_| true).unwrap();
        messages.extend(found.events.into_iter().map(|(_, event)| event.message));
        match found.next {
            Some(next) => search.from = Some(next),
            None => return messages,
        }
    }
}

fn is_no_stream<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::NoStream))
}

#[test]
fn events_come_in_order_of_time_then_of_arrival() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    put(&logs, "s", &[event(5, "c"), event(5, "d"), event(7, "f")]);
    put(&logs, "s", &[event(1, "a"), event(5, "e"), event(3, "b")]);
    let head = get(&logs, "s", Cursor::Head, 100);
    assert_eq!(texts(&head.events), ["a", "b", "c", "d", "e", "f"]);
    let tail = get(&logs, "s", Cursor::Tail, 2);
    assert_eq!(texts(&tail.events), ["e", "f"]);
    let before = get(&logs, "s", Cursor::Backward(tail.backward), 3);
    assert_eq!(texts(&before.events), ["b", "c", "d"]);
    let span = Span { start: Some(3), end: Some(7) };
    let within = logs.get("g", "s", span, Cursor::Head, 100).unwrap();
    assert_eq!(texts(&within.events), ["b", "c", "d", "e"]);
}

#[test]
fn at_either_end_the_position_stays_and_newcomers_follow_it() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    let empty = get(&logs, "s", Cursor::Tail, 10);
    assert!(empty.events.is_empty());
    put(&logs, "s", &[event(5, "a")]);
    let first = get(&logs, "s", Cursor::Forward(empty.forward), 10);
    assert_eq!(texts(&first.events), ["a"]);
    let end = get(&logs, "s", Cursor::Forward(first.forward), 10);
    assert_eq!((end.events.len(), end.forward, end.backward), (0, first.forward, first.forward));
    put(&logs, "s", &[event(5, "b")]);
    let more = get(&logs, "s", Cursor::Forward(end.forward), 10);
    assert_eq!(texts(&more.events), ["b"]);
    let back = get(&logs, "s", Cursor::Backward(more.backward), 10);
    assert_eq!(texts(&back.events), ["a"]);
    let start = get(&logs, "s", Cursor::Backward(back.backward), 10);
    assert_eq!((start.events.len(), start.backward), (0, back.backward));
}

#[test]
fn a_page_holds_no_more_than_its_bytes_but_always_one_event() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    let big = "x".repeat(PAGE_BYTES / 2 + 1);
    put(&logs, "s", &[event(1, &big), event(2, &big)]);
    let page = get(&logs, "s", Cursor::Head, 10);
    assert_eq!(page.events.len(), 1);
    let next = get(&logs, "s", Cursor::Forward(page.forward), 10);
    assert_eq!(next.events.len(), 1);
    assert_eq!(find_all(&logs, search(Streams::All, 10)).len(), 2);
}

#[test]
fn what_is_acknowledged_survives_a_crash_and_a_drop() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    for number in 0..50 {
        put(&logs, "s", &[event(number, &number.to_string())]);
    }
    let image = dir.crash();
    let after_crash = image.open();
    assert_eq!(get(&after_crash, "s", Cursor::Head, 100).events.len(), 50);
    drop(logs);
    let reopened = dir.open();
    put(&reopened, "s", &[event(49, "later")]);
    let events = get(&reopened, "s", Cursor::Head, 100).events;
    assert_eq!(events.last().unwrap().message, "later");
    assert!(events.is_sorted_by_key(|event| event.id.to_string()));
    assert_eq!(events.len(), 51);
    assert_eq!(reopened.stored_bytes("g").unwrap(), (50 * 26 + 10 + 80) + (5 + 26));
}

#[test]
fn what_was_queued_is_written_when_the_last_clone_is_dropped() {
    let dir = Dir::new();
    let logs = dir.open();
    let tickets: Vec<Ticket> =
        (0..200).map(|number| logs.create_stream("g", &number.to_string(), 1).unwrap()).collect();
    drop(logs);
    drop(tickets);
    let streams = dir.open().streams_by_name("g", "", None, false, 1000);
    assert_eq!(streams.unwrap().len(), 200);
}

#[test]
fn a_repeated_batch_is_stored_once_even_across_a_restart() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    let pump = |id: &str, sequence| Pump { id: id.to_owned(), sequence };
    put_as(&logs, "s", &[event(1, "a")], Some(&pump("p", 1)));
    put_as(&logs, "s", &[event(1, "a")], Some(&pump("p", 1)));
    put_as(&logs, "s", &[event(2, "b")], Some(&pump("q", 1)));
    put_as(&logs, "s", &[event(3, "c")], Some(&pump("p", 2)));
    drop(logs);
    let logs = dir.open();
    put_as(&logs, "s", &[event(3, "c")], Some(&pump("p", 2)));
    put_as(&logs, "s", &[event(4, "d")], Some(&pump("p", 3)));
    let page = get(&logs, "s", Cursor::Head, 100);
    assert_eq!(texts(&page.events), ["a", "b", "c", "d"]);
}

#[test]
fn writers_at_once_lose_nothing() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let logs = &logs;
            scope.spawn(move || {
                for number in 0..40 {
                    let text = format!("{writer}/{number}");
                    put(logs, "s", &[event(number, &text)]);
                }
            });
        }
    });
    assert_eq!(get(&logs, "s", Cursor::Head, 1000).events.len(), 320);
}

#[test]
fn a_stream_is_made_once_and_only_an_existing_one_is_written() {
    let dir = Dir::new();
    let logs = dir.open();
    assert!(is_no_stream(logs.delete_stream("g", "s")));
    logs.create_stream("g", "s", 1).unwrap();
    let again = logs.create_stream("g", "s", 1);
    assert!(matches!(again, Err(Error::StreamExists)));
    let batch = |stream| Batch { group: "g", stream, events: &[], pump: None, now: 1 };
    logs.put(batch("s")).unwrap();
    assert!(is_no_stream(logs.put(batch("t"))));
    assert!(is_no_stream(logs.get("g", "t", Span::default(), Cursor::Head, 1)));
    let named = ["t".to_owned()];
    assert!(is_no_stream(logs.filter(search(Streams::Named(&named), 1), |_| true)));
}

#[test]
fn a_deleted_stream_is_out_of_sight_at_once_and_purged_later() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    make(&logs, "t");
    put(&logs, "s", &[event(1, "gone"), event(3, "gone")]);
    put(&logs, "t", &[event(2, "kept")]);
    logs.wait(&logs.delete_stream("g", "s").unwrap()).unwrap();
    assert!(logs.stream("g", "s").unwrap().is_none());
    assert_eq!(find_all(&logs, search(Streams::All, 10)), ["kept"]);
    make(&logs, "s");
    assert!(get(&logs, "s", Cursor::Head, 10).events.is_empty());
    assert!(!logs.purge(10, &[]).unwrap());
    assert_eq!(logs.stored_bytes("g").unwrap(), 4 + 26);
    assert_eq!(logs.0.trees.events.len().unwrap(), 1);
    assert_eq!(logs.0.trees.index.len().unwrap(), 1);
}

#[test]
fn a_deleted_group_leaves_nothing_behind_even_when_a_crash_comes_between() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    let pump = Pump { id: "p".to_owned(), sequence: 1 };
    let many: Vec<NewEvent> = (0..2_500).map(|at| event(at, "x")).collect();
    put_as(&logs, "s", &many, Some(&pump));
    logs.wait(&logs.delete_groups(&["g".into(), "unknown".into()]).unwrap()).unwrap();
    assert_eq!(logs.groups().unwrap(), [""; 0]);
    assert!(is_no_stream(logs.create_stream("g", "new", 1)));
    assert!(logs.purge(0, &[]).unwrap());
    let logs = dir.crash();
    let logs = logs.open();
    assert!(is_no_stream(logs.create_stream("g", "new", 1)));
    while logs.purge(0, &[]).unwrap() {}
    assert_eq!(logs.0.trees.events.len().unwrap(), 0);
    assert_eq!(logs.0.trees.index.len().unwrap(), 0);
    assert_eq!(logs.0.trees.records.len().unwrap(), 1);
}

#[test]
fn retention_forgets_what_is_older_and_nothing_else() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    put(&logs, "s", &[event(0, "a"), event(DAY - 1, "b"), event(DAY, "c")]);
    let retention = [("g".to_owned(), 1), ("unknown".to_owned(), 1)];
    assert!(!logs.purge(2 * DAY, &retention).unwrap());
    assert_eq!(texts(&get(&logs, "s", Cursor::Head, 10).events), ["c"]);
    assert_eq!(logs.stored_bytes("g").unwrap(), 27);
    let stream = logs.stream("g", "s").unwrap().unwrap();
    assert_eq!(stream.first_event, Some(DAY));
}

#[test]
fn streams_are_listed_by_name_and_by_last_event_page_by_page() {
    let dir = Dir::new();
    let logs = dir.open();
    for (name, at) in [("a/2", Some(5)), ("a/1", Some(9)), ("b", None), ("c", Some(5))] {
        make(&logs, name);
        if let Some(at) = at {
            put(&logs, name, &[event(at, "x")]);
        }
    }
    let names = |streams: Vec<Stream>| {
        let names = streams.into_iter().map(|stream| stream.name);
        names.collect::<Vec<_>>()
    };
    let by_name =
        |prefix, after, descending, limit| names(logs.streams_by_name("g", prefix, after, descending, limit).unwrap());
    assert_eq!(by_name("", None, false, 10), ["a/1", "a/2", "b", "c"]);
    assert_eq!(by_name("", None, true, 2), ["c", "b"]);
    assert_eq!(by_name("", Some("b"), true, 2), ["a/2", "a/1"]);
    assert_eq!(by_name("a/", Some("a/1"), false, 9), ["a/2"]);
    assert_eq!(by_name("a/", Some("z"), false, 9), [""; 0]);
    assert_eq!(by_name("b", Some("a"), true, 9), [""; 0]);
    let by_time = |after, descending, limit| names(logs.streams_by_time("g", after, descending, limit).unwrap());
    assert_eq!(by_time(None, false, 10), ["b", "a/2", "c", "a/1"]);
    assert_eq!(by_time(None, true, 2), ["a/1", "c"]);
    assert_eq!(by_time(Some((Some(5), "c")), true, 9), ["a/2", "b"]);
    assert_eq!(by_time(Some((Some(5), "a/2")), false, 1), ["c"]);
}

#[test]
fn a_search_reads_a_bounded_number_of_events_and_goes_on() {
    let dir = Dir::new();
    let logs = dir.open();
    make(&logs, "s");
    for turn in 0..6 {
        let events: Vec<NewEvent> = (0..10_000).map(|at| event(turn, &at.to_string())).collect();
        put(&logs, "s", &events);
    }
    put(&logs, "s", &[event(7, "needle")]);
    let first = logs.filter(search(Streams::All, 10), |text| text == "needle").unwrap();
    assert!(first.events.is_empty());
    let rest = Search { from: first.next, ..search(Streams::All, 10) };
    let rest = logs.filter(rest, |text| text == "needle").unwrap();
    assert_eq!((rest.events.len(), rest.next), (1, None));
    assert_eq!(&*rest.events[0].0, "s");
}

/// Batches for three streams: which stream, and the timestamps.
fn batches() -> impl Strategy<Value = Vec<(usize, Vec<i64>)>> {
    let batch = (0usize..3, prop::collection::vec(0i64..6, 0..6));
    prop::collection::vec(batch, 0..12)
}

const NAMES: [&str; 3] = ["a/0", "a/1", "b"];

/// Store the batches and return what each stream, and then the group, holds in order.
fn fill(logs: &Logs, batches: &[(usize, Vec<i64>)]) -> [Vec<(i64, usize)>; 3] {
    NAMES.iter().for_each(|name| make(logs, name));
    let mut held = [const { Vec::new() }; 3];
    let mut number = 0;
    for (stream, times) in batches {
        let mut events = Vec::new();
        for at in times {
            events.push(event(*at, &number.to_string()));
            held[*stream].push((*at, number));
            number += 1;
        }
        put(logs, NAMES[*stream], &events);
    }
    held.iter_mut().for_each(|events| events.sort());
    held
}

fn numbers(events: &[(i64, usize)]) -> Vec<String> {
    events.iter().map(|(_, number)| number.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn walking_a_stream_either_way_meets_each_event_once(batches in batches(), limit in 1usize..5) {
        let dir = Dir::new();
        let logs = dir.open();
        let held = fill(&logs, &batches);
        for (name, held) in NAMES.iter().zip(&held) {
            let mut forward = Vec::new();
            let mut cursor = Cursor::Head;
            loop {
                let page = get(&logs, name, cursor, limit);
                if page.events.is_empty() { break }
                forward.extend(page.events.iter().map(|event| event.message.clone()));
                cursor = Cursor::Forward(page.forward);
            }
            prop_assert_eq!(&forward, &numbers(held));
            let mut backward = Vec::new();
            let mut cursor = Cursor::Tail;
            loop {
                let page = get(&logs, name, cursor, limit);
                if page.events.is_empty() { break }
                backward.extend(page.events.iter().rev().map(|event| event.message.clone()));
                cursor = Cursor::Backward(page.backward);
            }
            backward.reverse();
            prop_assert_eq!(&backward, &numbers(held));
        }
    }

    #[test]
    fn a_search_meets_each_event_of_its_streams_once_in_order(batches in batches(), limit in 1usize..5) {
        let dir = Dir::new();
        let logs = dir.open();
        let held = fill(&logs, &batches);
        let merged = |streams: &[usize]| {
            let mut all: Vec<_> = streams.iter().flat_map(|stream| held[*stream].clone()).collect();
            all.sort();
            numbers(&all)
        };
        prop_assert_eq!(find_all(&logs, search(Streams::All, limit)), merged(&[0, 1, 2]));
        prop_assert_eq!(find_all(&logs, search(Streams::Prefix("a/"), limit)), merged(&[0, 1]));
        let named = ["b".to_owned(), "a/1".to_owned()];
        prop_assert_eq!(find_all(&logs, search(Streams::Named(&named), limit)), merged(&[1, 2]));
        for (streams, chosen) in [(Streams::All, &[0, 1, 2][..]), (Streams::Named(&named), &[1, 2])] {
            let mut wanted = merged(chosen);
            wanted.reverse();
            let backwards = Search { descending: true, ..search(streams, limit) };
            prop_assert_eq!(find_all(&logs, backwards), wanted);
        }
    }

    #[test]
    fn resending_batches_in_any_old_order_changes_nothing(repeats in prop::collection::vec(0u64..8, 0..20)) {
        let dir = Dir::new();
        let logs = dir.open();
        make(&logs, "s");
        let send = |sequence: u64| {
            let pump = Pump { id: "p".to_owned(), sequence };
            put_as(&logs, "s", &[event(sequence as i64, &sequence.to_string())], Some(&pump));
        };
        let mut repeats = repeats.into_iter();
        for sequence in 1..=8 {
            send(sequence);
            repeats.by_ref().take(3).filter(|old| (1..=sequence).contains(old)).for_each(send);
        }
        let page = get(&logs, "s", Cursor::Head, 100);
        prop_assert_eq!(texts(&page.events), ["1", "2", "3", "4", "5", "6", "7", "8"]);
    }
}
