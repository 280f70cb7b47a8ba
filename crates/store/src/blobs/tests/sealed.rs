//! Blobs under data keys.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tokio::runtime::Handle;

use super::super::seal::{HEAD, PLAIN, RAW, place, raw_length};
use super::super::staged::Staged;
use super::*;

pub(super) fn seal(number: u8) -> Seal {
    Seal::new(SealId::parse(&format!("k{number:032x}")).unwrap(), &[number; 32])
}

fn sealed(room: &Room) -> Blobs {
    room.open().under(Some(seal(1)))
}

/// All files below a directory.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn is_anywhere(room: &Room, bytes: &[u8]) -> bool {
    let within = |path: &PathBuf| {
        let file = fs::read(path).unwrap();
        file.windows(bytes.len()).any(|window| window == bytes)
    };
    files(&room.0).iter().any(within)
}

/// Of the repository whose bytes are sealed under the first key.
fn key(number: u32) -> Key {
    key_of(seal(1).id().as_str(), number)
}

pub(super) fn push(blobs: &Blobs, bytes: &[u8]) -> Kept {
    let key = key_in(blobs, 1);
    blobs.begin(&key).unwrap();
    let mut writer = blobs.append(&key, Some(0)).unwrap();
    writer.write(bytes).unwrap();
    writer.finish(&sha(bytes)).unwrap()
}

/// The file of a blob.
fn file(room: &Room, blobs: &Blobs, digest: &Digest) -> PathBuf {
    room.0.join(blobs.address(digest).shelf()).join(digest.hex())
}

#[test]
fn uploads_and_small_blobs_are_sealed_wherever_they_lie() {
    let room = Room::new("sealed");
    let blobs = sealed(&room);
    let (large, small) = (content(1, 3 * PLAIN + 99), content(2, 300));
    blobs.begin(&key(1)).unwrap();
    for (number, piece) in large.chunks(10_001).enumerate() {
        let at = number as u64 * 10_001;
        let mut writer = blobs.append(&key(1), Some(at)).unwrap();
        writer.write(piece).unwrap();
        assert_eq!(writer.pause().unwrap(), at + piece.len() as u64);
        assert!(!is_anywhere(&room, &large[..16]) && !is_anywhere(&room, &piece[piece.len() - 16..]), "{at}");
    }
    assert_eq!(blobs.received(&key(1)).unwrap(), large.len() as u64);
    let kept = blobs.append(&key(1), None).unwrap().finish(&sha(&large)).unwrap();
    let put = blobs.put(Algorithm::Sha512, small.clone().into()).unwrap();
    assert_eq!((kept.size, put.size), (large.len() as u64, 300));
    for (digest, bytes) in [(&kept.digest, &large), (&put.digest, &small)] {
        let reader = blobs.reader(digest).unwrap();
        let sink = fs::File::create("/dev/null").unwrap();
        assert!(!reader.is_at_hand(0, 1) && reader.send(sink, 0, 1).is_err(), "the file is not what is sent");
        assert_eq!(blobs.size(digest).unwrap(), Some(bytes.len() as u64));
        assert_eq!(&whole(&blobs, digest), bytes);
        assert_eq!(fs::metadata(file(&room, &blobs, digest)).unwrap().len(), raw_length(bytes.len() as u64));
        for part in bytes.chunks_exact(bytes.len() / 5) {
            assert!(!is_anywhere(&room, &part[..16]));
        }
    }
    assert_eq!((all(&blobs).len(), there(&blobs, Some(seal(1).id())).len(), room.staged()), (0, 2, 0));
}

#[test]
fn what_is_under_one_key_is_not_there_under_another() {
    let room = Room::new("apart");
    let blobs = room.open();
    let (one, two) = (blobs.under(Some(seal(1))), blobs.under(Some(seal(2))));
    let bytes = content(3, 1000);
    let digest = push(&one, &bytes).digest;
    for other in [&blobs, &two] {
        assert_eq!((other.size(&digest).unwrap(), other.cached(&digest)), (None, None));
        assert!(matches!(other.read(&digest, 9999), Err(Error::Missing)));
    }
    assert_eq!(one.read(&digest, 9999).unwrap(), bytes);
    assert_eq!((one.cached(&digest).is_some(), two.cached(&digest), blobs.cached(&digest)), (true, None, None));
    drop(push(&two, &bytes));
    drop(push(&blobs, &bytes));
    assert_eq!(
        blobs.seals().unwrap().into_iter().collect::<BTreeSet<_>>(),
        [seal(1).id().clone(), seal(2).id().clone()].into()
    );
    assert!(blobs.remove_unless(&one.address(&digest), || false).unwrap());
    assert!(matches!(one.read(&digest, 9999), Err(Error::Missing)));
    assert_eq!((whole(&two, &digest), whole(&blobs, &digest)), (bytes.clone(), bytes));
    // What nothing lies in goes.
    let rooms = |number| room.0.join("sealed").join(seal(number).id().as_str()).is_dir();
    blobs.clear(seal(1).id()).unwrap();
    blobs.clear(seal(2).id()).unwrap();
    assert_eq!((rooms(1), rooms(2)), (false, true));
    assert_eq!(blobs.size(&digest).unwrap(), two.size(&digest).unwrap());
}

