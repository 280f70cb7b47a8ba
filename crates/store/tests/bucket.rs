//! Blobs in a bucket that this test plays, by S3's protocol. The one who asks is a process of its own: its environment says
//! where the bucket is.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use longshore_store::blobs::{Algorithm, Blobs, Options, digest_of};

const CHILD: &str = "LONGSHORE_BUCKET_CHILD";

/// Readers at one time: more than the child has threads that may wait.
const READERS: u8 = 3;

/// Threads of the child's that may wait, beside its one worker.
const WAITING: usize = READERS as usize - 1;

/// Objects by their paths. Reads of blobs are answered all together, once there are [`READERS`] of them.
struct Bucket {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Reads of blobs that came.
    reads: AtomicUsize,
    all_read: Barrier,
}

impl Bucket {
    /// It, and its port.
    fn play() -> (Arc<Self>, u16) {
        let all_read = Barrier::new(usize::from(READERS));
        let bucket = Arc::new(Self { objects: Mutex::default(), reads: AtomicUsize::new(0), all_read });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn({
            let bucket = bucket.clone();
            move || {
                for line in listener.incoming().map_while(Result::ok) {
                    let bucket = bucket.clone();
                    std::thread::spawn(move || bucket.serve(&line));
                }
            }
        });
        (bucket, port)
    }

    fn serve(&self, mut line: &TcpStream) {
        let mut lines = BufReader::new(line);
        while let Some(request) = Request::read(&mut lines) {
            let (status, headers, body) = self.answer(&request);
            let head = format!(
                "HTTP/1.1 {status}\r\nETag: \"1\"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n{headers}\r\n"
            );
            let body = if request.method == "HEAD" { Vec::new() } else { body };
            if line.write_all(&[head.into_bytes(), body].concat()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> (&'static str, String, Vec<u8>) {
        let length = |length: usize| format!("Content-Length: {length}\r\n");
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        if query.contains("list-type=2") {
            let nothing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".to_vec();
            return ("200 OK", length(nothing.len()), nothing);
        }
        if request.method == "PUT" {
            self.objects.lock().unwrap().insert(path.to_owned(), request.body.clone());
            return ("200 OK", length(0), Vec::new());
        }
        let found = self.objects.lock().unwrap().get(path).cloned();
        let Some(body) = found else { return ("404 Not Found", length(0), Vec::new()) };
        let Some((first, last)) = request.range else { return ("200 OK", length(body.len()), body) };
        if path.contains("/blobs/") {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.all_read.wait();
        }
        let last = last.min(body.len() - 1);
        let headers = format!("Content-Range: bytes {first}-{last}/{}\r\n{}", body.len(), length(last + 1 - first));
        ("206 Partial Content", headers, body[first..=last].to_vec())
    }
}

struct Request {
    method: String,
    target: String,
    range: Option<(usize, usize)>,
    body: Vec<u8>,
}

impl Request {
    fn read(lines: &mut BufReader<&TcpStream>) -> Option<Self> {
        let mut next = || {
            let mut line = String::new();
            lines.read_line(&mut line).ok().filter(|length| *length > 0).map(|_| line.trim_end().to_owned())
        };
        let first = next()?;
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let (mut range, mut length) = (None, 0);
        while let Some(header) = next().filter(|header| !header.is_empty()) {
            let (name, value) = header.split_once(": ")?;
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "range" => {
                    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
                    range = Some((first.parse().ok()?, last.parse().ok()?));
                }
                _ => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).ok()?;
        Some(Self { method, target, range, body })
    }
}

/// What [`a_bucket_is_read_by_as_many_as_may_wait`] watches; alone it does nothing.
#[test]
fn a_child_that_reads() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let url = Some("s3://bucket/prefix".to_owned());
    let blobs = Blobs::open(&Options { url, owner: "one".to_owned(), ..Options::of(&directory) }).unwrap();
    let contents: Vec<Vec<u8>> = (0..READERS).map(|number| vec![number; 1000]).collect();
    for bytes in &contents {
        blobs.put(Algorithm::Sha256, bytes.clone().into()).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(WAITING)
        .enable_all()
        .build()
        .unwrap();
    let readers: Vec<_> =
        contents.iter().map(|bytes| blobs.reader(&digest_of(Algorithm::Sha256, bytes)).unwrap()).collect();
    let read = move |bytes: &[u8]| {
        let reader = blobs.reader(&digest_of(Algorithm::Sha256, bytes)).unwrap();
        assert_eq!(reader.read(0, 1000).unwrap(), bytes);
    };
    // None of the threads that may wait is free, nor needed.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    runtime.block_on(async {
        for _ in 0..WAITING {
            let released = released.clone();
            tokio::task::spawn_blocking(move || released.lock().unwrap().recv().is_ok());
        }
        let reading: Vec<_> = readers.iter().map(|reader| reader.read_later(0, 1000)).collect();
        for (one, bytes) in reading.into_iter().zip(&contents) {
            assert_eq!(one.await.unwrap().unwrap(), bytes);
        }
        drop(release);
    });
    runtime.block_on(async move {
        let mut reading: Vec<_> = contents[1..]
            .iter()
            .map(|bytes| {
                let (read, bytes) = (read.clone(), bytes.clone());
                tokio::task::spawn_blocking(move || read(&bytes))
            })
            .collect();
        reading.push(tokio::spawn(async move { tokio::task::block_in_place(|| read(&contents[0])) }));
        for one in reading {
            one.await.unwrap();
        }
    });
}

fn ended(child: &mut Child, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

#[test]
fn a_bucket_is_read_by_as_many_as_may_wait() {
    let directory = std::env::temp_dir().join(format!("longshore-bucket-{}", std::process::id()));
    let (bucket, port) = Bucket::play();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_child_that_reads", "--nocapture"])
        .env(CHILD, &directory)
        .env("AWS_ENDPOINT_URL_S3", format!("http://127.0.0.1:{port}"))
        .envs([("AWS_ALLOW_HTTP", "true"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")])
        // A variable that is none of its business, and no text.
        .env("LONGSHORE_ODD", OsStr::from_bytes(b"\xff"))
        .spawn()
        .unwrap();
    let is_read = ended(&mut child, Duration::from_secs(60));
    let _ = std::fs::remove_dir_all(&directory);
    assert!(is_read, "requests to the bucket wait for threads that wait for the bucket");
    assert_eq!(bucket.reads.load(Ordering::Relaxed), 2 * usize::from(READERS), "the child read something else");
}
