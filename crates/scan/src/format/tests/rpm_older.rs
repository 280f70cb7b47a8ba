//! Rpm's databases before SQLite, as they are made by what made them.

use super::*;

const BERKELEY: &str = "var/lib/rpm/Packages";
const NDB: &str = "usr/lib/sysimage/rpm/Packages.db";

fn package(name: &str, files: usize) -> Vec<u8> {
    let source = format!("{name}-1.0-2.src.rpm");
    rpm_header(&[(1000, name), (1001, "1.0"), (1002, "2"), (1044, &source), (5000, &"x".repeat(files))], None)
}

/// Writes numbers in one order of bytes or the other.
struct Pen {
    is_big: bool,
    size: usize,
}

impl Pen {
    fn word(&self, page: &mut [u8], at: usize, value: usize) {
        let value = u32::try_from(value).unwrap();
        let bytes = if self.is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        page[at..at + 4].copy_from_slice(&bytes);
    }

    fn half(&self, page: &mut [u8], at: usize, value: usize) {
        let value = u16::try_from(value).unwrap();
        let bytes = if self.is_big { value.to_be_bytes() } else { value.to_le_bytes() };
        page[at..at + 2].copy_from_slice(&bytes);
    }

    fn about(&self, last: usize) -> Vec<u8> {
        let mut page = vec![0; self.size];
        for (at, value) in [(12, 0x0006_1561), (16, 9), (20, self.size), (32, last)] {
            self.word(&mut page, at, value);
        }
        page[25] = 8;
        page
    }

    /// A bucket of keys and values, which lie from its end on.
    fn bucket(&self, pairs: &[(usize, Vec<u8>)]) -> Vec<u8> {
        let mut page = vec![0; self.size];
        let (mut end, mut entries) = (self.size, 0);
        let mut put = |page: &mut [u8], bytes: &[u8]| {
            end -= bytes.len();
            page[end..end + bytes.len()].copy_from_slice(bytes);
            self.half(page, 26 + 2 * entries, end);
            entries += 1;
        };
        for (number, value) in pairs {
            let mut key = vec![1; 5];
            self.word(&mut key, 1, *number);
            put(&mut page, &key);
            put(&mut page, value);
        }
        self.half(&mut page, 20, 2 * pairs.len());
        page[25] = 13;
        page
    }