#[test]
fn a_sealed_upload_goes_on_after_a_restart() {
    let bytes = content(4, 2 * PLAIN + 5000);
    for came in [0, 1, PLAIN - 1, PLAIN, PLAIN + 1, 2 * PLAIN, bytes.len()] {
        let room = Room::new(&format!("sealed-restart-{came}"));
        {
            let blobs = sealed(&room);
            blobs.begin(&key(1)).unwrap();
            let mut writer = blobs.append(&key(1), Some(0)).unwrap();
            writer.write(&bytes[..came]).unwrap();
        }
        let blobs = sealed(&room);
        assert_eq!((blobs.received(&key(1)).unwrap(), blobs.open_uploads()), (came as u64, 1));
        assert!(matches!(room.open().received(&key(1)), Err(Error::UnknownUpload)));
        let under_another = blobs.under(Some(seal(2)));
        assert!(matches!(under_another.append(&key(1), None), Err(Error::UnknownUpload)));
        assert!(matches!(under_another.begin(&key(1)), Err(Error::UnknownUpload)), "of another repository");
        let mut writer = blobs.append(&key(1), Some(came as u64)).unwrap();
        writer.write(&bytes[came..]).unwrap();
        writer.finish(&sha(&bytes)).unwrap();
        assert_eq!(whole(&blobs, &sha(&bytes)), bytes, "{came}");
    }
}

#[test]
fn an_upload_is_read_while_it_comes() {
    let room = Room::new("followed");
    let bytes = content(10, 5 * PLAIN + 4000);
    for blobs in [room.open(), sealed(&room)] {
        let key = key_in(&blobs, 1);
        blobs.begin(&key).unwrap();
        let mut writer = blobs.append(&key, Some(0)).unwrap();
        let follower = writer.follow().unwrap();
        assert!(matches!(follower.read(0, 1, 0), Err(Error::Missing)));
        for piece in bytes.chunks(50_000) {
            writer.write(piece).unwrap();
            let come = writer.received();
            let there = usize::try_from(come).unwrap().saturating_sub(RAW);
            for at in (0..there).step_by(33_333) {
                let length = (there - at).min(2 * PLAIN + 7);
                assert_eq!(follower.read(at as u64, length, come).unwrap(), bytes[at..at + length]);
            }
            assert!(matches!(follower.read(come - 5, 6, come), Err(Error::Missing)));
        }
        let size = writer.finish(&sha(&bytes)).unwrap().size;
        assert_eq!(follower.read(0, bytes.len(), size).unwrap(), bytes);
        assert_eq!(follower.read(size - 1, 1, size).unwrap(), bytes[bytes.len() - 1..]);
    }
}

#[test]
fn uploads_go_with_their_repository_also_sealed_ones() {
    let room = Room::new("sealed-forgotten");
    sealed(&room).begin(&key(1)).unwrap();
    let blobs = room.open();
    blobs.begin(&super::key(1)).unwrap();
    let gone = seal(1).id().to_string();
    assert_eq!(blobs.uploading(), BTreeSet::from([A.to_owned(), gone.clone()]));
    assert_eq!((blobs.forget(&BTreeSet::from([gone])), blobs.open_uploads(), room.staged()), (1, 1, 1));
}

