//! What is written is chained, found again, let go in order; what is changed is named; a torn tail is cut off.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::segment::Mark;
use super::*;

/// A directory that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("longshore-audit-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(dir: &Path, segment_bytes: u64, total_bytes: u64) -> Audit {
    let tell: Tell = Box::new(|happening| (0, format!("{{\"happened\":\"{happening:?}\"}}").into_bytes()));
    Audit::open(dir, Options { segment_bytes, total_bytes, tell }).unwrap()
}

fn event(number: u64) -> Vec<u8> {
    format!("{{\"number\":{number},\"filler\":\"{}\"}}", "x".repeat(50)).into_bytes()
}

/// A log of so many records, closed.
fn written(dir: &Path, segment_bytes: u64, records: u64) {
    let audit = open(dir, segment_bytes, 1 << 30);
    for number in 1..=records {
        audit.push(number as i64, &event(number), Weight::Light);
        if number.is_multiple_of(5) {
            // Otherwise all would be one batch in one segment.
            audit.flush().unwrap();
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn events(audit: &Audit, from: u64) -> Vec<(u64, String)> {
    let mut events = Vec::new();
    audit.flush().unwrap();
    let mut note = |line: Line<'_>| {
        events.push((line.sequence, String::from_utf8(line.event.to_vec()).unwrap()));
        ControlFlow::Continue(())
    };
    audit.forward(from, &mut note).unwrap();
    events
}

fn files(dir: &Path) -> Vec<PathBuf> {
    segment::list(dir).unwrap().into_iter().map(|segment| segment.path).collect()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn rewrite(path: &Path, lines: &[String]) {
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn what_is_pushed_is_found_again_in_order_also_after_closing() {
    let dir = Dir::new("again");
    written(&dir.0, 1000, 40);
    assert!(files(&dir.0).len() > 2);
    let whole = verify(&dir.0, None).unwrap().unwrap();
    assert_eq!((whole.anchor, whole.tip.sequence, whole.torn), (Mark::GENESIS, 40, 0));
    let audit = open(&dir.0, 1000, 1 << 30);
    let ticket = audit.push(41, &event(41), Weight::Must).unwrap();
    block_on(ticket.written()).unwrap();
    let found = events(&audit, 1);
    assert_eq!(found.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), (1..=41).collect::<Vec<_>>());
    assert!(found.iter().all(|(sequence, text)| text.as_bytes() == event(*sequence)));
    assert_eq!(events(&audit, 40).len(), 2);
    assert_eq!(verify(&dir.0, Some(whole.tip)).unwrap().unwrap().tip.sequence, 41);
}

#[test]
fn reading_backwards_begins_with_the_newest_and_keeps_to_its_bounds() {
    let dir = Dir::new("back");
    written(&dir.0, 1000, 40);
    let audit = open(&dir.0, 1000, 1 << 30);
    let all = Back { before: u64::MAX, from: i64::MIN, until: i64::MAX, bytes: u64::MAX };
    let read = |what: Back, most: usize| {
        let mut seen = Vec::new();
        let mut note = |line: Line<'_>| {
            seen.push(line.sequence);
            if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let reached = audit.back(what, &mut note).unwrap();
        (seen, reached)
    };
    assert_eq!(read(all, 3), (vec![40, 39, 38], Reached::Record(38)));
    assert_eq!(read(Back { before: 3, ..all }, 3), (vec![2, 1], Reached::End));
    let (seen, reached) = read(Back { bytes: 1, ..all }, 100);
    assert_eq!(reached, Reached::Record(*seen.last().unwrap()));
    assert!(seen.len() < 40);
    assert_eq!(read(Back { until: -DISORDERED, ..all }, 100), (Vec::new(), Reached::End));
}

const DISORDERED: i64 = 1_000_000;

#[test]
fn the_oldest_segments_go_and_the_anchor_keeps_the_chain() {
    let dir = Dir::new("oldest");
    let audit = open(&dir.0, 1000, 3000);
    for number in 1..=200 {
        audit.push(number as i64, &event(number), Weight::Light);
        if number.is_multiple_of(5) {
            audit.flush().unwrap();
        }
    }
    drop(audit);
    let bytes: u64 = files(&dir.0).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes < 5000, "{bytes}");
    let whole = verify(&dir.0, None).unwrap().unwrap();
    assert!(whole.anchor.sequence > 100);
    assert_eq!(whole.tip.sequence, 200);
    // A death between the anchor and the removal.
    let oldest = files(&dir.0)[0].clone();
    let copy = fs::read(&oldest).unwrap();
    let audit = open(&dir.0, 1000, 1);
    audit.push(0, &event(201), Weight::Light);
    audit.flush().unwrap();
    drop(audit);
    assert!(!oldest.exists());
    fs::write(&oldest, copy).unwrap();
    // The anchor.
    fs::remove_file(dir.0.join("anchor")).unwrap();
    let broken = verify(&dir.0, None).unwrap().unwrap_err();
    assert_eq!((broken.sequence, matches!(broken.why, Why::Missing { .. })), (1, true));
}

/// Breaks a log of three segments and wants the record to be named.
fn check_broken(name: &str, spoil: impl Fn(&Path, Vec<PathBuf>), sequence: u64, why: Why) {
    let dir = Dir::new(name);
    written(&dir.0, 1000, 23);
    spoil(&dir.0, files(&dir.0));
    let broken = verify(&dir.0, None).unwrap().expect_err(name);
    assert_eq!((broken.sequence, broken.why), (sequence, why), "{name}: {broken}");
}

fn edit(path: &Path, change: impl Fn(&mut Vec<String>)) {
    let mut all = lines(path);
    change(&mut all);
    rewrite(path, &all);
}

#[test]
fn whatever_is_done_to_a_record_is_found_and_named() {
    let change = |line: &mut String| *line = line.replace("xxx", "xyx");
    check_broken("changed", |_, files| edit(&files[0], |all| change(&mut all[2])), 3, Why::Changed);
    check_broken("first", |_, files| edit(&files[0], |all| change(&mut all[0])), 1, Why::Changed);
    check_broken(
        "last",
        |_, files| edit(files.last().unwrap(), |all| change(all.last_mut().unwrap())),
        23,
        Why::Changed,
    );
    let relink = |all: &mut Vec<String>| all[3] = all[3].replace("\"previous\":\"", "\"previous\":\"0");
    check_broken("link", |_, files| edit(&files[0], relink), 4, Why::Unreadable);
    let forged = |all: &mut Vec<String>| {
        let at = all[3].find("previous").unwrap() + 11;
        let digit = if all[3].as_bytes()[at] == b'0' { "1" } else { "0" };
        all[3].replace_range(at..=at, digit);
    };
    check_broken("forged", |_, files| edit(&files[0], forged), 4, Why::Changed);
    check_broken("deleted", |_, files| edit(&files[0], |all| drop(all.remove(4))), 5, Why::Missing { until: 6 });
    check_broken("swapped", |_, files| edit(&files[0], |all| all.swap(4, 5)), 5, Why::Missing { until: 6 });
    check_broken(
        "doubled",
        |_, files| edit(&files[0], |all| all.insert(3, all[2].clone())),
        4,
        Why::Displaced { by: 3 },
    );
    check_broken("garbage", |_, files| edit(&files[0], |all| all.insert(3, "{}".to_owned())), 4, Why::Unreadable);
    check_broken("tail", |_, files| edit(files.last().unwrap(), |all| drop(all.pop())), 23, Why::Missing { until: 24 });
    let half = |_: &Path, files: Vec<PathBuf>| {
        let last = fs::OpenOptions::new().write(true).open(files.last().unwrap()).unwrap();
        last.set_len(last.metadata().unwrap().len() - 7).unwrap();
    };
    check_broken("torn", half, 23, Why::Missing { until: 24 });
    let gone = |_: &Path, files: Vec<PathBuf>| fs::remove_file(&files[0]).unwrap();
    check_broken("segment", gone, 1, Why::Missing { until: 11 });
    let all_gone = |_: &Path, files: Vec<PathBuf>| files.iter().for_each(|file| fs::remove_file(file).unwrap());
    check_broken("all", all_gone, 1, Why::Missing { until: 24 });
}

#[test]
fn a_log_that_was_written_anew_is_found_by_a_mark_that_was_kept() {
    let (dir, other) = (Dir::new("kept"), Dir::new("anew"));
    written(&dir.0, 1000, 20);
    written(&other.0, 1000, 20);
    let kept = verify(&dir.0, None).unwrap().unwrap().tip;
    assert!(verify(&other.0, Some(kept)).unwrap().is_ok());
    let forger = open(&other.0, 1000, 1 << 30);
    forger.push(0, &event(0), Weight::Light);
    drop(forger);
    let wrong = Mark { sequence: 21, hash: kept.hash };
    assert_eq!(verify(&other.0, Some(wrong)).unwrap().unwrap_err().why, Why::NotAsKnown);
    assert_eq!(Mark::parse(&format!("{} {}", kept.sequence, kept.hash)), Some(kept));
}

#[test]
fn a_torn_tail_is_cut_off_and_said_so_and_the_chain_goes_on() {
    for tail in ["{\"sequence\":21,\"ti", "\0\0\0\0", "{\"sequence\":21,\"time\":0}\n{\"seq", "\n\n"] {
        let dir = Dir::new("cut");
        written(&dir.0, 1 << 20, 20);
        let last = files(&dir.0).pop().unwrap();
        let mut torn = fs::read(&last).unwrap();
        torn.extend_from_slice(tail.as_bytes());
        fs::write(&last, torn).unwrap();
        if !tail.contains('\n') {
            assert_eq!(verify(&dir.0, None).unwrap().unwrap().torn, tail.len() as u64);
        }
        let audit = open(&dir.0, 1 << 20, 1 << 30);
        audit.push(0, &event(22), Weight::Light);
        let found = events(&audit, 21);
        assert_eq!(found[0].1, format!("{{\"happened\":\"Cut {{ bytes: {} }}\"}}", tail.len()));
        assert_eq!(found[1].0, 22);
        drop(audit);
        assert_eq!(verify(&dir.0, None).unwrap().unwrap().tip.sequence, 22);
    }
}

#[test]
fn a_mark_that_the_power_kept_from_the_disk_is_none() {
    for nothing in [&b""[..], &[0; 90]] {
        let dir = Dir::new("blank");
        written(&dir.0, 1 << 20, 3);
        fs::write(dir.0.join(segment::HEAD), nothing).unwrap();
        let audit = open(&dir.0, 1 << 20, 1 << 30);
        audit.push(0, &event(4), Weight::Light);
        assert_eq!(events(&audit, 1).len(), 4);
        drop(audit);
        assert_eq!(verify(&dir.0, None).unwrap().unwrap().tip.sequence, 4);
    }
}

#[test]
fn what_was_durable_and_is_broken_is_no_torn_tail_but_evidence() {
    let dir = Dir::new("evidence");
    written(&dir.0, 1 << 20, 20);
    let last = files(&dir.0).pop().unwrap();
    edit(&last, |all| all[10] = all[10].replace("xxx", "yyy"));
    let before = fs::read(&last).unwrap();
    let audit = open(&dir.0, 1 << 20, 1 << 30);
    audit.push(0, &event(21), Weight::Light);
    drop(audit);
    assert_eq!(fs::read(&last).unwrap(), before);
    assert_eq!(files(&dir.0).len(), 2);
    assert_eq!(verify(&dir.0, None).unwrap().unwrap_err().sequence, 11);
}

#[test]
fn too_many_records_that_nobody_waits_for_are_counted() {
    let dir = Dir::new("lost");
    let audit = open(&dir.0, 1 << 30, 1 << 30);
    let large = format!("{{\"filler\":\"{}\"}}", "x".repeat(LONGEST_EVENT - 100));
    let pushed = 400;
    for _ in 0..pushed {
        audit.push(0, large.as_bytes(), Weight::Light);
    }
    assert!(audit.push(0, &vec![b'x'; LONGEST_EVENT + 1], Weight::Must).is_none());
    let kept = events(&audit, 1);
    let again = events(&audit, kept.len() as u64 + 1);
    let told: u64 = kept
        .iter()
        .chain(&again)
        .filter_map(|(_, text)| text.split_once("records: ")?.1.split(' ').next()?.parse::<u64>().ok())
        .sum();
    let large = kept.iter().filter(|(_, text)| text.contains("filler")).count() as u64;
    assert_eq!(large + told, pushed + 1);
    drop(audit);
    assert!(verify(&dir.0, None).unwrap().is_ok());
}
