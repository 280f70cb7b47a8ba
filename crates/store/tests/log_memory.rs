//! The log store's memory is bounded: it does not follow what is stored. Alone in its process, since it measures it.

use longshore_store::logs::{Batch, Cursor, Logs, NewEvent, Search, Span, Streams};

/// Resident memory that the log store may take here, in MiB: two thirds of what is stored, and half as much again as it takes
/// where the disk keeps up.
const LIMIT_MIB: u64 = 60;

const WRITERS: usize = 4;
const BATCHES: usize = 100;
const EVENTS: usize = 1_000;

/// Resident memory of this process, in MiB.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}

fn write(logs: &Logs, writer: usize) {
    let stream = format!("stream-{writer}");
    logs.wait(&logs.create_stream("g", &stream, 0).unwrap()).unwrap();
    for batch in 0..BATCHES {
        let timestamp = (batch * EVENTS) as i64;
        let line = |number| format!("{writer}/{number} {}", "some words of a log line ".repeat(8));
        let events: Vec<NewEvent> = (0..EVENTS)
            .map(|number| NewEvent { timestamp: timestamp + number as i64, message: line(number) })
            .collect();
        let batch = Batch { group: "g", stream: &stream, events: &events, pump: None, now: 0 };
        logs.wait(&logs.put(batch).unwrap()).unwrap();
    }
}

/// Go through everything, and count it.
fn read(logs: &Logs) -> usize {
    let (mut count, mut from) = (0, None);
    loop {
        let search =
            Search { group: "g", streams: Streams::All, span: Span::default(), descending: false, from, limit: 10_000 };
        let found = logs.filter(search, |_| true).unwrap();
        count += found.events.len();
        from = found.next;
        if from.is_none() {
            return count;
        }
    }
}

#[test]
fn eighty_megabytes_of_events_stay_on_the_disk() {
    let dir = std::env::temp_dir().join(format!("longshore-log-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let logs = Logs::open(&dir).unwrap();
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let logs = &logs;
            scope.spawn(move || write(logs, writer));
        }
    });
    let written = begun.elapsed();
    let after_writes = resident_mib();
    assert_eq!(read(&logs), WRITERS * BATCHES * EVENTS);
    let tail = logs.get("g", "stream-0", Span::default(), Cursor::Tail, 10_000).unwrap();
    assert!(!tail.events.is_empty());
    let after_reads = resident_mib();
    let rate = (WRITERS * BATCHES * EVENTS) as f64 / written.as_secs_f64();
    println!("{after_writes} MiB after writes, {after_reads} MiB after reads, {rate:.0} events a second");
    assert!(after_writes.max(after_reads) < LIMIT_MIB, "{after_writes} MiB, then {after_reads} MiB");
    drop(logs);
    std::fs::remove_dir_all(&dir).unwrap();
}