#[test]
fn what_the_machine_lost_of_a_sealed_upload_is_sent_again() {
    let bytes = content(5, 2 * PLAIN + 5000);
    for (cut, left) in [
        (HEAD + 2 * RAW + 100, 2 * PLAIN),
        // Less than what is around a segment.
        (HEAD + 2 * RAW + 10, 2 * PLAIN),
        (HEAD + RAW + RAW / 2, PLAIN),
        (HEAD, 0),
        (HEAD / 2, 0),
        (0, 0),
    ] {
        let room = Room::new(&format!("torn-{cut}"));
        {
            let blobs = sealed(&room);
            blobs.begin(&key(1)).unwrap();
            blobs.append(&key(1), Some(0)).unwrap().write(&bytes).unwrap();
        }
        let path = files(&room.0.join("uploads")).remove(0);
        fs::File::options().write(true).open(path).unwrap().set_len(cut as u64).unwrap();
        let blobs = sealed(&room);
        match blobs.append(&key(1), Some(blobs.received(&key(1)).unwrap())) {
            Err(Error::OutOfOrder { at }) => assert_eq!(at, left as u64),
            Ok(writer) => assert_eq!(writer.received(), left as u64),
            Err(error) => panic!("{cut}: {error}"),
        }
        assert_eq!(blobs.received(&key(1)).unwrap(), left as u64);
        let mut writer = blobs.append(&key(1), Some(left as u64)).unwrap();
        writer.write(&bytes[left..]).unwrap();
        writer.finish(&sha(&bytes)).unwrap();
        assert_eq!(whole(&blobs, &sha(&bytes)), bytes, "{cut}");
    }
}

/// A process may end at any byte of what it writes: the file is as it was before from there on.
#[test]
fn what_was_told_of_a_sealed_upload_outlasts_the_process() {
    for came in [1, 5000, PLAIN - 1, PLAIN + 300] {
        for more in [10, PLAIN, 2 * PLAIN + 7] {
            end_while_it_is_written(came, more);
        }
    }
}

fn end_while_it_is_written(came: usize, more: usize) {
    let room = Room::new("ended");
    let (blobs, bytes) = (sealed(&room), content(11, came + more));
    blobs.begin(&key(1)).unwrap();
    let mut writer = blobs.append(&key(1), Some(0)).unwrap();
    writer.write(&bytes[..came]).unwrap();
    assert_eq!(writer.pause().unwrap(), came as u64);
    let path = blobs.open.uploads.path(&key(1));
    let now = || fs::read(&path).unwrap();
    let parked = now();
    let mut writer = blobs.append(&key(1), Some(came as u64)).unwrap();
    writer.write(b"").unwrap();
    let spared = now();
    let mut lengthened = parked.clone();
    lengthened.resize(spared.len(), 0);
    writer.write(&bytes[came..]).unwrap();
    let written = now();
    writer.pause().unwrap();
    let other = room.0.join("other");
    for (before, after) in [(lengthened, &spared), (spared.clone(), &written), (written.clone(), &now())] {
        for cut in (place((came / PLAIN) as u64) as usize..=after.len()).step_by(4096 + 5) {
            let left = [&after[..cut], before.get(cut..).unwrap_or_default()].concat();
            fs::write(&other, left).unwrap();
            let found = found(&other);
            assert!(found.0 >= came as u64, "{} of {came} and {more}, cut at {cut}", found.0);
            let found_bytes = usize::try_from(found.0).unwrap();
            assert_eq!(found, (found_bytes as u64, sha(&bytes[..found_bytes])));
        }
    }
    assert_eq!(blobs.append(&key(1), None).unwrap().finish(&sha(&bytes)).unwrap().size, bytes.len() as u64);
    assert_eq!(whole(&blobs, &sha(&bytes)), bytes);
}

#[test]
fn who_goes_on_with_a_sealed_upload_after_a_kill_is_told_how_far_it_came() {
    const CAME: usize = 20_000;
    let room = Room::new("sealed-killed");
    let (blobs, bytes) = (sealed(&room), content(12, CAME + 5));
    blobs.begin(&key(1)).unwrap();
    let mut writer = blobs.append(&key(1), Some(0)).unwrap();
    writer.write(&bytes[..CAME]).unwrap();
    writer.pause().unwrap();
    let path = blobs.open.uploads.path(&key(1));
    let mut writer = blobs.append(&key(1), None).unwrap();
    writer.write(b"").unwrap();
    let spared = fs::read(&path).unwrap();
    drop((writer, blobs));
    let killed = || {
        fs::write(&path, &spared).unwrap();
        sealed(&room)
    };
    assert_eq!(killed().received(&key(1)).unwrap(), CAME as u64);
    assert!(
        matches!(killed().append(&key(1), Some(CAME as u64 + 1)), Err(Error::OutOfOrder { at }) if at == CAME as u64)
    );
    let blobs = killed();
    let mut writer = blobs.append(&key(1), Some(CAME as u64)).unwrap();
    writer.write(&bytes[CAME..]).unwrap();
    writer.finish(&sha(&bytes)).unwrap();
    assert_eq!(whole(&blobs, &sha(&bytes)), bytes);
}

