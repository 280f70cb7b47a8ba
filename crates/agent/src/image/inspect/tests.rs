//! Layers of the classes R5 and R6, each made for what is wrong with it.

use std::io::{Cursor, Read, Write};

use flate2::Compression as Level;
use flate2::write::GzEncoder;

use super::super::document::Digest;
use super::*;

const BLOCK: usize = 512;

/// A header that is right unless it is edited.
fn header(kind: u8, name: &[u8], size: u64, edit: impl FnOnce(&mut [u8; BLOCK])) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    block[100..107].copy_from_slice(b"0000755");
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[136..147].copy_from_slice(b"00000000000");
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
    edit(&mut block);
    seal(&mut block);
    block.to_vec()
}

fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

fn padded(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.resize(content.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn plain(_: &mut [u8; BLOCK]) {}

fn gnu(block: &mut [u8; BLOCK]) {
    block[257..265].copy_from_slice(b"ustar  \0");
}

/// A file, or whatever else has content.
fn entry(kind: u8, name: &[u8], content: &[u8]) -> Vec<u8> {
    [header(kind, name, content.len() as u64, plain), padded(content)].concat()
}

fn link(kind: u8, name: &[u8], target: &[u8]) -> Vec<u8> {
    header(kind, name, 0, |block| block[157..157 + target.len()].copy_from_slice(target))
}

fn device(kind: u8, major: u32, minor: u32) -> Vec<u8> {
    header(kind, b"dev/x", 0, |block| {
        block[329..336].copy_from_slice(format!("{major:07o}").as_bytes());
        block[337..344].copy_from_slice(format!("{minor:07o}").as_bytes());
    })
}

/// Records of an extended header.
fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..).map(|digits| rest + digits).find(|all| all.to_string().len() + rest == *all).unwrap();
        text += &format!("{length} {key}={value}\n");
    }
    text.into_bytes()
}

fn extended(records: &[(&str, &str)]) -> Vec<u8> {
    entry(b'x', b"PaxHeaders/x", &pax(records))
}

