//! The cases of both suites, read from their directories.

use crate::request::Raw;
use std::path::{Path, PathBuf};

/// One signed request, and what its signer computed on the way.
pub struct Case {
    pub name: String,
    pub signed: Raw,
    pub signed_headers: String,
    pub canonical: String,
    pub string_to_sign: String,
    pub signature: String,
    /// Whether the path is normalised, as it is for every service but S3.
    pub normalize: bool,
}

/// Each case of the crate's suite twice: signed by header, and by query.
pub fn of_crate() -> Vec<Case> {
    let directory = crate_suite();
    let mut cases = Vec::new();
    for case in children(&directory).into_iter().filter(|path| path.is_dir()) {
        cases.extend(["header", "query"].iter().filter_map(|way| crate_case(&case, way)));
    }
    cases
}

/// The cases that have no key and no signature: a path, and its canonical form.
pub fn paths_of_crate() -> Vec<(String, String)> {
    let directories = children(&crate_suite()).into_iter();
    let bare = directories.filter(|path| path.is_dir() && !path.join("context.json").exists());
    let read = |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let path = |directory: PathBuf| {
        let request = read(directory.join("request.txt"));
        let canonical = read(directory.join("header-canonical-request.txt"));
        let path = request.split(' ').nth(1).expect("a request line").to_owned();
        (path, canonical.lines().nth(1).expect("a canonical path").to_owned())
    };
    bare.map(path).collect()
}

fn crate_case(directory: &Path, way: &str) -> Option<Case> {
    let file = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
    let context: serde_json::Value = serde_json::from_str(&file("context.json")?).expect("a context is JSON");
    let part = |what: &str| file(&format!("{way}-{what}.txt"));
    let mut signed = Raw::parse(&part("signed-request")?).expect("a signed request is a request");
    let canonical = part("canonical-request")?;
    let normalize = context["normalize"] == true;
    if !normalize {
        // The suite writes what was meant; what is sent is encoded, once.
        signed.target = signed.target.replace(' ', "%20");
    }
    Some(Case {
        name: format!("{} ({way})", directory.file_name()?.to_string_lossy()),
        signed_headers: signed_headers(&canonical),
        signed,
        canonical,
        string_to_sign: part("string-to-sign")?,
        signature: part("signature")?,
        normalize,
    })
}

/// The last line but one of a canonical request.
fn signed_headers(canonical: &str) -> String {
    canonical.trim_end().lines().rev().nth(1).unwrap_or_default().to_owned()
}

pub fn of_botocore() -> Vec<Case> {
    requests(&botocore_suite()).iter().map(|path| botocore_case(path)).collect()
}

fn requests(directory: &Path) -> Vec<PathBuf> {
    let (directories, files): (Vec<_>, Vec<_>) = children(directory).into_iter().partition(|path| path.is_dir());
    let own = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "req"));
    own.chain(directories.iter().flat_map(|directory| requests(directory))).collect()
}

fn botocore_case(path: &Path) -> Case {
    let file = |extension: &str| {
        let path = path.with_extension(extension);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).replace('\r', "")
    };
    let authorization = file("authz").trim().to_owned();
    let canonical = file("creq");
    let mut signed = Raw::parse(&file("req")).expect("a request");
    // The signer of this request adds the token, which the suite gives in the canonical request only.
    let token = canonical.lines().find_map(|line| line.strip_prefix("x-amz-security-token:"));
    let told = signed.headers.iter().any(|(name, _)| name == "x-amz-security-token");
    let token = token.filter(|_| !told).map(|token| ("x-amz-security-token".to_owned(), token.to_owned()));
    signed.headers.extend(token);
    let signature = authorization.rsplit('=').next().unwrap_or_default().to_owned();
    signed.headers.push(("authorization".to_owned(), authorization));
    Case {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        signed_headers: signed_headers(&canonical),
        signed,
        canonical,
        string_to_sign: file("sts"),
        signature,
        normalize: true,
    }
}

fn crate_suite() -> PathBuf {
    let fetched = || build().join("signature-cases/suite/v4");
    std::env::var_os("LONGSHORE_SIGV4_CASES").map_or_else(fetched, PathBuf::from)
}

fn botocore_suite() -> PathBuf {
    let packages = || children(&build()).into_iter().filter(|path| path.to_string_lossy().contains("/botocore-"));
    let fetched = || packages().map(|path| path.join("tests/unit/protocols")).find(|path| path.is_dir());
    let named = std::env::var_os("LONGSHORE_BOTOCORE_CASES").map(PathBuf::from);
    let cases = named.or_else(fetched).expect("`./test` fetches the cases; or name them in LONGSHORE_BOTOCORE_CASES");
    cases.join("../auth/aws4_testsuite")
}

fn build() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build")
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut children: Vec<PathBuf> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    children.sort();
    children
}