/// What of a sealed upload's file is gone on with.
fn found(path: &Path) -> (u64, Digest) {
    let read = || {
        let mut staged = Staged::open(path, Some(&seal(1))).unwrap();
        let (hash, bytes) = staged.hash_again(Algorithm::Sha256).unwrap();
        staged.seek(bytes).unwrap();
        assert_eq!(fs::metadata(path).unwrap().len(), raw_length(bytes));
        (bytes, hash.digest())
    };
    let first = read();
    assert_eq!(read(), first, "it is as it was found");
    first
}

#[test]
fn an_upload_with_a_foreign_head_is_ended() {
    let room = Room::new("foreign-head");
    let blobs = sealed(&room);
    blobs.begin(&key(1)).unwrap();
    fs::write(files(&room.0.join("uploads")).remove(0), [7; 2 * RAW]).unwrap();
    assert!(matches!(blobs.append(&key(1), None), Err(Error::UnknownUpload)));
    assert_eq!((room.staged(), blobs.open_uploads()), (0, 0));
}

#[test]
fn files_that_changed_places_or_were_cut_are_not_read() {
    let room = Room::new("swapped");
    let blobs = sealed(&room);
    let (one, two) = (content(6, 3 * PLAIN), content(7, 3 * PLAIN));
    let digests = [push(&blobs, &one).digest, push(&blobs, &two).digest];
    let [first, second] = digests.each_ref().map(|digest| file(&room, &blobs, digest));
    let kept = fs::read(&first).unwrap();
    fs::copy(&second, &first).unwrap();
    assert!(matches!(blobs.reader(&digests[0]), Err(Error::Damaged)));
    fs::write(&first, &kept[..HEAD + 2 * RAW]).unwrap();
    assert!(matches!(blobs.reader(&digests[0]), Err(Error::Damaged)));
    fs::write(&first, &kept[..9]).unwrap();
    assert!(matches!(blobs.reader(&digests[0]), Err(Error::Damaged)));
    // A segment that was changed is found by whoever reads it, and by nobody else.
    let mut changed = kept.clone();
    changed[HEAD + RAW + 99] ^= 4;
    fs::write(&first, &changed).unwrap();
    let reader = blobs.reader(&digests[0]).unwrap();
    assert!(matches!(reader.read_all(), Err(Error::Damaged)));
    assert!(matches!(reader.read(PLAIN as u64, 1), Err(Error::Damaged)));
    assert_eq!(reader.read_now(PLAIN as u64, 1), None);
    assert_eq!(reader.read(0, 50).unwrap(), one[..50]);
    assert_eq!(reader.read(2 * PLAIN as u64, 50).unwrap(), one[2 * PLAIN..2 * PLAIN + 50]);
    // Cut while it is read.
    fs::write(&first, &kept).unwrap();
    let reader = blobs.reader(&digests[0]).unwrap();
    fs::File::options().write(true).open(&first).unwrap().set_len((HEAD + RAW + 7) as u64).unwrap();
    assert!(matches!(reader.read_all(), Err(Error::Damaged)));
    // Of another repository, under its own name.
    let other = blobs.under(Some(seal(2)));
    let foreign = file(&room, &other, &digests[1]);
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::copy(&second, &foreign).unwrap();
    assert!(matches!(other.reader(&digests[1]), Err(Error::Damaged)));
}