fn end() -> Vec<u8> {
    vec![0; 2 * BLOCK]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A share of which so many bytes are left before layers must not swell.
fn of_bytes(bytes: u64) -> Share {
    Share {
        allowance: Arc::new(Allowance { unpacked: AtomicU64::new(FREE - bytes), ..Allowance::default() }),
        times: 1,
    }
}

fn of_entries(entries: u64, times: u64) -> Share {
    let allowance = Allowance { entries: AtomicU64::new(entries), ..Allowance::default() };
    Share { allowance: Arc::new(allowance), times }
}

/// What is said of a layer that may unpack to 64 MiB.
fn said(packed: impl Read) -> String {
    match inspect(packed, "", &of_bytes(64 << 20)) {
        Ok(()) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn layers_as_they_are_built_are_let_through() {
    let long = "deep/".repeat(60) + "file";
    let name = |block: &mut [u8; BLOCK]| block[345..350].copy_from_slice(b"usr/x");
    let rows: Vec<Vec<u8>> = vec![
        vec![],
        entry(b'0', b"/etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
        entry(0, b"old/", b""),
        entry(b'5', b"./", b""),
        link(b'2', b"etc/mtab", b"../../../proc/mounts"),
        link(b'2', b"bin", b"/usr/bin"),
        link(b'1', b"bin/other", b"bin/one"),
        device(b'3', 1, 3),
        device(b'3', 0, 0),
        device(b'3', 5, 0),
        device(b'3', 5, 2),
        entry(b'6', b"run/fifo", b""),
        entry(b'0', b"gone/.wh.file", b""),
        entry(b'0', b"gone/.wh..wh..opq", b""),
        entry(b'0', b"\xff\xfe not UTF-8", b"x"),
        header(b'0', b"name", 0, name),
        [entry(b'L', b"././@LongLink", long.as_bytes()), entry(b'0', b"cut", b"x")].concat(),
        [extended(&[("path", &long), ("SCHILY.xattr.security.capability", "\u{1}")]), entry(b'0', b"x", b"y")].concat(),
        [extended(&[("size", "3"), ("uid", "4294967294")]), entry(b'0', b"x", b"abc")].concat(),
        [entry(b'g', b"pax_global_header", &pax(&[("comment", "commit")])), entry(b'0', b"x", b"y")].concat(),
        [entry(b'0', b"twice", b"1"), entry(b'0', b"twice", b"2")].concat(),
        header(b'0', b"base256", 0, |block| block[108..116].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff])),
    ];
    for row in rows {
        let tar = [row.clone(), end()].concat();
        let shown = String::from_utf8_lossy(&row).chars().take(40).collect::<String>();
        assert_eq!(said(Cursor::new(&tar)), "nothing", "{shown}");
        assert_eq!(said(Cursor::new(gzip(&tar))), "nothing", "{shown}, packed");
        assert_eq!(said(Cursor::new(zstd::encode_all(&tar[..], 3).unwrap())), "nothing", "{shown}, packed by zstd");
        assert_eq!(said(Cursor::new(&row)), "nothing", "{shown}, without an end");
    }
}

#[test]
fn entries_that_break_a_rule_are_refused() {
    let deep = "d/".repeat(257) + "f";
    let long = "x".repeat(5000);
    let wide = "y".repeat(256);
    let field = |at: usize, bytes: &'static [u8]| {
        header(b'0', b"f", 0, |block| block[at..at + bytes.len()].copy_from_slice(bytes))
    };
    let with = |records: &[(&str, &str)], entry: Vec<u8>| [extended(records), entry].concat();
    let file = || entry(b'0', b"f", b"abc");
    let rows: Vec<(Vec<u8>, &str)> = vec![
        (entry(b'0', b"../canary", b"x"), "\"../canary\" leads out of the layer"),
        (entry(b'0', b"a/../../canary", b"x"), "leads out of the layer"),
        (with(&[("path", "../canary")], file()), "leads out of the layer"),
        ([entry(b'L', b"l", b"../canary"), file()].concat(), "leads out of the layer"),
        (link(b'1', b"inside", b"../../etc/shadow"), "\"../../etc/shadow\" leads out of the layer"),
        (with(&[("linkpath", "../x")], link(b'1', b"inside", b"x")), "leads out of the layer"),
        (entry(b'0', b".wh...", b""), "hides what is no entry"),
        (entry(b'0', b"a/.wh..", b""), "hides what is no entry"),
        (entry(b'0', b".wh.", b""), "hides what is no entry"),
        (device(b'4', 8, 0), "is a block device"),
        (device(b'3', 1, 1), "is the device 1:1 of the machine"),
        (device(b'3', 10, 200), "is the device 10:200 of the machine"),
        (entry(b'V', b"volume", b""), "is of the unknown type 'V'"),
        (entry(b'7', b"contiguous", b""), "is of the unknown type '7'"),
        (header(b'S', b"sparse", 0, gnu), "is a sparse file"),
        (entry(b'S', b"sparse", b""), "a sparse file is of no form that is known"),
        (with(&[("path", &deep)], file()), "more than 256 directories deep"),
        (with(&[("path", &long)], file()), "is no path"),
        (with(&[("path", "a\0b")], file()), "a name that is none"),
        (with(&[("path", &wide)], file()), "has a name that is too long"),
        ([entry(b'K', b"l", long.as_bytes()), link(b'2', b"s", b"x")].concat(), "is no path"),
        (with(&[("uid", "4294967296")], file()), "belongs to 4294967296, which is nobody"),
        (with(&[("gid", "4294967295")], file()), "which is nobody"),
        (field(108, &[0x80, 0, 0, 1, 0, 0, 0, 0]), "belongs to 4294967296"),
        (field(108, &[0xff; 8]), "a number of a header does not read"),
        (field(124, b"99999999999"), "a number of a header does not read"),
        (field(124, &[0xff; 12]), "a number of a header does not read"),
        (with(&[("size", "700")], file()), "an entry has two sizes"),
        (with(&[("size", "-1")], file()), "does not read"),
        (with(&[("size", "99999999999999999999")], file()), "does not read"),
        (
            with(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "s")], file()),
            "\"s\" is a sparse",
        ),
        (with(&[("GNU.sparse.map", "0,3"), ("GNU.sparse.size", "1125899906842624")], file()), "is a sparse file"),
        (with(&[("GNU.sparse.size", "1125899906842624")], file()), "a sparse file is of no form that is known"),
        (with(&[("SCHILY.xattr.trusted.overlay.redirect", "/etc")], file()), "\"f\" has an attribute of overlays"),
        (with(&[("SCHILY.xattr.user.overlay.opaque", "y")], file()), "\"f\" has an attribute of overlays"),
        (device(b'3', 4, 1), "is the device 4:1 of the machine"),
        (device(b'3', 5, 1), "is the device 5:1 of the machine"),
        (device(b'3', 136, 1), "is the device 136:1 of the machine"),
        (entry(b'g', b"../canary", &pax(&[("comment", "commit")])), "\"../canary\" leads out of the layer"),
        (entry(b'0', b"d/", b""), "a file is named as directories are"),
        // What readers disagree about: Go forgets at a global header, takes the header's size where the last record of it is
        // empty, and the header's name where the long one is.
        ([extended(&[("size", "512")]), entry(b'g', b"g", b""), file()].concat(), "stands between an entry"),
        ([entry(b'L', b"l", b"long"), entry(b'g', b"g", b""), file()].concat(), "stands between an entry"),
        (with(&[("size", "3"), ("size", "")], header(b'0', b"f", 0, plain)), "does not read"),
        (with(&[("path", "")], file()), "a name that is none"),
        (with(&[("path", "a"), ("path", "b")], file()), "two extended headers of one kind"),
        ([entry(b'L', b"l", b""), entry(0, b"d/", b"abc")].concat(), "a long name is empty"),
        (entry(0, b"d/", b"abc"), "a file is named as directories are"),
        (with(&[("GNU.sparse.name", "x")], entry(0, b"d/", b"abc")), "a sparse file is of no form that is known"),
        (with(&[("GNU.sparse.major", "9"), ("GNU.sparse.minor", "0")], file()), "a sparse file is of no form"),
        (with(&[("path", "a")], [entry(b'L', b"l", b"b"), file()].concat()), "two long names"),
        ([extended(&[("uid", "1")]), extended(&[("uid", "2")]), file()].concat(), "two extended headers of one kind"),
        ([entry(b'L', b"l", b"one"), entry(b'L', b"l", b"two"), file()].concat(), "two extended headers of one kind"),
        (entry(b'g', b"g", &pax(&[("path", "x")])), "a global extended header"),
        (entry(b'x', b"x", b"5 a=b"), "an extended header does not read"),
        (entry(b'x', b"x", b"99999 a=b\n"), "an extended header does not read"),
        (entry(b'x', b"x", b"0 a=b\n"), "an extended header does not read"),
        (extended(&[("uid", "1")]), "ends after an extended header"),
        (header(b'L', b"l", 2 << 20, plain), "longer than 1048576 bytes"),
        (
            header(b'x', b"l", 0, |block| block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0])),
            "longer than",
        ),
        (header(b'0', b"cut", 600, plain), "cut short"),
        (b"noise".to_vec(), "cut short"),
        (vec![7; 3000], "no tar archive"),
        ([vec![0; BLOCK], file()].concat(), "an empty header is followed by more"),
    ];
    for (row, expected) in rows {
        // The end is left out: what is cut is not to be filled up by it.
        let shown = String::from_utf8_lossy(&row).chars().take(40).collect::<String>();
        let told = said(Cursor::new(&row));
        assert!(told.contains(expected), "{shown:?}: {told:?} and not {expected:?}");
    }
}

