//! Registries: Debian's `docker-registry` for how a real one behaves, and one of our own that can be told to lie, to
//! dawdle, to fail and to count, which no real one does on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::node::Directory;
use super::picture::Picture;

/// `puller` with the password `secret`, as htpasswd's bcrypt writes it.
const HTPASSWD: &str = "puller:$2b$05$B0eNkKimBhStfHN/0MAtx.hezdL9XRNeMgOSB90KJdVItsrUpabfu\n";

/// A port where nobody listens, and that the kernel gives to nobody who asks for any.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let port = || 20_000 + ((std::process::id() * 31 + NEXT.fetch_add(1, Ordering::SeqCst)) % 10_000) as u16;
    std::iter::repeat_with(port).find(|port| TcpStream::connect(("127.0.0.1", *port)).is_err()).unwrap()
}

/// A running `docker-registry`.
pub struct Debian {
    child: Child,
    port: u16,
    _directory: Directory,
}

impl Debian {
    pub fn start(protected: bool) -> Self {
        let directory = Directory::new();
        let port = free_port();
        std::fs::write(directory.0.join("htpasswd"), HTPASSWD).unwrap();
        let config = directory.0.join("config.yml");
        std::fs::write(&config, configuration(&directory.0, port, protected)).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry must be installed");
        let registry = Self { child, port, _directory: directory };
        for _ in 0..6000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("docker-registry does not listen");
    }

    pub fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    pub fn push(&self, archive: &Path, image: &str) {
        let pushed = Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", "puller:secret"])
            .arg(format!("oci-archive:{}", archive.display()))
            .arg(format!("docker://{}", self.name(image)))
            .output()
            .expect("skopeo must be installed");
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    }
}

impl Debian {
    /// The address, for who wants to listen there after it.
    pub fn address(&self) -> (&'static str, u16) {
        ("127.0.0.1", self.port)
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(directory: &Path, port: u16, protected: bool) -> String {
    let directory = directory.display();
    let auth = format!("auth:\n  htpasswd:\n    realm: longshore\n    path: {directory}/htpasswd\n");
    format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {directory}/store\n\
         http:\n  addr: 127.0.0.1:{port}\n{}",
        if protected { auth.as_str() } else { "" }
    )
}

/// How our own registry behaves.
#[derive(Clone, Default)]
pub struct Manners {
    /// The image it has, as repository `app` with the tag `1`.
    pub picture: Picture,
    /// Media type it serves the manifest as, if not the true one.
    pub served_as: Option<&'static str>,
    /// How many requests for the manifest it answers with 503 before it answers well.
    pub failures: u32,
    /// How long it waits between each 64 KiB of a blob.
    pub pause: Duration,
    /// The token it asks for.
    pub token: Option<&'static str>,
    /// What its token server wants to see in `Authorization`.
    pub login: Option<&'static str>,
}

/// Our own registry.
pub struct Own {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    manners: Manners,
    address: SocketAddr,
    failed: AtomicU32,
    is_away: AtomicBool,
    asked: Mutex<Vec<String>>,
}

impl Own {
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (failed, is_away, asked) = (AtomicU32::new(0), AtomicBool::new(false), Mutex::default());
        let state = Arc::new(State { manners, address, failed, is_away, asked });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.answer(stream));
            }
        });
        Self { address, state }
    }

    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Host and port.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// Answers all requests with 429 from now on, or no longer.
    pub fn set_away(&self, is_away: bool) {
        self.state.is_away.store(is_away, Ordering::SeqCst);
    }

    /// The requests whose line, range or host holds `part`.
    pub fn asked(&self, part: &str) -> Vec<String> {
        self.state.asked.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl State {
    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let first = lines.next()?.ok()?;
        let (method, path) = (first.split(' ').next()?, first.split(' ').nth(1)?);
        let mut headers = BTreeMap::new();
        for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ")?;
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let range = headers.get("range").cloned().unwrap_or_default();
        let host = headers.get("host").cloned().unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{method} {path} {range} at {host}"));
        if self.is_away.load(Ordering::SeqCst) {
            return self.reply(&stream, "429 Too Many Requests", "", b"").ok();
        }
        if method == "HEAD" {
            // As an old registry: the manifest itself must be asked for.
            return self.reply(&stream, "405 Method Not Allowed", "", b"").ok();
        }
        self.serve(&stream, path, &headers).ok()
    }

    fn serve(&self, stream: &TcpStream, path: &str, headers: &BTreeMap<String, String>) -> std::io::Result<()> {
        let manners = &self.manners;
        if path.starts_with("/token?")
            && manners.login.is_some_and(|login| headers.get("authorization").is_none_or(|shown| shown != login))
        {
            return self.reply(stream, "401 Unauthorized", "", b"{}");
        }
        if path.starts_with("/token?") {
            let token = format!("{{\"token\":\"{}\"}}", manners.token.unwrap_or_default());
            return self.reply(stream, "200 OK", "Content-Type: application/json\r\n", token.as_bytes());
        }
        if let Some(token) = manners.token
            && headers.get("authorization") != Some(&format!("Bearer {token}"))
        {
            let ask = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\",service=\"own\"\r\n", self.address);
            return self.reply(stream, "401 Unauthorized", &ask, b"{}");
        }
        let what = path.rsplit('/').next().unwrap_or_default();
        match path.split('/').nth(3) {
            None | Some("") => self.reply(stream, "200 OK", "", b"{}"),
            Some("manifests") if self.failed.fetch_add(1, Ordering::SeqCst) < manners.failures => {
                self.reply(stream, "503 Service Unavailable", "", b"")
            }
            Some("manifests") => self.manifest(stream, what),
            _ => self.blob(stream, what, headers.get("range")),
        }
    }

    fn manifest(&self, stream: &TcpStream, what: &str) -> std::io::Result<()> {
        let picture = &self.manners.picture;
        let digest = if what == "1" { picture.digest() } else { what };
        let Some(bytes) = picture.blobs.get(digest) else {
            return self.reply(stream, "404 Not Found", "", b"{}");
        };
        let document: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let own = document["mediaType"].as_str().unwrap_or(super::picture::MANIFEST);
        let media_type = self.manners.served_as.unwrap_or(own);
        self.reply(stream, "200 OK", &format!("Content-Type: {media_type}\r\n"), bytes)
    }

    fn blob(&self, stream: &TcpStream, digest: &str, range: Option<&String>) -> std::io::Result<()> {
        let Some(bytes) = self.manners.picture.blobs.get(digest) else {
            return self.reply(stream, "404 Not Found", "", b"{}");
        };
        let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from {
            Some(from) => self.reply(stream, "206 Partial Content", "", &bytes[from.min(bytes.len())..]),
            None => self.reply(stream, "200 OK", "", bytes),
        }
    }

    fn reply(&self, mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        for part in body.chunks(64 * 1024) {
            stream.write_all(part)?;
            std::thread::sleep(self.manners.pause);
        }
        Ok(())
    }
}