#[test]
fn a_full_disk_ends_a_sealed_upload() {
    let room = Room::new("sealed-full");
    let blobs = sealed(&room);
    for length in [10, PLAIN + 10] {
        blobs.begin(&key(1)).unwrap();
        let mut writer = blobs.append(&key(1), None).unwrap();
        writer.staged.file = fs::File::options().write(true).open("/dev/full").unwrap();
        let written = writer.write(&content(8, length)).and_then(|()| writer.pause());
        assert!(matches!(written, Err(Error::Full)), "{length}");
        assert!(matches!(blobs.received(&key(1)), Err(Error::UnknownUpload)));
    }
    assert_eq!((room.staged(), there(&blobs, Some(seal(1).id())).len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_what_is_sealed() {
    let room = Room::new("sealed-bucket");
    let bucket = Room::new("sealed-bucket-itself");
    fs::create_dir_all(&bucket.0).unwrap();
    let url = Some(format!("file://{}/images", bucket.0.display()));
    let options = Options { url, ..Options::of(&room.0) };
    let large = content(9, 20 * 1024 * 1024 + 5);
    let check = move || {
        let blobs = Blobs::open(&options).unwrap().under(Some(seal(1)));
        assert_eq!(blobs.seals().unwrap(), []);
        for bytes in [&large[..], b"a small one", b""] {
            let kept = push(&blobs, bytes);
            assert_eq!(blobs.size(&kept.digest).unwrap(), Some(bytes.len() as u64));
            assert_eq!(whole(&blobs, &kept.digest), bytes);
        }
        let kept = blobs.put(Algorithm::Sha512, Bytes::from_static(b"a small one")).unwrap();
        let cold = Blobs::open(&options).unwrap().under(Some(seal(1)));
        assert_eq!(cold.read(&kept.digest, 20).unwrap(), "a small one");
        let reader = cold.reader(&sha(&large)).unwrap();
        assert!(reader.read_now(0, 1).is_none());
        for at in [0, PLAIN - 3, 9_999_999, large.len() - 5] {
            let piece = reader.read(at as u64, 70_000).unwrap();
            assert_eq!(piece, large[at..large.len().min(at + 70_000)], "{at}");
            let later = reader.read_later(at as u64, 70_000);
            assert_eq!(Handle::current().block_on(later).unwrap().unwrap(), piece, "{at}");
        }
        let end = Handle::current().block_on(reader.read_later(large.len() as u64, 1)).unwrap();
        assert!(matches!(end, Err(Error::Missing)));
        assert!(!is_anywhere(&bucket, &large[..16]) && !is_anywhere(&bucket, b"a small one"));
        assert!(!is_anywhere(&room, &large[..16]));
        drop(kept);
        let beside = bucket.0.join("images/sealed").join(seal(1).id().as_str());
        fs::write(beside.join("README"), "nobody's").unwrap();
        assert_eq!((blobs.shelves(Some(seal(1).id())).len(), blobs.shelves(None).len()), (1, 512));
        let lying = there(&blobs, Some(seal(1).id()));
        assert_eq!((lying.len(), all(&blobs).len(), blobs.seals().unwrap()), (4, 0, vec![seal(1).id().clone()]));
        for address in lying {
            assert!(blobs.remove_unless(&address, || false).unwrap());
        }
        blobs.clear(seal(1).id()).unwrap();
        assert_eq!(there(&blobs, Some(seal(1).id())), []);
    };
    tokio::task::spawn_blocking(check).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Pieces of any length, with pauses and restarts between them, are what they were; and so is any range of them.
    #[test]
    fn ranges_of_a_sealed_blob_are_those_of_its_bytes(
        pieces in prop::collection::vec((0..2 * PLAIN, 0..3_u8), 0..6),
        ranges in prop::collection::vec((any::<prop::sample::Index>(), 1..6 * PLAIN as u64), 1..8),
    ) {
        let room = Room::new("sealed-ranges");
        let mut blobs = sealed(&room);
        blobs.begin(&key(1)).unwrap();
        let mut bytes = Vec::new();
        for (length, then) in pieces {
            let piece = content(length as u64, length);
            let mut writer = blobs.append(&key(1), Some(bytes.len() as u64)).unwrap();
            writer.write(&piece).unwrap();
            bytes.extend_from_slice(&piece);
            match then {
                0 => drop(writer),
                1 => drop(writer.pause().unwrap()),
                _ => {
                    drop(writer);
                    blobs = sealed(&room);
                }
            }
        }
        let kept = blobs.append(&key(1), None).unwrap().finish(&sha(&bytes)).unwrap();
        let reader = blobs.reader(&kept.digest).unwrap();
        prop_assert_eq!(reader.size(), bytes.len() as u64);
        prop_assert!(reader.read_all().unwrap() == bytes);
        for (at, most) in ranges.into_iter().filter(|_| !bytes.is_empty()) {
            let at = at.index(bytes.len());
            let waited = reader.read(at as u64, most).unwrap();
            let now = reader.read_now(at as u64, most).unwrap_or_else(|| waited.clone());
            for piece in [waited, now] {
                prop_assert!(!piece.is_empty() && piece.len() as u64 <= most);
                prop_assert!(piece == bytes[at..at + piece.len()]);
            }
        }
        prop_assert!(matches!(reader.read(bytes.len() as u64, 1), Err(Error::Missing)));
    }
}
