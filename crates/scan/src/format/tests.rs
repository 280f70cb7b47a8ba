//! Files as package managers write them, shortened.

use std::io::{Cursor, Write as _};

use rusqlite::Connection;

mod rpm_older;
mod rpm_sqlite;

use super::golang::CHUNK;
use super::*;
use crate::Limits;
use crate::layer::Budget;

fn found(path: &str, bytes: &[u8]) -> Option<Found> {
    let format = of_path(path.as_bytes()).unwrap_or_else(|| panic!("{path} is nothing"));
    let mut budget = Budget::new(&Limits::default());
    read(format, bytes, &mut Shelf::new(path, &mut budget))
}

/// `name@version` of each package, with `<source@version` where there is one.
fn check(path: &str, text: &str, expected: &str) {
    check_bytes(path, text.as_bytes(), expected);
}

fn check_bytes(path: &str, bytes: &[u8], expected: &str) {
    let one = |package: &Package| {
        let source = package.source.as_ref().map(|of| format!("<{}@{}", of.name, of.version)).unwrap_or_default();
        format!("{}@{}{source}", package.name, package.version)
    };
    let told = match found(path, bytes) {
        Some(Found::Packages { packages, refused, unread }) => {
            let refused = (refused > 0).then(|| format!("refused {refused}"));
            packages.iter().map(one).chain(refused).chain(unread).collect::<Vec<_>>().join(" ")
        }
        Some(Found::Unread(reason)) => reason,
        Some(other) => format!("{other:?}"),
        None => String::new(),
    };
    assert_eq!(told, expected, "{path}");
}

#[test]
fn files_are_known_by_their_paths() {
    let rows = [
        ("etc/os-release", Some(Format::OsRelease)),
        ("app/etc/os-release", None),
        ("var/lib/dpkg/status", Some(Format::Dpkg)),
        ("var/lib/dpkg/status-old", None),
        ("var/lib/dpkg/status.d/base", Some(Format::Dpkg)),
        ("var/lib/dpkg/status.d/base.md5sums", None),
        ("usr/lib/apk/db/installed", Some(Format::Apk)),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", Some(Format::RpmSqlite)),
        ("var/lib/rpm/Packages", Some(Format::RpmOther)),
        ("app/node_modules/a/package.json", Some(Format::NodeModule)),
        ("app/node_modules/@s/a/package.json", Some(Format::NodeModule)),
        ("app/node_modules/a/lib/package.json", None),
        ("app/package.json", None),
        ("usr/lib/python3/site-packages/x-1.dist-info/METADATA", Some(Format::PythonMetadata)),
        ("x/METADATA", None),
        ("opt/app.jar", Some(Format::Jar)),
        ("composer.lock", Some(Format::ComposerLock)),
    ];
    assert_eq!(of_path(b"\xff\xfe/composer.lock"), Some(Format::ComposerLock));
    for (path, expected) in rows {
        assert_eq!(of_path(path.as_bytes()), expected, "{path}");
    }
    assert_eq!(of_path(b"var/lib/\xff/status"), None);
}

#[test]
fn distributions_say_who_they_are() {
    let release = |text: &str| match found("etc/os-release", text.as_bytes()) {
        Some(Found::Release(release)) => Some(release),
        _ => None,
    };
    let debian =
        release("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n# x\nVERSION_ID=\"12\"\nID=debian\n").unwrap();
    assert_eq!((debian.id.as_str(), debian.version.as_deref()), ("debian", Some("12")));
    assert_eq!(debian.name(), "Debian GNU/Linux 12 (bookworm)");
    let ubuntu = release("ID='ubuntu'\nVERSION=\"22.04.4 LTS (Jammy Jellyfish)\"\nVERSION_ID=\"22.04\"\n").unwrap();
    assert_eq!(ubuntu.ecosystem().unwrap().name(), "Ubuntu:22.04:LTS");
    assert_eq!(release("NAME=x\nID=\"broken\n"), None);
    assert_eq!(release("ID=\"a\\\"b\"").unwrap().id, "a\"b");
}

