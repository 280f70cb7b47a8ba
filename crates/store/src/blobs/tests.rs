use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::*;

mod again;
mod bucket;
mod sealed;

const ACCOUNT: &str = "123456789012";
const A: &str = "0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210";
const ID: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// A directory of a test, which goes with it.
pub(super) struct Room(pub PathBuf);

impl Room {
    pub fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("longshore-blobs-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn open(&self) -> Blobs {
        Blobs::open(&Options::of(&self.0)).unwrap()
    }

    fn staged(&self) -> usize {
        let files = |dir: PathBuf| fs::read_dir(dir).map_or(0, Iterator::count);
        files(self.0.join("uploads").join(ACCOUNT))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn key(number: u32) -> Key {
    key_of(A, number)
}

fn key_of(repository: &str, number: u32) -> Key {
    Key::new(ACCOUNT, repository, &format!("01234567-89ab-cdef-0123-{number:012x}")).unwrap()
}

/// Of a repository whose bytes lie there.
fn key_in(blobs: &Blobs, number: u32) -> Key {
    key_of(blobs.seal.as_ref().map_or(A, |seal| seal.id().as_str()), number)
}

fn sha(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

/// Bytes that are different for each number.
fn content(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// What lies as it came, or is sealed.
fn there(blobs: &Blobs, seal: Option<&SealId>) -> Vec<Address> {
    let shelves = blobs.shelves(seal);
    shelves.iter().flat_map(|shelf| blobs.on(shelf)).map(Result::unwrap).collect()
}

fn all(blobs: &Blobs) -> Vec<Digest> {
    there(blobs, None).into_iter().map(|address| address.digest).collect()
}

fn whole(blobs: &Blobs, digest: &Digest) -> Vec<u8> {
    let reader = blobs.reader(digest).unwrap();
    let bytes = reader.read_all().unwrap();
    assert_eq!(digest_of(digest.algorithm(), &bytes), *digest);
    bytes.to_vec()
}

#[test]
fn an_upload_comes_in_pieces_and_is_seen_when_it_is_whole() {
    let room = Room::new("pieces");
    let blobs = room.open();
    let bytes = content(1, 700_000);
    for digest in [sha(&bytes), digest_of(Algorithm::Sha512, &bytes)] {
        let key = key(1);
        blobs.begin(&key).unwrap();
        assert!(matches!(blobs.begin(&key), Err(Error::Twice)));
        for (at, piece) in bytes.chunks(300_000).enumerate() {
            let mut writer = blobs.append(&key, Some(at as u64 * 300_000)).unwrap();
            writer.write(piece).unwrap();
            assert_eq!(blobs.size(&digest).unwrap(), None);
        }
        assert_eq!(blobs.received(&key).unwrap(), 700_000);
        let kept = blobs.append(&key, None).unwrap().finish(&digest).unwrap();
        assert_eq!((&kept.digest, kept.size), (&digest, 700_000));
        assert_eq!(blobs.size(&digest).unwrap(), Some(700_000));
        assert_eq!(whole(&blobs, &digest), bytes);
        assert!(matches!(blobs.received(&key), Err(Error::UnknownUpload)));
    }
    assert_eq!((all(&blobs).len(), room.staged()), (2, 0));
}

#[test]
fn what_is_known_before_is_hashed_once() {
    let room = Room::new("sha512");
    let blobs = room.open();
    blobs.begin(&key(1)).unwrap();
    let mut writer = blobs.append(&key(1), Some(0)).unwrap();
    writer.expect(Algorithm::Sha512);
    writer.write(b"abc").unwrap();
    writer.expect(Algorithm::Sha256);
    assert_eq!(writer.hash.algorithm(), Algorithm::Sha512);
    assert_eq!(writer.finish(&digest_of(Algorithm::Sha512, b"abc")).unwrap().size, 3);
}

#[test]
fn an_upload_goes_on_after_a_restart() {
    let room = Room::new("restart");
    let bytes = content(2, 100_000);
    {
        let blobs = room.open();
        blobs.begin(&key(1)).unwrap();
        blobs.append(&key(1), Some(0)).unwrap().write(&bytes[..60_000]).unwrap();
        fs::write(room.0.join("uploads/aside-7"), "half").unwrap();
    }
    let blobs = room.open();
    assert!(!room.0.join("uploads/aside-7").exists());
    assert_eq!(blobs.received(&key(1)).unwrap(), 60_000);
    assert_eq!(blobs.open.uploads.count(), 1);
    let mut writer = blobs.append(&key(1), Some(60_000)).unwrap();
    writer.write(&bytes[60_000..]).unwrap();
    writer.finish(&sha(&bytes)).unwrap();
    assert_eq!(whole(&blobs, &sha(&bytes)), bytes);
}

#[test]
fn few_long_uploads_are_read_again_at_one_time() {
    let room = Room::new("rereading");
    let length = 64 * 1024 * 1024 + 1;
    let path = {
        let blobs = room.open();
        blobs.begin(&key(1)).unwrap();
        blobs.begin(&key(2)).unwrap();
        blobs.append(&key(2), None).unwrap().write(b"short").unwrap();
        blobs.open.uploads.path(&key(1))
    };
    fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    let blobs = room.open();
    blobs.open.rereading.store(REREADING, Ordering::Relaxed);
    assert!(matches!(blobs.append(&key(1), Some(length)), Err(Error::Crowded)));
    assert_eq!(blobs.append(&key(2), Some(5)).unwrap().received(), 5);
    blobs.open.rereading.store(REREADING - 1, Ordering::Relaxed);
    let writer = blobs.append(&key(1), Some(length)).unwrap();
    // By its other digest it is read once more.
    blobs.open.rereading.store(REREADING, Ordering::Relaxed);
    let digest = digest_of(Algorithm::Sha512, &vec![0; usize::try_from(length).unwrap()]);
    assert!(matches!(writer.finish(&digest), Err(Error::Crowded)));
    blobs.open.rereading.store(0, Ordering::Relaxed);
    assert_eq!(blobs.append(&key(1), Some(length)).unwrap().finish(&digest).unwrap().size, length);
    assert_eq!(blobs.open.rereading.load(Ordering::Relaxed), 0);
}

#[test]
fn bytes_out_of_order_and_of_two_writers_are_refused() {
    let room = Room::new("order");
    let blobs = room.open();
    blobs.begin(&key(1)).unwrap();
    let mut first = blobs.append(&key(1), Some(0)).unwrap();
    assert!(matches!(blobs.append(&key(1), Some(0)), Err(Error::Busy)));
    assert!(matches!(blobs.received(&key(1)), Err(Error::Busy)));
    assert!(matches!(blobs.cancel(&key(1)), Err(Error::Busy)));
    assert_eq!(blobs.sweep(Duration::ZERO), 0);
    first.write(b"0123").unwrap();
    drop(first);
    for at in [0, 3, 5, u64::MAX] {
        assert!(matches!(blobs.append(&key(1), Some(at)), Err(Error::OutOfOrder { at: 4 })), "{at}");
    }
    blobs.append(&key(1), Some(4)).unwrap().finish(&sha(b"0123")).unwrap();
    assert!(matches!(blobs.append(&key(1), Some(4)), Err(Error::UnknownUpload)));
}

#[test]
fn an_upload_is_found_by_its_repository_alone() {
    let room = Room::new("foreign");
    let blobs = room.open();
    blobs.begin(&Key::new(ACCOUNT, A, ID).unwrap()).unwrap();
    for (account, repository) in [("000000000000", A), (ACCOUNT, B)] {
        let other = Key::new(account, repository, ID).unwrap();
        assert!(matches!(blobs.received(&other), Err(Error::UnknownUpload)));
        assert!(matches!(blobs.append(&other, None), Err(Error::UnknownUpload)));
    }
    for (account, repository, id) in [
        ("../../../etc", A, ID),
        ("12345678901", A, ID),
        (ACCOUNT, "", ID),
        (ACCOUNT, "../../../../../etc/passwd-000000", ID),
        (ACCOUNT, "0123456789ABCDEF0123456789abcdef", ID),
        (ACCOUNT, "x0123456789abcdef0123456789abcdef", ID),
        (ACCOUNT, "k123456789abcdef0123456789abcdef", ID),
        (ACCOUNT, A, ""),
        (ACCOUNT, A, "../../../../etc/passwd-0000-000000000"),
        (ACCOUNT, A, "01234567-89AB-cdef-0123-456789abcdef"),
        (ACCOUNT, A, "01234567-89ab-cdef-0123-456789abcdef0"),
    ] {
        assert_eq!(Key::new(account, repository, id), None, "{account} {repository} {id}");
    }
}

#[test]
fn uploads_go_with_their_repository_also_one_that_is_written_to() {
    let room = Room::new("forgotten");
    let blobs = room.open();
    let other = Key::new(ACCOUNT, B, ID).unwrap();
    for key in [key(1), key(2), key(3), other.clone()] {
        blobs.begin(&key).unwrap();
    }
    let (of_a, of_b) = (BTreeSet::from([A.to_owned()]), BTreeSet::from([B.to_owned()]));
    assert_eq!(blobs.uploading(), &of_a | &of_b);
    let mut writing = blobs.append(&key(2), Some(0)).unwrap();
    let mut ending = blobs.append(&key(3), Some(0)).unwrap();
    assert_eq!((blobs.forget(&of_a), blobs.open_uploads()), (1, 3));
    assert!(matches!(blobs.append(&key(1), None), Err(Error::UnknownUpload)));
    assert!(matches!(blobs.append(&key(2), None), Err(Error::Busy)));
    // Who writes notices nothing; there is nothing left of it afterwards.
    writing.write(b"more").unwrap();
    drop(writing);
    assert!(matches!(blobs.received(&key(2)), Err(Error::UnknownUpload)));
    ending.write(b"whole").unwrap();
    assert_eq!(ending.finish(&sha(b"whole")).unwrap().size, 5);
    assert_eq!((blobs.open_uploads(), room.staged(), blobs.uploading()), (1, 1, of_b));
    assert_eq!(blobs.received(&other).unwrap(), 0);
}

#[test]
fn bytes_that_are_not_those_of_the_digest_are_not_kept() {
    let room = Room::new("mismatch");
    let blobs = room.open();
    for wrong in [sha(b"other"), digest_of(Algorithm::Sha512, b"other")] {
        blobs.begin(&key(1)).unwrap();
        let mut writer = blobs.append(&key(1), None).unwrap();
        writer.write(b"these").unwrap();
        assert!(matches!(writer.finish(&wrong), Err(Error::Mismatch { .. })));
        assert!(matches!(blobs.received(&key(1)), Err(Error::UnknownUpload)));
    }
    assert_eq!((all(&blobs).len(), room.staged()), (0, 0));
}

#[test]
fn uploads_have_bounds() {
    let room = Room::new("bounds");
    let blobs = Blobs::open(&Options { uploads: 3, largest: 10, ..Options::of(&room.0) }).unwrap();
    for number in 0..3 {
        blobs.begin(&key(number)).unwrap();
    }
    assert!(matches!(blobs.begin(&key(9)), Err(Error::TooMany { most: 3 })));
    blobs.begin(&Key::new("000000000001", A, ID).unwrap()).unwrap();
    let mut writer = blobs.append(&key(0), None).unwrap();
    writer.write(&[0; 10]).unwrap();
    assert!(matches!(writer.write(&[0]), Err(Error::TooLarge { most: 10 })));
    assert!(matches!(writer.finish(&sha(&[0; 10])), Err(Error::UnknownUpload)));
    blobs.begin(&key(9)).unwrap();
    blobs.cancel(&key(9)).unwrap();
    assert!(matches!(blobs.cancel(&key(9)), Err(Error::UnknownUpload)));
    assert_eq!(room.staged(), 2);
}

#[test]
fn ten_thousand_abandoned_uploads_are_reclaimed_and_no_other() {
    let room = Room::new("abandoned");
    let blobs = room.open();
    for number in 0..9_999 {
        blobs.begin(&key(number)).unwrap();
    }
    assert_eq!((blobs.open_uploads(), room.staged()), (9_999, 9_999));
    assert_eq!(blobs.sweep(Duration::from_secs(24 * 3600)), 0);
    let since = std::time::Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    blobs.begin(&key(10_000)).unwrap();
    assert!(matches!(blobs.begin(&key(10_001)), Err(Error::TooMany { .. })));
    blobs.append(&key(5), None).unwrap().write(b"x").unwrap();
    let untouched = blobs.open.uploads.count() - 2;
    assert_eq!(blobs.sweep(since.elapsed()), untouched);
    assert_eq!((blobs.open_uploads(), room.staged()), (2, 2));
    drop(blobs);
    let blobs = room.open();
    assert_eq!((blobs.sweep(Duration::from_secs(24 * 3600)), blobs.sweep(Duration::ZERO)), (0, 2));
    assert_eq!(room.staged(), 0);
}

#[test]
fn small_blobs_are_put_read_and_removed() {
    let room = Room::new("small");
    let blobs = room.open();
    let bytes = Bytes::from_static(b"{}");
    let kept = blobs.put(Algorithm::Sha256, bytes.clone()).unwrap();
    let again = blobs.put(Algorithm::Sha256, bytes.clone()).unwrap();
    assert_eq!((&kept.digest, kept.size), (&sha(b"{}"), 2));
    assert_eq!(blobs.read(&kept.digest, 2).unwrap(), bytes);
    let cold = room.open();
    assert_eq!(cold.cached(&kept.digest), None);
    assert!(matches!(cold.read(&kept.digest, 1), Err(Error::TooLarge { most: 1 })));
    assert_eq!(cold.read(&kept.digest, 2).unwrap(), bytes);
    assert_eq!(cold.cached(&kept.digest), Some(bytes.clone()));
    let digest = kept.digest.clone();
    drop(kept);
    assert!(!blobs.remove_unless(&blobs.address(&digest), || false).unwrap(), "somebody has a pin");
    drop(again);
    assert!(!blobs.remove_unless(&blobs.address(&digest), || true).unwrap(), "it is needed");
    assert!(blobs.remove_unless(&blobs.address(&digest), || false).unwrap());
    assert!(matches!(blobs.read(&digest, 2), Err(Error::Missing)));
    assert_eq!((blobs.size(&digest).unwrap(), all(&blobs)), (None, vec![]));
    assert!(blobs.remove_unless(&blobs.address(&digest), || false).unwrap());
}

/// So nobody gives a name in a directory whose own somebody else has yet to make durable.
#[test]
fn all_directories_are_there_before_the_first_bytes() {
    let room = Room::new("shelves");
    let count = |dir: &str| fs::read_dir(room.0.join("blobs").join(dir)).unwrap().count();
    for _ in 0..2 {
        let blobs = room.open();
        assert_eq!((count("sha256"), count("sha512")), (256, 256));
        fs::remove_dir(room.0.join("blobs/sha256/7f")).unwrap();
        drop(blobs);
    }
}

#[test]
fn a_blob_is_read_in_pieces_from_anywhere() {
    let room = Room::new("ranges");
    let blobs = room.open();
    let bytes = content(3, 2 * READ + 77);
    let kept = blobs.put(Algorithm::Sha256, bytes.clone().into()).unwrap();
    let reader = blobs.reader(&kept.digest).unwrap();
    for (at, most) in [(0, 10), (5, u64::MAX), (READ as u64 - 3, 7), (bytes.len() as u64 - 1, 9)] {
        let start = usize::try_from(at).unwrap();
        for piece in [reader.read_now(at, most).unwrap(), reader.read(at, most).unwrap()] {
            assert!(!piece.is_empty() && piece.len() as u64 <= most);
            assert_eq!(piece, bytes[start..start + piece.len()]);
        }
    }
    assert!(reader.read_now(bytes.len() as u64, 1).is_none());
    assert!(matches!(reader.read(bytes.len() as u64, 1), Err(Error::Missing)));
    drop(kept.pin);
    assert!(blobs.remove_unless(&blobs.address(&kept.digest), || false).unwrap());
    assert_eq!(reader.read_all().unwrap(), bytes, "who began to read reads on");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let room = Room::new("full");
    let blobs = room.open();
    blobs.begin(&key(1)).unwrap();
    let mut writer = blobs.append(&key(1), None).unwrap();
    writer.staged.file = fs::File::options().write(true).open("/dev/full").unwrap();
    assert!(matches!(writer.write(b"bytes"), Err(Error::Full)));
    drop(writer);
    assert!(matches!(blobs.received(&key(1)), Err(Error::UnknownUpload)));
    assert_eq!((room.staged(), all(&blobs).len()), (0, 0));
}

#[test]
fn what_is_pushed_leaves_some_of_the_disk_to_others() {
    let room = Room::new("reserve");
    let kept = room.open().put(Algorithm::Sha256, Bytes::from_static(b"before")).unwrap();
    let blobs = Blobs::open(&Options { reserve: u64::MAX, ..Options::of(&room.0) }).unwrap();
    blobs.begin(&key(1)).unwrap();
    assert!(matches!(blobs.append(&key(1), None).unwrap().write(b"bytes"), Err(Error::Full)));
    assert!(matches!(blobs.received(&key(1)), Err(Error::UnknownUpload)));
    assert!(matches!(blobs.put(Algorithm::Sha256, Bytes::from_static(b"more")), Err(Error::Full)));
    assert_eq!((room.staged(), all(&blobs).len()), (0, 1));
    assert_eq!(blobs.reader(&kept.digest).unwrap().read_all().unwrap(), b"before"[..]);
}

/// Threads push the same few contents, as they come and under two data keys, and drop them again while others remove whatever no
/// record holds.
#[test]
fn what_a_record_holds_is_never_removed() {
    const CONTENTS: u64 = 4;
    const ROUNDS: u64 = 400;
    let room = Room::new("stress");
    let open = room.open();
    let rooms = [open.clone(), open.under(Some(sealed::seal(1))), open.under(Some(sealed::seal(2)))];
    let records: Mutex<HashMap<Address, usize>> = Mutex::default();
    let (done, removed) = (AtomicBool::new(false), Mutex::new([0; 3]));
    let hold = |kept: Kept| {
        *records.lock().entry(kept.address().clone()).or_default() += 1;
        kept.digest.clone()
    };
    let push = |thread: u32| {
        for round in 0..ROUNDS {
            let bytes = content(round % CONTENTS, 3000);
            let blobs = &rooms[usize::try_from(round / CONTENTS % 3).unwrap()];
            let digest = if thread.is_multiple_of(2) {
                hold(blobs.put(Algorithm::Sha256, bytes.clone().into()).unwrap())
            } else {
                let key = key_in(blobs, thread);
                blobs.begin(&key).unwrap();
                let mut writer = blobs.append(&key, Some(0)).unwrap();
                writer.write(&bytes).unwrap();
                hold(writer.finish(&sha(&bytes)).unwrap())
            };
            assert_eq!(whole(blobs, &digest), bytes, "there is a record of it");
            let (mut records, address) = (records.lock(), blobs.address(&digest));
            match records.get_mut(&address) {
                Some(1) => drop(records.remove(&address)),
                Some(held) => *held -= 1,
                None => panic!("no record"),
            }
        }
    };
    let collect = || {
        while !done.load(Ordering::Relaxed) {
            for (place, blobs) in rooms.iter().enumerate() {
                for number in 0..CONTENTS {
                    let address = blobs.address(&sha(&content(number, 3000)));
                    let gone = blobs.remove_unless(&address, || records.lock().contains_key(&address)).unwrap();
                    removed.lock()[place] += usize::from(gone);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(collect);
        scope.spawn(collect);
        let pushing: Vec<_> = (0..4).map(|thread| scope.spawn(move || push(thread))).collect();
        for thread in pushing {
            let ended = thread.join();
            if ended.is_err() {
                done.store(true, Ordering::Relaxed);
            }
            ended.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(removed.lock().iter().all(|count| *count > 0), "nothing was removed meanwhile: {removed:?}");
}

const CHILD: &str = "LONGSHORE_BLOBS_CHILD";

/// Set for one whose bytes are sealed.
const SEALED: &str = "LONGSHORE_BLOBS_SEALED";

/// Where the child of [`a_kill_at_any_byte_leaves_nothing_half`] begins; alone it does nothing.
#[test]
fn a_child_that_uploads() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let blobs = Blobs::open(&Options::of(&dir)).unwrap().under(std::env::var(SEALED).ok().map(|_| sealed::seal(1)));
    let first = blobs.open_uploads() as u64 * 1000 + u64::from(std::process::id()) * 100_000;
    for number in first.. {
        let bytes = content(number, usize::try_from(number * 7919 % 400_000).unwrap());
        let key = key_in(&blobs, u32::try_from(number % 0xffff_ffff).unwrap());
        blobs.begin(&key).unwrap();
        for piece in bytes.chunks(1000) {
            blobs.append(&key, None).unwrap().write(piece).unwrap();
        }
        let kept = blobs.append(&key, Some(bytes.len() as u64)).unwrap().finish(&sha(&bytes)).unwrap();
        println!("\nkept {}", kept.digest);
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn a_kill_at_any_byte_leaves_nothing_half() {
    kill(&Room::new("kill"), None);
}

#[test]
fn a_kill_at_any_byte_leaves_nothing_half_that_is_sealed() {
    kill(&Room::new("kill-sealed"), Some(sealed::seal(1)));
}

fn kill(room: &Room, seal: Option<Seal>) {
    let mut told = Vec::new();
    for round in 0..15_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "blobs::tests::a_child_that_uploads", "--nocapture", "--test-threads=1"])
            .env(CHILD, &room.0)
            .envs(seal.as_ref().map(|_| (SEALED, "1")))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_kept = |line: &String| line.starts_with("kept ");
        // It runs; then at some byte or other.
        told.extend(lines.by_ref().map(Result::unwrap).find(is_kept));
        std::thread::sleep(Duration::from_micros(content(round, 8).iter().map(|byte| u64::from(*byte) * 20).sum()));
        child.kill().unwrap();
        child.wait().unwrap();
        told.extend(lines.map_while(Result::ok).filter(is_kept));
    }
    let blobs = room.open().under(seal.clone());
    let found: Vec<Digest> =
        there(&blobs, seal.as_ref().map(Seal::id)).into_iter().map(|address| address.digest).collect();
    for digest in &found {
        whole(&blobs, digest);
    }
    for line in &told {
        let digest = Digest::parse(line.trim_start_matches("kept ")).unwrap();
        assert!(found.contains(&digest), "{digest} was told and is gone");
    }
    assert!(told.len() >= 15);
    let left = blobs.open_uploads();
    assert!(left > 0, "no kill hit an upload");
    assert_eq!((blobs.sweep(Duration::ZERO), room.staged()), (left, 0));
}
