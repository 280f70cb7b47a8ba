//! A client of registries over one kept-alive connection, and what it pushes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

const CHUNK: usize = 1 << 20;

/// What images are pushed and asked for as.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Bytes that do not compress, without end.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn fill(&mut self, into: &mut [u8]) {
        for part in into.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            part.copy_from_slice(&self.0.to_le_bytes()[..part.len()]);
        }
    }
}

/// Bytes, and their digest.
pub struct Blob {
    pub bytes: Vec<u8>,
    pub digest: String,
}

impl Blob {
    pub fn of(bytes: Vec<u8>) -> Self {
        let digest = named(Sha256::digest(&bytes).as_slice());
        Self { bytes, digest }
    }

    /// The same bytes for the same seed.
    pub fn noise(length: usize, seed: u64) -> Self {
        let mut bytes = vec![0; length];
        Noise::new(seed).fill(&mut bytes);
        Self::of(bytes)
    }
}

fn named(hash: &[u8]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// One connection to a repository called `bench`.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// What every request begins its headers with.
    standing: String,
}

/// An answer whose body is still to be read.
struct Answer {
    status: u16,
    length: u64,
    location: Option<String>,
}

impl Client {
    pub fn connect(address: &str, authorization: Option<&str>) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let shown = authorization.map(|shown| format!("Authorization: {shown}\r\n")).unwrap_or_default();
        let standing = format!("Host: {address}\r\nAccept: {MANIFEST}\r\n{shown}");
        Ok(Self { stream: BufReader::with_capacity(CHUNK, stream), standing })
    }

    /// How many bytes a manifest has.
    pub fn manifest(&mut self, tag: &str) -> Result<u64> {
        self.get(&format!("/v2/bench/manifests/{tag}"))
    }

    /// Reads a blob and forgets it.
    pub fn blob(&mut self, digest: &str) -> Result<u64> {
        self.get(&format!("/v2/bench/blobs/{digest}"))
    }

    fn get(&mut self, path: &str) -> Result<u64> {
        let answer = self.ask("GET", path, "", &[])?;
        answer.expect(200, path)?;
        self.pass(answer.length)?;
        Ok(answer.length)
    }

    pub fn put_manifest(&mut self, tag: &str, kind: &str, text: &str) -> Result<()> {
        let path = format!("/v2/bench/manifests/{tag}");
        let answer = self.ask("PUT", &path, &format!("Content-Type: {kind}\r\n"), text.as_bytes())?;
        self.pass(answer.length)?;
        answer.expect(201, &path)
    }

    /// Pushes a blob in one piece.
    pub fn push(&mut self, blob: &Blob) -> Result<()> {
        let place = self.begin()?;
        let path = with_digest(&place, &blob.digest);
        let answer = self.ask("PUT", &path, "Content-Type: application/octet-stream\r\n", &blob.bytes)?;
        self.pass(answer.length)?;
        answer.expect(201, &path)
    }

    /// Pushes so many bytes in a stream, without keeping them.
    pub fn push_stream(&mut self, length: usize, mut noise: Noise) -> Result<()> {
        let place = self.begin()?;
        self.head("PATCH", &place, "Content-Type: application/octet-stream\r\n", length)?;
        let (mut hash, mut part) = (Sha256::new(), vec![0; CHUNK]);
        for _ in 0..length / CHUNK {
            noise.fill(&mut part);
            hash.update(&part);
            self.stream.get_mut().write_all(&part)?;
        }
        let answer = self.answer()?;
        self.pass(answer.length)?;
        answer.expect(202, &place)?;
        let place = answer.location.map(path_of).unwrap_or(place);
        let path = with_digest(&place, &named(hash.finalize().as_slice()));
        let answer = self.ask("PUT", &path, "", &[])?;
        self.pass(answer.length)?;
        answer.expect(201, &path)
    }

    fn begin(&mut self) -> Result<String> {
        let answer = self.ask("POST", "/v2/bench/blobs/uploads/", "", &[])?;
        self.pass(answer.length)?;
        answer.expect(202, "an upload")?;
        answer.location.map(path_of).context("an upload has no location")
    }

    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
        self.head(method, path, headers, body.len())?;
        self.stream.get_mut().write_all(body)?;
        self.answer()
    }

    fn head(&mut self, method: &str, path: &str, headers: &str, length: usize) -> Result<()> {
        let standing = &self.standing;
        let head = format!("{method} {path} HTTP/1.1\r\n{standing}{headers}Content-Length: {length}\r\n\r\n");
        Ok(self.stream.get_mut().write_all(head.as_bytes())?)
    }

    fn answer(&mut self) -> Result<Answer> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
        let mut answer = Answer { status, length: 0, location: None };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { return Ok(answer) };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => answer.length = value.trim().parse()?,
                "location" => answer.location = Some(value.trim().to_owned()),
                "transfer-encoding" => bail!("an answer in chunks"),
                _ => {}
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the registry closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }

    fn pass(&mut self, length: u64) -> Result<()> {
        let passed = std::io::copy(&mut self.stream.by_ref().take(length), &mut std::io::sink())?;
        if passed == length { Ok(()) } else { bail!("an answer is cut short") }
    }
}

impl Answer {
    fn expect(&self, status: u16, what: &str) -> Result<()> {
        if self.status == status { Ok(()) } else { bail!("{what}: answered {}", self.status) }
    }
}

/// A location may be a whole URL.
fn path_of(location: String) -> String {
    match location.split_once("://").and_then(|(_, rest)| rest.find('/').map(|slash| rest[slash..].to_owned())) {
        Some(path) => path,
        None => location,
    }
}

fn with_digest(place: &str, digest: &str) -> String {
    let mark = if place.contains('?') { '&' } else { '?' };
    format!("{place}{mark}digest={digest}")
}