/// The same member of gzip, or frame of zstd, again and again.
struct Again {
    unit: Vec<u8>,
    left: usize,
    at: usize,
}

impl Again {
    fn new(unit: Vec<u8>, times: usize) -> Self {
        Self { unit, left: times, at: 0 }
    }
}

impl Read for Again {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.unit.len() {
            self.left -= usize::from(self.left > 0);
            self.at = 0;
        }
        if self.left == 0 {
            return Ok(0);
        }
        let length = into.len().min(self.unit.len() - self.at);
        into[..length].copy_from_slice(&self.unit[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[test]
fn what_swells_without_end_is_refused_by_either_compression() {
    let zeros = vec![0; 16 << 20];
    let big = header(b'0', b"zeros", 1 << 32, plain);
    for (head, unit) in [
        (gzip(&big), gzip(&zeros)),
        (zstd::encode_all(&big[..], 1).unwrap(), zstd::encode_all(&zeros[..], 1).unwrap()),
        // After the end, which nobody unpacks and everybody reads.
        (gzip(&end()), gzip(&zeros)),
    ] {
        let told = said(Read::chain(Cursor::new(head), Again::new(unit, 256)));
        assert_eq!(told, "the layers swell to more than an image may unpack to");
    }
}

#[test]
fn layers_of_an_image_swell_together_and_one_that_is_there_twice_does_twice() {
    let tar = [entry(b'0', b"f", &vec![7; 1 << 20]), end()].concat();
    let share = of_bytes(5 << 20);
    let twice = Share { times: 2, ..share.clone() };
    assert!(inspect(Cursor::new(&tar), "", &twice).is_ok());
    assert!(inspect(Cursor::new(&tar), "", &twice).is_ok());
    assert!(inspect(Cursor::new(&tar), "", &share).is_err());
}

#[test]
fn a_small_image_may_swell_freely_and_a_large_one_to_a_limit() {
    let most = |packed| {
        let may = |bytes| {
            let unpacked = AtomicU64::new(bytes);
            Allowance { unpacked, packed: AtomicU64::new(packed), ..Allowance::default() }.take_bytes(0).is_ok()
        };
        [FREE, 200 << 26, MOST_BYTES].map(|bytes| (may(bytes), may(bytes + 1)))
    };
    let (all, edge, none) = ((true, true), (true, false), (false, false));
    assert_eq!((most(0), most(1 << 20)), ([edge, none, none], [edge, none, none]));
    assert_eq!(most(1 << 26), [all, edge, none]);
    assert_eq!((most(1 << 40), most(u64::MAX)), ([all, all, edge], [all, all, edge]));
}

#[tokio::test]
async fn what_a_manifest_says_of_layers_to_come_lets_nothing_swell() {
    let allowance = Arc::new(Allowance { unpacked: AtomicU64::new(FREE), ..Allowance::default() });
    let tar = [entry(b'0', b"f", &vec![7; 1 << 20]), end()].concat();
    let packed = Bytes::from(gzip(&tar));
    let descriptor = Descriptor { media_type: String::new(), digest: Digest::of(&packed), size: u64::MAX };
    let parts = futures_util::stream::iter([Ok(packed.clone())]).boxed();
    let (mut blob, verdict) = watch(Blob { offset: 0, bytes: parts }, &descriptor, &allowance, 1);
    while blob.bytes.next().await.is_some() {}
    drop(blob);
    assert!(verdict.reached().await.unwrap_err().to_string().contains("swell"));
    assert_eq!(allowance.packed.load(Ordering::Relaxed), packed.len() as u64);
}

#[test]
fn entries_are_counted_over_all_layers() {
    let share = of_entries(1000, 2);
    let unit = gzip(&entry(b'0', b"f", b"").repeat(100));
    assert!(inspect(Again::new(unit.clone(), 3), "", &share).is_ok());
    assert!(inspect(Again::new(unit.clone(), 2), "", &share).is_ok());
    let told = inspect(Again::new(unit, 1), "", &share).unwrap_err().to_string();
    assert_eq!((told.as_str(), MOST_ENTRIES), ("the layers have more than 1000000 entries", 1_000_000));
}

#[test]
fn directories_that_have_no_entry_are_counted_once_each() {
    let rows: Vec<(Vec<u8>, u64)> = vec![
        (entry(b'0', b"a/b/c/f", b""), 4),
        ([entry(b'0', b"a/b/f", b""), entry(b'0', b"./a//b/g", b""), entry(b'0', b"a/c/f", b"")].concat(), 6),
        ([entry(b'5', b"a/", b""), entry(b'5', b"a/b", b""), entry(b'0', b"a/b/f", b"")].concat(), 3),
        (entry(b'g', b"x/y/z", &pax(&[("comment", "x")])), 3),
        (link(b'2', b"l", b"../../a/b/c/d/e/f/g/h"), 1),
        (link(b'2', b"l", b"../../a/b/c/d/e/f/g/h/i/j"), 3),
    ];
    for (row, expected) in rows {
        let shown = String::from_utf8_lossy(&row).chars().take(20).collect::<String>();
        assert!(inspect(Cursor::new(&row), "", &of_entries(expected, 1)).is_ok(), "{shown:?}");
        assert!(inspect(Cursor::new(&row), "", &of_entries(expected - 1, 1)).is_err(), "{shown:?}");
    }
}

#[test]
fn streams_that_are_cut_or_damaged_are_refused() {
    let tar = [entry(b'0', b"f", &[7; 5000]), end()].concat();
    for packed in [gzip(&tar), zstd::encode_all(&tar[..], 3).unwrap()] {
        assert_ne!(said(Cursor::new(&packed[..packed.len() / 2])), "nothing");
        let mut damaged = packed.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        assert_ne!(said(Cursor::new(damaged)), "nothing");
        assert_ne!(said(Cursor::new([&packed[..], b"more"].concat())), "nothing");
    }
}

#[test]
fn a_window_of_more_than_64_mib_is_refused() {
    // A frame whose header asks for a window of 1 KiB, doubled so often: a magic number, no content size, the exponent, and an
    // empty last block.
    let frame = |exponent: u8| Cursor::new([0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3, 0x01, 0x00, 0x00]);
    for exponent in [17, 21] {
        assert!(said(frame(exponent)).to_lowercase().contains("memory"), "{}", said(frame(exponent)));
    }
    assert!(!said(frame(16)).to_lowercase().contains("memory"), "{}", said(frame(16)));
}

#[test]
fn what_is_called_plain_is_not_unpacked() {
    let tar = gzip(&end());
    assert!(inspect(Cursor::new(&tar), "application/vnd.oci.image.layer.v1.tar", &of_bytes(1 << 20)).is_err());
    assert!(inspect(Cursor::new(&tar), "", &of_bytes(1 << 20)).is_ok());
}
