//! Bytes that come again: while they are read, and where they are not whole any more.

use std::os::unix::fs::FileExt as _;

use super::super::seal::{HEAD, PLAIN, RAW};
use super::sealed::{files, push, seal};
use super::*;

/// A bucket that is a directory, and those who use it.
struct InBucket {
    room: Room,
    bucket: Room,
}

impl InBucket {
    fn new(name: &str) -> Self {
        let (room, bucket) = (Room::new(name), Room::new(&format!("{name}-itself")));
        fs::create_dir_all(&bucket.0).unwrap();
        Self { room, bucket }
    }

    fn options(&self) -> Options {
        let url = Some(format!("file://{}", self.bucket.0.display()));
        Options { url, owner: "one".to_owned(), ..Options::of(&self.room.0) }
    }

    fn open(&self) -> Blobs {
        Blobs::open(&self.options()).unwrap()
    }
}

fn path(root: &Room, blobs: &Blobs, digest: &Digest) -> PathBuf {
    root.0.join(blobs.address(digest).shelf()).join(digest.hex())
}

/// Changes a byte of a file.
fn rot(path: &Path, at: usize) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at as u64).unwrap();
}

fn push_as(blobs: &Blobs, number: u32, bytes: &[u8]) -> Digest {
    let key = key_in(blobs, number);
    blobs.begin(&key).unwrap();
    let mut writer = blobs.append(&key, Some(0)).unwrap();
    writer.write(bytes).unwrap();
    writer.finish(&sha(bytes)).unwrap().digest
}

/// What is sealed anew is another object, whose pieces are none of the first.
#[test]
fn a_sealed_object_is_not_written_over_while_it_is_read() {
    let kept = InBucket::new("again-read");
    let blobs = kept.open().under(Some(seal(1)));
    let (large, small) = (content(1, 9 * 1024 * 1024), content(2, 5000));
    let digests = [push(&blobs, &large).digest, blobs.put(Algorithm::Sha256, small.clone().into()).unwrap().digest];
    let paths = digests.each_ref().map(|digest| path(&kept.bucket, &blobs, digest));
    let laid_out = paths.each_ref().map(|path| fs::read(path).unwrap());
    let readers = digests.each_ref().map(|digest| blobs.reader(digest).unwrap());
    std::thread::scope(|scope| {
        for number in 1..4 {
            let (blobs, large, small) = (&blobs, &large, &small);
            scope.spawn(move || push_as(blobs, number, large));
            scope.spawn(move || push_as(blobs, number + 10, small));
            scope.spawn(move || blobs.put(Algorithm::Sha256, small.clone().into()).unwrap());
        }
        assert_eq!(readers[0].read_all().unwrap(), large);
        assert_eq!(readers[1].read_all().unwrap(), small);
    });
    assert_eq!(readers.map(|reader| reader.read_all().unwrap()), [large, small]);
    assert!(paths.map(|path| fs::read(path).unwrap()) == laid_out);
}

/// Who has pushed reads what it pushed, while others are not done with the same.
#[test]
fn of_those_who_push_the_same_at_one_time_one_writes() {
    let kept = InBucket::new("again-push");
    let blobs = kept.open().under(Some(seal(1)));
    let (large, small) = (content(1, 9 * 1024 * 1024), content(2, 5000));
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (blobs, large, small) = (&blobs, &large, &small);
            scope.spawn(move || assert!(whole(blobs, &push_as(blobs, number, large)) == *large));
            scope.spawn(move || {
                let put = blobs.put(Algorithm::Sha256, small.clone().into()).unwrap();
                assert_eq!(whole(blobs, &put.digest), *small);
            });
        }
    });
    assert_eq!(files(&kept.bucket.0.join("sealed")).len(), 2);
    assert_eq!((kept.room.staged(), blobs.open_uploads()), (0, 0));
}

#[test]
fn on_a_disk_bytes_that_come_again_replace_what_rotted() {
    let room = Room::new("again-disk");
    for blobs in [room.open(), room.open().under(Some(seal(1)))] {
        let bytes = content(3, 2 * PLAIN + 99);
        let digest = push(&blobs, &bytes).digest;
        let path = path(&room, &blobs, &digest);
        for at in [HEAD + RAW + 5, HEAD - 1] {
            rot(&path, at);
            let before = blobs.reader(&digest);
            drop(push(&blobs, &bytes));
            assert_eq!(whole(&blobs, &digest), bytes);
            assert!(before.and_then(|reader| reader.read_all()).map_or(true, |read| read != bytes));
            rot(&path, at);
            drop(blobs.put(Algorithm::Sha256, bytes.clone().into()).unwrap());
            assert_eq!(whole(&blobs, &digest), bytes);
        }
    }
    assert_eq!(room.staged(), 0);
}

#[test]
fn in_a_bucket_what_a_reader_found_damaged_is_replaced_when_it_comes_again() {
    let kept = InBucket::new("again-bucket");
    let blobs = kept.open().under(Some(seal(1)));
    let bytes = content(4, 9 * 1024 * 1024);
    let digest = push(&blobs, &bytes).digest;
    let (path, address) = (path(&kept.bucket, &blobs, &digest), blobs.address(&digest));
    for at in [HEAD + 3 * RAW, 1] {
        rot(&path, at);
        // Nobody knows yet.
        drop(push(&blobs, &bytes));
        let read = blobs.reader(&digest).and_then(|reader| reader.read_all());
        assert!(matches!(read, Err(Error::Damaged)), "{at}");
        drop(push(&blobs, &bytes));
        assert_eq!(whole(&blobs, &digest), bytes);
        assert!(!blobs.open.doubts.has(&address));
    }
    // One that was doubted for nothing is left to those who read it.
    let laid_out = fs::read(&path).unwrap();
    let _ = blobs.open.doubts.witness(&address).tell::<()>(Err(Error::Damaged));
    drop(push(&blobs, &bytes));
    assert!(fs::read(&path).unwrap() == laid_out);
    assert!(!blobs.open.doubts.has(&address));
}

#[test]
fn in_a_bucket_small_bytes_that_come_again_replace_what_is_not_they() {
    let kept = InBucket::new("again-small");
    let bytes = content(5, 700);
    for blobs in [kept.open(), kept.open().under(Some(seal(1)))] {
        let put = || blobs.put(Algorithm::Sha256, bytes.clone().into()).unwrap().digest;
        let path = path(&kept.bucket, &blobs, &put());
        rot(&path, HEAD + 5);
        assert_eq!(whole(&blobs, &put()), bytes);
        fs::write(&path, b"shorter").unwrap();
        assert_eq!(whole(&blobs, &put()), bytes);
    }
}