#[test]
fn dpkg_lists_packages_and_what_they_were_built_from() {
    let text = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl\nVersion: 3.0.11-1~deb12u2\n\
                Description: a\n Package: no\n\nPackage: libc-bin\nStatus: install ok installed\nSource: glibc (2.36-9)\n\
                Version: 2.36-9+b1\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                Package: bash\nVersion: 5.2.15-2+b2\n";
    let expected = "libssl3@3.0.11-1~deb12u2<openssl@3.0.11-1~deb12u2 libc-bin@2.36-9+b1<glibc@2.36-9 bash@5.2.15-2+b2";
    check("var/lib/dpkg/status", text, expected);
    check("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a-0\n", "tzdata@2024a-0");
    check("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\n\n", "refused 1");
    check("var/lib/dpkg/status", "Package: a b\nVersion: 1\n\nPackage: c\nVersion: 1\u{7}\n", "refused 2");
    check("var/lib/dpkg/status", "", "");
    check_bytes("var/lib/dpkg/status", b"Package: \xff\n", "it is not in UTF-8");
}

#[test]
fn apk_lists_packages_and_their_origin() {
    let text =
        "C:Q1x=\nP:libcrypto3\nV:3.1.4-r5\nA:x86_64\no:openssl\nF:lib\nR:libcrypto.so.3\n\nP:busybox\nV:1.36.1-r15\n\n";
    check("lib/apk/db/installed", text, "libcrypto3@3.1.4-r5<openssl@3.1.4-r5 busybox@1.36.1-r15");
}

/// A header as rpm keeps it: tags with texts or numbers.
fn rpm_header(texts: &[(u32, &str)], epoch: Option<u32>) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, offset: usize| {
        for word in [tag, kind, u32::try_from(offset).unwrap(), 1] {
            entries.extend(word.to_be_bytes());
        }
    };
    if let Some(epoch) = epoch {
        entry(1003, 4, data.len());
        data.extend(epoch.to_be_bytes());
    }
    for (tag, text) in texts {
        entry(*tag, 6, data.len());
        data.extend(text.as_bytes());
        data.push(0);
    }
    let count = u32::try_from(entries.len() / 16).unwrap().to_be_bytes();
    [&count[..], &u32::try_from(data.len()).unwrap().to_be_bytes(), &entries, &data].concat()
}

