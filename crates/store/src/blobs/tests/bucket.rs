//! Blobs in a bucket, which is a directory here.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_what_a_directory_does() {
    let room = Room::new("bucket");
    let bucket = Room::new("bucket-itself");
    fs::create_dir_all(&bucket.0).unwrap();
    let url = Some(format!("file://{}/images", bucket.0.display()));
    let options = Options { url, owner: "one".to_owned(), ..Options::of(&room.0) };
    let large = content(4, 20 * 1024 * 1024 + 5);
    let check = move || {
        let blobs = Blobs::open(&options).unwrap();
        for bytes in [&large[..], b"small", b""] {
            blobs.begin(&key(1)).unwrap();
            let mut writer = blobs.append(&key(1), Some(0)).unwrap();
            writer.write(bytes).unwrap();
            let kept = writer.finish(&sha(bytes)).unwrap();
            assert_eq!(blobs.size(&kept.digest).unwrap(), Some(bytes.len() as u64));
            assert_eq!(whole(&blobs, &kept.digest), bytes);
        }
        let kept = blobs.put(Algorithm::Sha512, Bytes::from_static(b"{}")).unwrap();
        assert_eq!(Blobs::open(&options).unwrap().read(&kept.digest, 2).unwrap(), "{}");
        assert_eq!((all(&blobs).len(), room.staged()), (4, 0));
        let reader = blobs.reader(&sha(&large)).unwrap();
        assert!(reader.read_now(0, 1).is_none());
        assert_eq!(reader.read(7, 9).unwrap(), large[7..16]);
        drop(kept);
        for digest in all(&blobs) {
            assert!(blobs.remove_unless(&blobs.address(&digest), || false).unwrap());
            assert!(blobs.remove_unless(&blobs.address(&digest), || false).unwrap());
            assert!(matches!(blobs.reader(&digest), Err(Error::Missing)));
        }
        assert_eq!(all(&blobs).len(), 0);
    };
    tokio::task::spawn_blocking(check).await.unwrap();
    for url in ["nonsense", "ftp://host/path", "memory:///", "http://127.0.0.1:1/images", "https://example.org/images"]
    {
        let options =
            Options { url: Some(url.to_owned()), ..Options::of(std::env::temp_dir().join("longshore-no-bucket")) };
        assert!(matches!(Blobs::open(&options), Err(Error::Bucket(_))), "{url}");
        let _ = fs::remove_dir_all(options.dir);
    }
}

#[test]
fn a_bucket_of_another_installation_is_left_alone() {
    let (room, bucket) = (Room::new("owner"), Room::new("owner-bucket"));
    let images = bucket.0.join("images");
    fs::create_dir_all(&images).unwrap();
    let as_owner = |owner: &str| {
        let url = Some(format!("file://{}", images.display()));
        Blobs::open(&Options { url, owner: owner.to_owned(), ..Options::of(&room.0) })
    };
    let ours = as_owner("one").unwrap();
    let digest = ours.put(Algorithm::Sha256, Bytes::from_static(b"{}")).unwrap().digest;
    assert!(matches!(as_owner("two").map(drop), Err(Error::Foreign { mark, .. }) if mark == "one"));
    as_owner("one").unwrap().confirm().unwrap();
    // Another takes the bucket meanwhile.
    fs::write(images.join("longshore-owner"), "two").unwrap();
    assert!(matches!(ours.confirm(), Err(Error::Foreign { .. })));
    assert!(matches!(ours.put(Algorithm::Sha256, Bytes::from_static(b"[]")), Err(Error::Foreign { .. })));
    assert!(matches!(ours.remove_unless(&ours.address(&digest), || false), Err(Error::Foreign { .. })));
    fs::remove_file(images.join("longshore-owner")).unwrap();
    assert!(matches!(as_owner("one").map(drop), Err(Error::Unmarked)));
    assert!(matches!(ours.remove_unless(&ours.address(&digest), || false), Err(Error::Unmarked)));
    assert_eq!(whole(&ours, &digest), b"{}");
}

#[test]
fn in_a_bucket_bytes_that_just_came_are_not_settled() {
    let (room, bucket) = (Room::new("settled"), Room::new("settled-bucket"));
    fs::create_dir_all(&bucket.0).unwrap();
    let bytes = Bytes::from_static(b"{}");
    let url = Some(format!("file://{}", bucket.0.display()));
    let blobs = Blobs::open(&Options { url, owner: "one".to_owned(), ..Options::of(&room.0) }).unwrap();
    let digest = blobs.put(Algorithm::Sha256, bytes.clone()).unwrap().digest;
    assert!(!blobs.is_settled(&blobs.address(&digest)).unwrap());
    assert!(!blobs.is_settled(&blobs.address(&sha(b"missing"))).unwrap());
    let object = bucket.0.join("blobs/sha256").join(&digest.hex()[..2]).join(digest.hex());
    let before = std::time::SystemTime::now() - Duration::from_secs(24 * 3600 + 1);
    fs::File::options().write(true).open(object).unwrap().set_modified(before).unwrap();
    assert!(blobs.is_settled(&blobs.address(&digest)).unwrap());
    let directory = room.open();
    let kept = directory.put(Algorithm::Sha256, bytes).unwrap();
    assert!(directory.is_settled(kept.address()).unwrap(), "nobody else writes there");
}