    /// A value that lies from page `first` on, and its pages.
    fn value(&self, first: usize, bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut entry = vec![3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        self.word(&mut entry, 4, first);
        self.word(&mut entry, 8, bytes.len());
        let parts: Vec<&[u8]> = bytes.chunks(self.size - 26).collect();
        let page = |(number, part): (usize, &&[u8])| {
            let mut page = vec![0; self.size];
            page[26..26 + part.len()].copy_from_slice(part);
            self.half(&mut page, 22, part.len());
            page[25] = 7;
            if number + 1 < parts.len() {
                self.word(&mut page, 16, first + number + 1);
            }
            page
        };
        (entry, parts.iter().enumerate().map(page).collect())
    }

    /// A database with the counter, a bucket for each package and a page that is free. Large packages lie elsewhere.
    fn database(&self, packages: &[Vec<u8>]) -> Vec<u8> {
        let mut pages = vec![self.bucket(&[(0, vec![1, 9, 0, 0, 0])]), vec![0; self.size]];
        for (number, package) in packages.iter().enumerate() {
            let here = [&[1], &package[..]].concat();
            let (value, parts) = match here.len() < self.size / 4 {
                true => (here, Vec::new()),
                false => self.value(pages.len() + 2, package),
            };
            pages.push(self.bucket(&[(number + 1, value)]));
            pages.extend(parts);
        }
        pages.insert(0, self.about(pages.len()));
        pages.concat()
    }
}

fn berkeley(packages: &[Vec<u8>]) -> Vec<u8> {
    Pen { is_big: false, size: 512 }.database(packages)
}

fn ndb(packages: &[Vec<u8>]) -> Vec<u8> {
    let words = |words: &[usize]| {
        words.iter().flat_map(|word| u32::try_from(*word).unwrap().to_le_bytes()).collect::<Vec<u8>>()
    };
    let (mut slots, mut blocks) = (Vec::new(), Vec::new());
    for (number, package) in packages.iter().enumerate() {
        let count = (16 + package.len() + 12).div_ceil(16);
        slots.extend([&b"Slot"[..], &words(&[number + 1, 256 + blocks.len() / 16, count])].concat());
        let end = blocks.len() + count * 16;
        blocks.extend([&b"BlbS"[..], &words(&[number + 1, 7, package.len()]), package].concat());
        blocks.resize(end - 12, 0);
        blocks.extend([&words(&[0, package.len()])[..], b"BlbE"].concat());
        // A package that was removed.
        slots.extend([&b"Slot"[..], &words(&[0, 0, 0])].concat());
    }
    let mut bytes = [&b"RpmP"[..], &words(&[0, 7, 1, 9, 0, 0, 0]), &slots].concat();
    while bytes.len() < 4096 {
        bytes.extend([&b"Slot"[..], &[0; 12]].concat());
    }
    [bytes, blocks].concat()
}

fn some() -> Vec<Vec<u8>> {
    let key = rpm_header(&[(1000, "gpg-pubkey"), (1001, "a"), (1002, "b")], None);
    vec![package("bash", 0), package("glibc", 3000), key, package("zlib", 100_000), b"noise".to_vec()]
}

const SOME: &str = "bash@1.0-2<bash@1.0-2 glibc@1.0-2<glibc@1.0-2 zlib@1.0-2<zlib@1.0-2 refused 1";

#[test]
fn rpm_lists_packages_in_berkeley_db() {
    for (is_big, size) in [(false, 4096), (true, 4096), (false, 512), (true, 65_536 / 2)] {
        check_bytes(BERKELEY, &Pen { is_big, size }.database(&some()), SOME);
    }
    check_bytes(BERKELEY, &berkeley(&[]), "");
}

#[test]
fn rpm_lists_packages_in_its_own_database() {
    check_bytes(NDB, &ndb(&some()), SOME);
    check_bytes(NDB, &ndb(&[]), "");
}

#[test]
fn older_databases_that_are_damaged_are_told() {
    let changed = |bytes: &[u8], at: usize, with: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let (old, own) = (berkeley(&some()), ndb(&some()));
    // Page 3 is the bucket of the first package; the second's value lies on pages 5 and following.
    let (bucket, value) = (3 * 512, 5 * 512);
    let rows: &[(&str, Vec<u8>, &str)] = &[
        (BERKELEY, b"noise".to_vec(), "it ends early"),
        (BERKELEY, vec![0; 4096], "it is none of Berkeley DB's hash databases"),
        (BERKELEY, old[..512].to_vec(), "it ends early"),
        (BERKELEY, old[..old.len() - 1].to_vec(), "it ends early"),
        (BERKELEY, changed(&old, 16, &[3]), "it is of an unknown version"),
        (BERKELEY, changed(&old, 20, &[0, 0, 0, 0]), "it is of an unknown version"),
        (BERKELEY, changed(&old, 20, &[1, 2, 0, 0]), "it is of an unknown version"),
        (BERKELEY, changed(&old, 24, &[1]), "it is sealed, or not as rpm makes it"),
        (BERKELEY, changed(&old, 26, &[1]), "it is sealed, or not as rpm makes it"),
        (BERKELEY, changed(&old, 32, &[0xff; 4]), "it ends early"),
        (BERKELEY, changed(&old, bucket + 20, &[0xff; 2]), "one of its buckets is damaged"),
        (BERKELEY, changed(&old, bucket + 20, &[1, 0]), "one of its keys has no value"),
        (BERKELEY, changed(&old, bucket + 26, &[0, 0]), "one of its buckets is damaged"),
        (BERKELEY, changed(&old, bucket + 26, &[0xff, 1]), "one of its keys is no number"),
        (BERKELEY, changed(&old, value + 22, &[0xff, 0xff]), "one of its values is damaged"),
        (BERKELEY, changed(&old, value + 16, &[0, 0, 0, 0]), "one of its values is damaged"),
        // Pages that lead to themselves, and to those of another value.
        (BERKELEY, changed(&old, value + 16, &[5, 0, 0, 0]), "one of its values is damaged"),
        (BERKELEY, changed(&old, value + 512 + 16, &[14, 0, 0, 0]), "one of its values is damaged"),
        (NDB, b"RpmP....".to_vec(), "it is of an unknown version"),
        (NDB, changed(&own, 4, &[1]), "it is of an unknown version"),
        (NDB, changed(&own, 12, &[0, 0, 0, 0]), "it ends early"),
        (NDB, changed(&own, 12, &[0xff; 4]), "it ends early"),
        (NDB, own[..4000].to_vec(), "it ends early"),
        (NDB, own[..own.len() - 16].to_vec(), "one of its packages is beyond its end"),
        (NDB, changed(&own, 32, b"slot"), "one of its slots is damaged"),
        (NDB, changed(&own, 36, &[9]), "one of its packages is damaged"),
        (NDB, changed(&own, 40, &[0xff; 4]), "one of its packages is beyond its end"),
        (NDB, changed(&own, 44, &[0; 4]), "one of its packages is damaged"),
        (NDB, changed(&own, 4096 + 12, &[0xff; 4]), "one of its packages is damaged"),
        (NDB, changed(&own, own.len() - 4, b"blbe"), "one of its packages is damaged"),
    ];
    for (number, (path, bytes, expected)) in rows.iter().enumerate() {
        match found(path, bytes) {
            Some(Found::Unread(reason) | Found::Packages { unread: Some(reason), .. }) => {
                assert_eq!(reason, format!("unsupported rpm database: {expected}"), "row {number}")
            }
            other => panic!("row {number}: {other:?}"),
        }
    }
}

#[test]
fn packages_that_lie_on_each_other_are_not_read_over_and_over() {
    let mut bytes = ndb(&[package("large", 60_000)]);
    let slot = bytes[32..48].to_vec();
    for at in (48..4096).step_by(16) {
        bytes[at..at + 16].copy_from_slice(&slot);
    }
    check_bytes(NDB, &bytes, "large@1.0-2<large@1.0-2 unsupported rpm database: its packages lie on each other");
}

#[test]
fn no_change_of_a_byte_makes_a_reader_panic() {
    for (path, whole) in [(BERKELEY, berkeley(&some()[..2])), (NDB, ndb(&some()[..2]))] {
        for at in (0..whole.len()).filter(|at| *at < 600 || at % 3 == 0) {
            for with in [0, 1, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = with;
                found(path, &bytes);
            }
        }
        for length in (0..whole.len()).step_by(7) {
            found(path, &whole[..length]);
        }
    }
}

#[test]
fn a_database_that_rpm_no_longer_has_says_and_hides_nothing() {
    let header = rpm_header(&[(1000, "bash"), (1001, "5"), (1002, "1")], None);
    let newest = || (RPM_PATH, found(RPM_PATH, &rpm_database(RPM_TABLE, std::slice::from_ref(&header), "DELETE")));
    let told = |files: Vec<(&str, Option<Found>)>| {
        let files = files.into_iter().map(|(path, found)| (path.as_bytes().to_vec(), found.unwrap()));
        let contents = gather(files.collect());
        let names = contents.packages.into_iter().map(|package| package.name).collect::<Vec<_>>().join(" ");
        (names, contents.problems.iter().map(|problem| problem.hides_distribution).collect::<Vec<_>>())
    };
    let old = || (BERKELEY, found(BERKELEY, &berkeley(&[package("old", 0)])));
    let own = || (NDB, found(NDB, &ndb(&[package("own", 0)])));
    let torn = |path| (path, found(path, b"x"));
    let check = |files, names: &str, hides: &[bool]| assert_eq!(told(files), (names.to_owned(), hides.to_vec()));
    check(vec![old(), own(), newest()], "bash", &[]);
    check(vec![old(), own()], "own", &[]);
    check(vec![old()], "old", &[]);
    check(vec![torn(BERKELEY)], "", &[true]);
    check(vec![torn(BERKELEY), newest()], "bash", &[false]);
    check(vec![torn(BERKELEY), own()], "own", &[false]);
    // What is old may be read, but it is not what there is.
    check(vec![old(), torn(NDB)], "old", &[true]);
    check(vec![old(), torn(RPM_PATH)], "old", &[true]);
}