fn rpm_database(table: &str, headers: &[Vec<u8>], journal: &str) -> Vec<u8> {
    let name = format!("longshore-scan-{}-{:?}.sqlite", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", journal).unwrap();
    connection.execute_batch(table).unwrap();
    connection.execute_batch("BEGIN").unwrap();
    for header in headers {
        connection.execute("INSERT INTO Packages (blob) VALUES (?1)", [header]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    connection.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

const RPM_TABLE: &str = "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)";
const RPM_PATH: &str = "var/lib/rpm/rpmdb.sqlite";

#[test]
fn rpm_lists_packages_in_sqlite() {
    let headers = [
        rpm_header(
            &[
                (1000, "openssl-libs"),
                (1001, "3.0.7"),
                (1002, "24.el9"),
                (1022, "x86_64"),
                (1044, "openssl-3.0.7-24.el9.src.rpm"),
            ],
            Some(1),
        ),
        rpm_header(&[(1000, "gpg-pubkey"), (1001, "a"), (1002, "b")], None),
        rpm_header(&[(1000, "bash"), (1001, "5.1.8"), (1002, "6.el9")], Some(0)),
        b"noise".to_vec(),
        rpm_header(&[(1000, "half")], None),
    ];
    let expected = "openssl-libs@1:3.0.7-24.el9<openssl@1:3.0.7-24.el9 bash@5.1.8-6.el9 refused 2";
    for journal in ["WAL", "DELETE"] {
        check_bytes(RPM_PATH, &rpm_database(RPM_TABLE, &headers, journal), expected);
    }
}

#[test]
fn databases_of_rpm_that_cannot_be_read_are_told() {
    let unread = |bytes: &[u8], path: &str| match found(path, bytes) {
        Some(Found::Unread(reason)) => reason,
        other => panic!("{path}: {other:?}"),
    };
    let whole = rpm_database(RPM_TABLE, &[rpm_header(&[(1000, "a")], None)], "DELETE");
    let mut torn = whole.clone();
    torn.truncate(whole.len() / 2);
    for bytes in [&b"noise"[..], b"", &torn, &rpm_database("CREATE TABLE x (y)", &[], "DELETE")] {
        assert!(unread(bytes, RPM_PATH).starts_with("unsupported rpm database"), "{}", bytes.len());
    }
    let journal = found("var/lib/rpm/rpmdb.sqlite-wal", &[1; 40]);
    let contents = gather([(b"var/lib/rpm/rpmdb.sqlite-wal".to_vec(), journal.unwrap())].into());
    assert!(contents.problems[0].reason.starts_with("unsupported rpm database"));
}

#[test]
fn npm_locks_of_all_versions_are_read() {
    let old = r#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}},
                  "c":{"version":"npm:d@3.0.0"},"e":{"version":"git+ssh://x"},"f":{"version":"file:../f"}}}"#;
    check("app/package-lock.json", old, "a@1.0.0 b@2.0.0 d@3.0.0");
    let new = r#"{"lockfileVersion":3,"packages":{"":{"name":"own","version":"1.0.0"},"node_modules/a":{"version":"1.0.0"},
                  "node_modules/a/node_modules/@s/b":{"version":"2.0.0"},"node_modules/l":{"link":true,"version":"1.0.0"},
                  "node_modules/c":{"name":"d","version":"3.0.0"},"lib/own":{"version":"1.0.0"}},
                  "dependencies":{"a":{"version":"1.0.0"}}}"#;
    check("app/package-lock.json", new, "a@1.0.0 @s/b@2.0.0 d@3.0.0");
    check("x/node_modules/a/package.json", r#"{"name":"a","version":"1.2.3","dependencies":{}}"#, "a@1.2.3");
    check("x/node_modules/a/package.json", r#"{"type":"module"}"#, "");
    check("package-lock.json", "{\"packages\":[]}", "it is no JSON of the kind: line 1, column 15");
    let deep = format!("{}{}", r#"{"dependencies":{"a":"#.repeat(100), "}}".repeat(100));
    assert!(matches!(found("package-lock.json", deep.as_bytes()), Some(Found::Unread(_))));
}

#[test]
fn yarn_locks_are_read() {
    let first = "# yarn lockfile v1\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.1.0\"\n  dependencies:\n    \
                 version \"9\"\n\nlodash@^4.17.0:\n  version \"4.17.21\"\n\n\"alias@npm:real@^1.0.0\":\n  version \"1.0.5\"\n";
    check("yarn.lock", first, "@babel/core@7.1.0 lodash@4.17.21 real@1.0.5");
    let later = "__metadata:\n  version: 6\n\n\"lodash@npm:^4.17.0\":\n  version: 4.17.21\n  resolution: \"x\"\n\n\
                 \"own@workspace:.\":\n  version: 0.0.0-use.local\n";
    check("yarn.lock", later, "lodash@4.17.21");
}

#[test]
fn locks_of_other_languages_are_read() {
    let cargo = "version = 3\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.1\"\ndependencies = [\n \"x\",\n]\n\n\
                 [[package]]\nname = \"tar\"\nversion = \"0.4.45\"\n\n[metadata]\nname = \"no\"\nversion = \"1\"\n";
    check("src/Cargo.lock", cargo, "serde@1.0.1 tar@0.4.45");
    let poetry =
        "[[package]]\nname = \"flask\"\nversion = \"2.0.1\"\n\n[package.dependencies]\nversion = \"1\"\n\n[metadata]\n";
    check("poetry.lock", poetry, "flask@2.0.1");
    let pipfile = r#"{"_meta":{"hash":{}},"default":{"flask":{"version":"==2.0.1","hashes":["x"]},"own":{"path":"."}},"develop":{"mock":{"version":"==4.0"}}}"#;
    check("Pipfile.lock", pipfile, "flask@2.0.1 mock@4.0");
    let requirements = "# flask==0\ngit+https://x/y==1\nz @ https://x/y==1\nflask[async]==2.0.1 ; python_version > '3' \\\n    --hash=sha256:x\ndjango>=3\n-r x==1\na===1.0 # b==2\nb==1.*\n";
    check("requirements.txt", requirements, "flask@2.0.1 a@1.0");
    let metadata = "Metadata-Version: 2.1\nName: requests\nVersion: 2.31.0\n\nVersion: 9\n";
    check("lib/requests-2.31.0.dist-info/METADATA", metadata, "requests@2.31.0");
    let gems = "PATH\n  remote: .\n  specs:\n    own (0.1)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n    nokogiri (1.15.4-x86_64-linux)\n      \
                racc (~> 1.4)\n    rails (7.0.8)\n\nDEPENDENCIES\n  rails\n";
    check("Gemfile.lock", gems, "nokogiri@1.15.4 rails@7.0.8");
    let composer = r#"{"packages":[{"name":"symfony/http-kernel","version":"v5.4.1"}],"packages-dev":[{"name":"a/b","version":"dev-main"}]}"#;
    check("composer.lock", composer, "symfony/http-kernel@5.4.1");
    check("x/vendor/composer/installed.json", r#"[{"name":"a/b","version":"1.0.0"}]"#, "a/b@1.0.0");
    let module = "module own\n\ngo 1.21\n\nrequire golang.org/x/net v0.1.0 // indirect\n\nrequire (\n\tgithub.com/a/b v1.0.0\n\tc.org/d v1.0.0\n\te.org/f v1.0.0\n)\n\n\
                  replace github.com/a/b => github.com/z/b v1.0.1\nreplace c.org/d v1.0.0 => ../d\n";
    check("go.mod", module, "golang.org/x/net@v0.1.0 github.com/z/b@v1.0.1 e.org/f@v1.0.0");
}

fn jar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn archives_of_java_are_read_with_those_inside() {
    let pom = b"#made\ngroupId=org.apache.logging.log4j\nartifactId=log4j-core\nversion=2.14.1\n";
    let inner = jar(&[("META-INF/maven/g/a/pom.properties", pom)]);
    let name = "org.apache.logging.log4j:log4j-core@2.14.1";
    check_bytes("opt/a.jar", &inner, name);
    check_bytes("opt/a.war", &jar(&[("WEB-INF/lib/log4j.jar", &inner), ("x", b"")]), name);
    check_bytes("opt/a.jar", b"noise", "it is no archive that can be read");
    let large = vec![b'a'; 70_000];
    let reason = "a file inside of it is larger than the 65536 bytes that are read";
    check_bytes("opt/a.jar", &jar(&[("META-INF/maven/g/a/pom.properties", &large)]), reason);
}

#[test]
fn what_archives_of_java_do_not_say_is_told() {
    let pom = b"groupId=g\nartifactId=a\nversion=1\n";
    let named = jar(&[("META-INF/maven/g/a/pom.properties", pom)]);
    let silent = jar(&[("A.class", b"x")]);
    let told = |count: usize, what: &str| format!("of the archives that it is or holds {count} {what}");
    check_bytes("opt/a.jar", &silent, &told(1, "do not say what they are"));
    let war = jar(&[("a.jar", &named), ("b.jar", &silent), ("c.jar", &silent), ("d.jar", b"noise")]);
    let expected = format!("g:a@1 {}, {}", told(2, "do not say what they are"), told(1, "cannot be read"));
    check_bytes("opt/a.war", &war, &expected);
    let ear = jar(&[("a.war", &war), ("b.jar", &named)]);
    check_bytes("opt/a.ear", &ear, &format!("g:a@1 {}", told(4, "lie deeper than is read")));
    // An end that leads to one of ZIP64's, which may say of any number.
    let end = named.len() - 22;
    for field in [10..12, 12..16, 16..20] {
        let mut large = named.clone();
        large[end + field.start..end + field.end].fill(0xff);
        check_bytes("opt/a.jar", &large, "it has more than 65534 entries");
    }
}

#[test]
fn what_archives_unpack_to_is_the_images() {
    let inner = jar(&[("META-INF/maven/g/a/pom.properties", b"groupId=g\nartifactId=a\nversion=1\n")]);
    let bytes = jar(&[("a.jar", &inner), ("b.jar", &inner)]);
    let limits = Limits { unpacked_bytes: inner.len() as u64 * 2, ..Limits::default() };
    let mut budget = Budget::new(&limits);
    let found = read(Format::Jar, &bytes, &mut Shelf::new("a.war", &mut budget));
    let Some(Found::Packages { packages, unread, .. }) = found else { panic!("{found:?}") };
    assert_eq!(packages.len(), 1);
    assert_eq!(unread.as_deref(), Some("it unpacks to more than is read of an image"));
    assert_eq!(budget.unpacked_left(), 0);
}

#[test]
fn what_was_refused_of_a_distributions_packages_hides_them() {
    let of =
        |path: &str, text: &str| gather([(path.as_bytes().to_vec(), found(path, text.as_bytes()).unwrap())].into());
    let half = "Package: a b\nVersion: 1\n\nPackage: c\nVersion: 1\n";
    for text in ["Package: a b\nVersion: 1\n", half] {
        let contents = of("var/lib/dpkg/status", text);
        assert!(contents.problems[0].hides_distribution, "{:?}", contents.problems);
        assert_eq!(contents.problems[0].reason, "1 of its packages have a name or version that is none");
    }
    assert!(!of("composer.lock", r#"{"packages":[{"name":"a b","version":"1"}]}"#).problems[0].hides_distribution);
    let noise = rpm_database(RPM_TABLE, &[b"noise".to_vec()], "DELETE");
    assert!(
        gather([(RPM_PATH.as_bytes().to_vec(), found(RPM_PATH, &noise).unwrap())].into()).problems[0]
            .hides_distribution
    );
}

#[test]
fn links_above_a_list_of_packages_are_told_unless_they_lead_to_a_known_place() {
    let rows: [(&str, Option<&str>, bool); 12] = [
        ("var/lib/dpkg/status", Some("x"), true),
        ("var/lib/dpkg", Some("opt/dpkg"), true),
        ("var/lib/dpkg", None, true),
        ("var", Some("elsewhere/var"), true),
        ("usr/lib/apk", Some("opt/apk"), true),
        ("lib", Some("usr/lib"), false),
        ("lib", Some("opt/lib"), true),
        ("var/lib/rpm", Some("usr/lib/sysimage/rpm"), false),
        ("usr/share/rpm", Some("usr/lib/sysimage/rpm"), false),
        ("var/lib/rpm", Some("opt/rpm"), true),
        ("var/lib/other", Some("opt"), false),
        ("li", Some("opt"), false),
    ];
    for (path, target, is_told) in rows {
        let found = linked(path.as_bytes(), target.map(str::as_bytes));
        assert_eq!(found.is_some(), is_told, "{path}");
        let contents = gather(found.into_iter().map(|found| (path.as_bytes().to_vec(), found)).collect());
        assert!(contents.problems.iter().all(|problem| problem.hides_distribution), "{path}");
    }
}

#[test]
fn magic_again_and_again_is_passed_over_in_no_time() {
    // Were bytes moved for each, it would be a terabyte.
    let bytes = [b"\x7fELF".to_vec(), b"\xff Go buildinf:".repeat(600_000)].concat();
    check_program(&bytes, "");
    check_program(&[&bytes[..], &program(0, "go1.21.3", "")].concat(), "stdlib@1.21.3");
}

/// A program with what Go's linker writes into it, so far from its beginning.
fn program(before: usize, version: &str, modules: &str) -> Vec<u8> {
    let modules = format!("{:16}{modules}{:16}", "", "");
    let text = |text: &str| {
        let (mut bytes, mut length) = (Vec::new(), text.len());
        while length > 0x7f {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend(text.as_bytes());
        bytes
    };
    let mut header = b"\xff Go buildinf:\x08\x02".to_vec();
    header.resize(32, 0);
    [b"\x7fELF".to_vec(), vec![1; before], header, text(version), text(&modules), vec![2; 5000]].concat()
}

/// What a program says, as [`check`] tells it.
fn check_program(bytes: &[u8], expected: &str) {
    let mut budget = Budget::new(&Limits::default());
    let found = read_program(&mut &bytes[..], &mut Shelf::new("app", &mut budget)).unwrap();
    let told = match found {
        Some(Found::Packages { packages, refused, .. }) => {
            let refused = (refused > 0).then(|| format!("refused {refused}"));
            let packages = packages.iter().map(|of| format!("{}@{}", of.name, of.version));
            packages.chain(refused).collect::<Vec<_>>().join(" ")
        }
        Some(Found::Unread(reason)) => reason,
        _ => String::new(),
    };
    assert_eq!(told, expected);
}

#[test]
fn programs_of_go_say_what_they_were_built_of() {
    let modules = "path\town\nmod\town\t(devel)\t\ndep\tgolang.org/x/net\tv0.1.0\th1:x\n\
                   dep\ta.org/b\tv1.0.0\n=>\tz.org/b\tv1.0.1\th1:y\ndep\tc.org/d\tv1.0.0\n=>\t../d\t\t\nbuild\t-compiler=gc\n";
    let expected = "stdlib@1.21.3 golang.org/x/net@v0.1.0 z.org/b@v1.0.1";
    // Also where it lies across the pieces that are read at a time.
    for before in [0, 28, CHUNK - 20, CHUNK - 10, CHUNK - 4, 3 * CHUNK + 7] {
        check_program(&program(before, "go1.21.3", modules), expected);
    }
    check_program(&program(5, "go1.22.1 X:loopvar", "mod\town\tv1.2.3\th\n"), "stdlib@1.22.1 own@v1.2.3");
    check_program(&program(5, "go1.22rc1", ""), "stdlib@1.22.0-rc.1");
    check_program(&program(5, "go1.4.2beta1-fork", ""), "stdlib@1.4.2-beta.1");
    check_program(&program(5, "devel go1.23-abcdef Tue", "mod\town\tv1.2.3\th\n"), "own@v1.2.3 refused 1");
    check_program(&program(5, "go1.x", ""), "refused 1");
    check_program(&program(5, &format!("go1.{}", "9".repeat(300)), ""), "");
    check_program(b"\x7fELF and nothing", "");
    check_program(b"#!/bin/sh\n\xff Go buildinf:\x08\x02", "");
    check_program(b"\x7fELF\xff Go buildinf:", "");
    check_program(
        b"\x7fELF\xff Go buildinf:\x08\x00................",
        "a program that Go built before version 1.18, which is not read",
    );
    let mut torn = program(5, "go1.21.3", modules);
    torn.truncate(60);
    check_program(&torn, "");
    let by_chance = [
        &b"\x7fELF"[..],
        b"\xff Go buildinf:\x08\x02.................................",
        &program(9, "go1.21.3", modules),
    ]
    .concat();
    check_program(&by_chance, expected);
}
