//! Layers made here, honest and not.

use std::io::Write as _;

use ::tar::{Builder, EntryType, Header};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const STATUS: &str = "var/lib/dpkg/status";

/// An entry: its path, its type, and its bytes or where it leads to.
type Row<'a> = (&'a str, EntryType, &'a [u8]);

fn file<'a>(path: &'a str, bytes: &'a str) -> Row<'a> {
    (path, EntryType::Regular, bytes.as_bytes())
}

fn header(path: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    // Set by hand: the crate refuses paths that this one must survive.
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn tar(rows: &[Row<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, bytes) in rows {
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        let mut header = header(path.as_bytes(), *kind, if is_link { 0 } else { bytes.len() as u64 });
        if is_link {
            header.as_old_mut().linkname[..bytes.len()].copy_from_slice(bytes);
            header.set_cksum();
        }
        builder.append(&header, if is_link { &b""[..] } else { bytes }).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::stream::encode_all(bytes, 1).unwrap()
}

/// Of layers whose media types say nothing.
fn read_untyped<R: Read>(layers: impl IntoIterator<Item = R>, limits: &Limits) -> Result<Contents, Error> {
    read_layers(layers.into_iter().map(|layer| (String::new(), layer)), limits)
}

fn read(layers: &[Vec<u8>]) -> Result<Contents, Error> {
    read_untyped(layers.iter().map(Vec::as_slice), &Limits::default())
}

fn paragraph(name: &str) -> String {
    format!("Package: {name}\nStatus: install ok installed\nVersion: 1\n\n")
}

/// The names of the packages of layers of these rows.
fn names(layers: &[&[Row<'_>]]) -> String {
    let layers: Vec<Vec<u8>> = layers.iter().map(|rows| tar(rows)).collect();
    let contents = read(&layers).unwrap();
    contents.packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn layers_are_read_however_they_are_packed() {
    let plain = tar(&[file(STATUS, &paragraph("a"))]);
    let (first, second) = plain.split_at(700);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9][..], &zstd(&plain)].concat();
    let packed = [
        plain.clone(),
        gzip(&plain),
        [gzip(first), gzip(second)].concat(),
        zstd(&plain),
        [zstd(first), zstd(second)].concat(),
        skippable,
    ];
    for (number, layer) in packed.iter().enumerate() {
        let contents = read(std::slice::from_ref(layer)).unwrap();
        assert_eq!(contents.packages.len(), 1, "{number}");
        assert_eq!(&*contents.packages[0].path, STATUS);
    }
}

#[test]
fn later_layers_lie_over_earlier_ones() {
    let (a, b) = (paragraph("a"), paragraph("b"));
    let dir = |path| (path, EntryType::Directory, &b""[..]);
    let rows: &[(&[&[Row<'_>]], &str)] = &[
        (&[&[file(STATUS, &a)], &[file(STATUS, &b)]], "b"),
        (&[&[file(STATUS, &a)], &[file("./var/lib/dpkg/status", &b)]], "b"),
        (&[&[file(STATUS, &a)], &[file("var/lib/dpkg/.wh.status", "")]], ""),
        (&[&[file(STATUS, &a)], &[file("var/lib/.wh.dpkg", "")]], ""),
        (&[&[file(STATUS, &a)], &[file("var/.wh.lib2", "")]], "a"),
        // Whiteouts are of lower layers, wherever they stand in their own.
        (&[&[file(STATUS, &a), file("var/lib/dpkg/.wh.status", "")]], "a"),
        (&[&[file(STATUS, &a)], &[file(STATUS, &b), file("var/lib/dpkg/.wh.status", "")]], "b"),
        (&[&[file(STATUS, &a)], &[file("var/lib/dpkg/.wh..wh..opq", "")]], ""),
        (&[&[file(STATUS, &a)], &[file("var/.wh..wh..opq", ""), file(STATUS, &b)]], "b"),
        (&[&[file(STATUS, &a)], &[file(STATUS, &b), file(".wh..wh..opq", "")]], "b"),
        (&[&[file(STATUS, &a)], &[file("var/lib/dpk/.wh..wh..opq", "")]], "a"),
        (&[&[file(STATUS, &a)], &[file("var/lib/dpkg/.wh...", ""), file("var/lib/dpkg/.wh.", "")]], "a"),
        // A directory over a directory keeps what is in it; anything else does not.
        (&[&[file(STATUS, &a)], &[dir("var/lib/dpkg/")]], "a"),
        (&[&[file(STATUS, &a)], &[file("var/lib/dpkg", "")]], ""),
        (&[&[file(STATUS, &a)], &[("var/lib", EntryType::Symlink, b"/elsewhere")]], ""),
        (&[&[file(STATUS, &a)], &[dir(STATUS)]], ""),
        // A global header takes away what its own layer has under its name.
        (&[&[file(STATUS, &a)], &[(STATUS, EntryType::XGlobalHeader, b"")]], "a"),
        (&[&[file(STATUS, &a), (STATUS, EntryType::XGlobalHeader, b"")]], ""),
        (&[&[file(STATUS, &a)], &[("var/lib/dpkg/.wh.status", EntryType::XGlobalHeader, b"")]], ""),
        // The last of two wins.
        (&[&[file(STATUS, &a), file(STATUS, &b)]], "b"),
        // As whoever unpacks it finds it.
        (&[&[file("../../x/../var/lib/dpkg/status", &a)]], "a"),
        (&[&[file("/var/lib/dpkg/status", &a)]], "a"),
    ];
    for (number, (layers, expected)) in rows.iter().enumerate() {
        assert_eq!(names(layers), *expected, "row {number}");
    }
}

#[test]
fn a_link_where_packages_should_be_listed_is_told() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        let contents = read(&[tar(&[(STATUS, kind, b"/etc/shadow")])]).unwrap();
        assert_eq!(contents.problems.len(), 1, "{kind:?}");
        assert!(contents.problems[0].reason.contains("link"), "{:?}", contents.problems);
    }
    let other = read(&[tar(&[("app/package-lock.json", EntryType::Symlink, b"x"), ("dev/x", EntryType::Char, b"")])]);
    assert_eq!(other.unwrap(), Contents::default());
}

#[test]
fn a_hard_link_says_what_its_file_says() {
    let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\n";
    let first = file("a/Cargo.lock", lock);
    let link = |path, to: &'static str| (path, EntryType::Link, to.as_bytes());
    let again = link("b/Cargo.lock", "./a/Cargo.lock");
    let rows: &[(&[&[Row<'_>]], &[&str])] = &[
        (&[&[first, again]], &["a/Cargo.lock", "b/Cargo.lock"]),
        (&[&[first], &[again]], &["a/Cargo.lock", "b/Cargo.lock"]),
        // It stays what it was when it was made, whatever becomes of the first name.
        (&[&[first, again, file("a/Cargo.lock", "")]], &["b/Cargo.lock"]),
        (&[&[first, again], &[file("a/.wh.Cargo.lock", "")]], &["b/Cargo.lock"]),
        (
            &[&[first, again, link("c/Cargo.lock", "b/Cargo.lock")], &[file(".wh.a", ""), file(".wh.b", "")]],
            &["c/Cargo.lock"],
        ),
    ];
    for (number, (layers, expected)) in rows.iter().enumerate() {
        let layers: Vec<Vec<u8>> = layers.iter().map(|rows| tar(rows)).collect();
        let contents = read(&layers).unwrap();
        let paths: Vec<&str> = contents.packages.iter().map(|package| &*package.path).collect();
        assert_eq!((paths.as_slice(), contents.problems.len()), (*expected, 0), "row {number}");
    }
    // What was read and names nothing names nothing.
    for (path, again) in
        [("a/requirements.txt", "b/requirements.txt"), ("var/lib/dpkg/status.d/a", "var/lib/dpkg/status.d/b")]
    {
        let contents = read(&[tar(&[file(path, ""), link(again, path)])]).unwrap();
        assert_eq!((contents.packages.len(), contents.problems.len()), (0, 0), "{path}");
    }
    let release = [file("usr/lib/os-release", "ID=debian\n"), link("etc/os-release", "usr/lib/os-release")];
    assert_eq!(
        read(&[tar(&release), tar(&[file("usr/lib/.wh.os-release", "")])]).unwrap().distribution.unwrap().id,
        "debian"
    );
}

#[test]
fn a_hard_link_to_a_file_that_was_not_read_is_told() {
    let module = file("store/ab12", r#"{"name":"a","version":"1.0.0"}"#);
    let paths = ["app/node_modules/a/package.json", "app.jar", "lib/a-1.dist-info/METADATA", "app/Cargo.lock"];
    for path in paths {
        for target in ["store/ab12", "/store/ab12", "nothing", "app/yarn.lock"] {
            let yarn = file("app/yarn.lock", "\"a@1\":\n  version \"1.0\"\n");
            let contents = read(&[tar(&[module, yarn, (path, EntryType::Link, target.as_bytes())])]).unwrap();
            assert_eq!(contents.packages.len(), 1, "{path} {target}");
            let [problem] = contents.problems.as_slice() else { panic!("{path} {target}: {:?}", contents.problems) };
            assert_eq!((problem.path.as_str(), problem.hides_distribution), (path, false), "{target}");
            assert!(problem.reason.contains("link"), "{problem:?}");
        }
    }
    let silent = read(&[tar(&[module, ("store/cd34", EntryType::Link, b"store/ab12")])]);
    assert_eq!(silent.unwrap(), Contents::default());
}

#[test]
fn a_program_says_the_same_under_each_of_its_names() {
    let info = [&b"\x7fELF\xff Go buildinf:\x08\x02"[..], &[0; 16], b"\x08go1.21.3\x20", &[1; 32]].concat();
    let mut program = header(b"go/bin/go", EntryType::Regular, info.len() as u64);
    program.set_mode(0o755);
    program.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&program, info.as_slice()).unwrap();
    let mut link = header(b"bin/go", EntryType::Link, 0);
    link.as_old_mut().linkname[..9].copy_from_slice(b"go/bin/go");
    link.set_cksum();
    builder.append(&link, &b""[..]).unwrap();
    let contents = read(&[builder.into_inner().unwrap(), tar(&[file(".wh.go", "")])]).unwrap();
    let found: Vec<_> = contents.packages.iter().map(|of| (of.name.as_str(), &*of.path)).collect();
    assert_eq!(found, [("stdlib", "bin/go")]);
}

#[test]
fn hard_links_to_many_packages_have_a_bound() {
    let many: String = (0..200).map(|number| paragraph(&format!("p{number}"))).collect();
    let paths: Vec<String> = (0..20).map(|number| format!("var/lib/dpkg/status.d/{number}")).collect();
    let links = paths.iter().map(|path| (path.as_str(), EntryType::Link, STATUS.as_bytes()));
    let rows: Vec<Row<'_>> = std::iter::once(file(STATUS, &many)).chain(links).collect();
    let limits = Limits { package_bytes: 200_000, ..Limits::default() };
    let read = |rows: &[Row<'_>]| read_untyped([tar(rows).as_slice()], &limits);
    assert_eq!(read(&rows[..2]).unwrap().packages.len(), 400);
    assert!(matches!(read(&rows), Err(Error::TooManyPackages(200_000))));
}

#[test]
fn names_longer_than_a_header_are_read() {
    let path = format!("{}/requirements.txt", "deep/".repeat(60));
    let text = "flask==1.0\n";
    let mut builder = Builder::new(Vec::new());
    let mut header = header(b"", EntryType::Regular, text.len() as u64);
    // As GNU tar has it, and as POSIX has it.
    builder.append_data(&mut header, &path, text.as_bytes()).unwrap();
    builder.append_pax_extensions([("path", path.as_bytes())]).unwrap();
    builder.append(&self::header(b"short", EntryType::Regular, text.len() as u64), text.as_bytes()).unwrap();
    builder.append_pax_extensions([("size", &b"11"[..])]).unwrap();
    let lies = self::header(b"a/requirements.txt", EntryType::Regular, 0);
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes.extend(lies.as_bytes());
    bytes.extend(format!("{text:\0<512}").into_bytes());
    let contents = read(&[bytes]).unwrap();
    let paths: Vec<&str> = contents.packages.iter().map(|package| &*package.path).collect();
    assert_eq!(paths, ["a/requirements.txt", path.replace("//", "/").as_str()]);
}

#[test]
fn records_of_any_bytes_are_read() {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions([("SCHILY.xattr.security.capability", &b"\x01\n\x02 9 x=\n"[..])]).unwrap();
    let text = paragraph("a");
    builder.append(&header(STATUS.as_bytes(), EntryType::Regular, text.len() as u64), text.as_bytes()).unwrap();
    assert_eq!(read(&[builder.into_inner().unwrap()]).unwrap().packages.len(), 1);
}

#[test]
fn layers_are_read_as_what_their_media_types_say() {
    let plain = tar(&[file(STATUS, &paragraph("a"))]);
    let check = |media_type: &str, bytes: &[u8]| {
        read_layers([(media_type.to_owned(), bytes)], &Limits::default()).map(|contents| contents.packages.len())
    };
    let oci = "application/vnd.oci.image.layer.v1.tar";
    assert_eq!(check(oci, &plain).unwrap(), 1);
    assert_eq!(check(&format!("{oci}+gzip"), &gzip(&plain)).unwrap(), 1);
    assert_eq!(check("application/vnd.docker.image.rootfs.diff.tar", &gzip(&plain)).unwrap(), 1);
    assert!(matches!(check(oci, &gzip(&plain)), Err(Error::Damaged { layer: 0, .. })));
}

#[test]
fn a_scan_has_an_end() {
    let layer = tar(&[file(STATUS, &paragraph("a"))]);
    let limits = Limits { until: Some(Instant::now()), ..Limits::default() };
    for packed in [layer.clone(), gzip(&layer), zstd(&layer)] {
        assert!(matches!(read_untyped([packed.as_slice()], &limits), Err(Error::TooLong)));
    }
    let limits = Limits { until: Some(Instant::now() + std::time::Duration::from_secs(3600)), ..Limits::default() };
    assert_eq!(read_untyped([layer.as_slice()], &limits).unwrap().packages.len(), 1);
}

#[test]
fn a_link_above_a_list_of_packages_hides_it() {
    let check = |rows: &[Row<'_>]| read(&[tar(rows)]).unwrap().problems.iter().any(|of| of.hides_distribution);
    let link = |path, target: &'static str| (path, EntryType::Symlink, target.as_bytes());
    assert!(check(&[link("var/lib/dpkg", "../../opt/dpkg"), file("opt/dpkg/status", "")]));
    assert!(!check(&[link("lib", "usr/lib"), link("var/lib/rpm", "../../usr/lib/sysimage/rpm")]));
    // Another layer has it where it should be.
    let layers = [tar(&[link("var/lib/dpkg", "/opt")]), tar(&[(("var/lib/dpkg/"), EntryType::Directory, b"")])];
    assert!(read(&layers).unwrap().problems.is_empty());
}

#[test]
fn sparse_and_large_files_are_told_and_not_read() {
    let mut builder = Builder::new(Vec::new());
    builder
        .append_pax_extensions([
            ("GNU.sparse.major", &b"1"[..]),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", STATUS.as_bytes()),
        ])
        .unwrap();
    builder.append(&header(b"var/lib/dpkg/GNUSparseFile.0/status", EntryType::Regular, 1), &b"x"[..]).unwrap();
    let contents = read(&[builder.into_inner().unwrap()]).unwrap();
    assert!(contents.problems[0].reason.contains("sparse"), "{:?}", contents.problems);
    assert_eq!(contents.problems[0].path, STATUS);

    let limits = Limits { file_bytes: 10, ..Limits::default() };
    let contents = read_untyped([tar(&[file(STATUS, &paragraph("a"))]).as_slice()], &limits).unwrap();
    assert!(contents.packages.is_empty());
    assert!(contents.problems[0].reason.contains("more than the 10"), "{:?}", contents.problems);
}

#[test]
fn what_is_damaged_is_refused() {
    let whole = tar(&[file(STATUS, &paragraph("a"))]);
    let mut sum = whole.clone();
    sum[0] ^= 1;
    let mut gap = tar(&[file("a", "x")]);
    gap.truncate(1024);
    gap.extend([0; 512]);
    gap.extend(&whole);
    let endless = header(STATUS.as_bytes(), EntryType::Regular, 1 << 40);
    let packed = gzip(&whole);
    let rows: [(&str, Vec<u8>); 8] = [
        ("noise", vec![7; 3000]),
        ("cut in a header", whole[..300].to_vec()),
        ("cut in a file", whole[..530].to_vec()),
        ("a wrong sum", sum),
        ("a gap", gap),
        ("cut gzip", packed[..packed.len() / 2].to_vec()),
        ("noise in gzip", [&packed[..20], &[7; 100]].concat()),
        ("cut zstd", zstd(&whole)[..40].to_vec()),
    ];
    for (name, layer) in rows {
        let error = read(&[layer]).expect_err(name);
        assert!(matches!(error, Error::Damaged { layer: 0, .. }), "{name}: {error:?}");
    }
    // Its size is more than is read, so it is passed over, and the layer ends before it does.
    let error = read(&[endless.as_bytes().to_vec()]).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}

#[test]
fn bombs_are_refused() {
    let limits = Limits { entries: 50, unpacked_bytes: 8 << 20, ratio: 50, free_bytes: 1 << 20, ..Limits::default() };
    let check = |layer: Vec<u8>| read_untyped([layer.as_slice()], &limits).unwrap_err();
    let zeros = "\0".repeat(4 << 20);
    let swollen = tar(&[file("zeros", &zeros)]);
    assert!(matches!(check(gzip(&swollen)), Error::Swells { layer: 0, times: 50 }));
    assert!(matches!(check(zstd(&swollen)), Error::Swells { layer: 0, times: 50 }));
    assert!(matches!(
        check(tar(&[file("a", &zeros), file("b", &zeros), file("c", &zeros)])),
        Error::TooLarge(8_388_608)
    ));
    assert!(matches!(check(tar(&[file("x", ""); 51])), Error::TooManyEntries(50)));
}

#[test]
fn a_long_name_without_end_is_refused() {
    let name = "n".repeat(2 << 20);
    let bomb = tar(&[("././@LongLink", EntryType::GNULongName, name.as_bytes()), file("x", "")]);
    assert!(matches!(read(&[bomb]).unwrap_err(), Error::Damaged { layer: 0, .. }));
    let long = "d/".repeat(3000) + "f";
    let long = tar(&[("././@LongLink", EntryType::GNULongName, long.as_bytes()), file("x", "")]);
    assert!(matches!(read(&[long]).unwrap_err(), Error::LongPath { .. }));
    let chain = tar(&[("././@LongLink", EntryType::GNULongName, &b"x"[..]); 40]);
    assert!(matches!(read(&[chain]).unwrap_err(), Error::Damaged { .. }));
}

#[test]
fn a_window_that_zstd_asks_too_much_for_is_refused() {
    // A frame with a window of 2 GiB: descriptor 0, window's exponent 21.
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3][..], &[1, 0, 0]].concat();
    assert!(matches!(read(&[frame]).unwrap_err(), Error::Damaged { .. }));
}

#[test]
fn packages_have_a_bound() {
    let many: String = (0..2000).map(|number| paragraph(&format!("p{number}"))).collect();
    let limits = Limits { package_bytes: 100_000, ..Limits::default() };
    let error = read_untyped([tar(&[file(STATUS, &many)]).as_slice()], &limits).unwrap_err();
    assert!(matches!(error, Error::TooManyPackages(100_000)), "{error:?}");
}

#[test]
fn a_store_that_does_not_answer_is_not_damage() {
    struct Away;
    impl Read for Away {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("away"))
        }
    }
    let layer = tar(&[file(STATUS, &paragraph("a"))]);
    for start in [gzip(&layer), zstd(&layer), layer] {
        let error = read_untyped([start[..30].chain(Away)], &Limits::default()).unwrap_err();
        assert!(matches!(&error, Error::Layer { layer: 0, source } if source.to_string() == "away"), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever a byte of a layer is changed to: an answer or a refusal.
    #[test]
    fn no_bytes_make_it_panic(at in 0usize..4096, with in any::<u8>(), cut in 0usize..4096) {
        let layer = tar(&[file(STATUS, &paragraph("a")), file("app/yarn.lock", "\"a@1\":\n  version \"1.0\"\n")]);
        for mut bytes in [layer.clone(), gzip(&layer), zstd(&layer)] {
            let length = bytes.len();
            bytes[at % length] = with;
            let _ = read(&[bytes.clone()]);
            bytes.truncate(cut % length);
            let _ = read(&[bytes]);
        }
    }
}
