//! Access logs, in files named as AWS delivers them to a bucket:
//!
//! ```text
//! DIRECTORY/BUCKET/[PREFIX/]AWSLogs/ACCOUNT/elasticloadbalancing/REGION/YYYY/MM/DD/
//!     ACCOUNT_elasticloadbalancing_REGION_app.NAME.ID_END_ADDRESS_RANDOM.log.gz
//! ```
//!
//! A thread writes them, a file a balancer every five minutes; a name that ends with `.part` is a file that is not whole yet, or never
//! will be because the process was killed.
//! As AWS has it, they are best effort: a line that finds the queue full, the disk nearly so, or more files open than
//! there may be, is lost, and how many are is logged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use longshore_link::edge::{AccessLogs, Balancer, BalancerKind};
use nix::sys::statvfs::statvfs;
use tokio::sync::oneshot;

use crate::chance;

/// Lines that wait to be written.
const QUEUE: usize = 8_192;

/// Files that are written at one time.
const FILES: usize = 128;

/// Milliseconds that a file is written for.
const PERIOD: i64 = 300_000;

/// When no line has come for so long, what is compressed so far is written.
const QUIET: Duration = Duration::from_secs(1);

/// Bytes of lines of one file; more go to another.
const LONGEST: u64 = 256 << 20;

/// Bytes of the disk that are left to others.
const SPARE: u64 = 1 << 30;

/// Where the lines of one balancer go. Nothing of it leads out of the directory that it is below.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Below the directory of all: as far as the region.
    path: PathBuf,
    /// `ACCOUNT_elasticloadbalancing_REGION_app.NAME.ID`
    stem: String,
    address: String,
    /// `app/NAME/ID`, by which lines call it.
    pub name: String,
}

impl Place {
    /// `None` if the balancer's ARN, the bucket or the prefix are no names of files, or it is no application load balancer.
    pub fn new(balancer: &Balancer, logs: &AccessLogs, address: IpAddr) -> Option<Self> {
        let mut parts = balancer.arn.splitn(6, ':').skip(3);
        let (region, account) = (parts.next()?, parts.next()?);
        let name = parts.next()?.strip_prefix("loadbalancer/")?;
        let prefix = logs.prefix.split('/').filter(|part| !part.is_empty());
        let own = ["AWSLogs", account, "elasticloadbalancing", region];
        let path: Vec<&str> = [logs.bucket.as_str()].into_iter().chain(prefix).chain(own).collect();
        let sound = path.iter().copied().chain(name.split('/')).all(is_file_name);
        let stem = format!("{account}_elasticloadbalancing_{region}_{}", name.replace('/', "."));
        (sound && balancer.kind == BalancerKind::Application).then(|| Self {
            path: path.into_iter().collect(),
            stem,
            address: address.to_string().replace(':', "."),
            name: name.to_owned(),
        })
    }
}

fn is_file_name(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    !part.is_empty() && part.len() <= 255 && !part.starts_with('.') && part.bytes().all(plain)
}

/// Takes lines, from wherever they come, and never waits. The thread ends with the last clone.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Arc<Place>, String),
    /// Files are to be whole now, and the last ones if `true`.
    Finish(bool, oneshot::Sender<()>),
}

impl Writer {
    /// Writes below `directory`, which is made when it is needed.
    ///
    /// # Errors
    /// That the thread cannot be started.
    pub fn new(directory: PathBuf) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE);
        let lost = Arc::<AtomicU64>::default();
        let files = Files { directory, open: BTreeMap::new(), lost: lost.clone() };
        thread::Builder::new().name("access-logs".into()).spawn(move || files.write(&lines))?;
        Ok(Self { queue, lost })
    }

    /// A line without its end.
    pub fn put(&self, place: &Arc<Place>, line: String) {
        if self.queue.try_send(Message::Line(place.clone(), line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends with the files of what was put before being whole.
    pub async fn finish(&self) {
        self.ask(false).await;
    }

    /// As [`Self::finish`], and no line is written any more.
    pub async fn end(&self) {
        self.ask(true).await;
    }

    async fn ask(&self, is_last: bool) {
        let (done, finished) = oneshot::channel();
        let queue = self.queue.clone();
        // There may be no room for it in the queue yet.
        let sent = tokio::task::spawn_blocking(move || queue.send(Message::Finish(is_last, done))).await;
        if sent.is_ok() {
            let _ = finished.await;
        }
    }
}

/// What the thread has.
struct Files {
    directory: PathBuf,
    open: BTreeMap<Arc<Place>, Open>,
    lost: Arc<AtomicU64>,
}

/// A file that is being written.
struct Open {
    encoder: GzEncoder<File>,
    path: PathBuf,
    /// Bytes of its lines.
    written: u64,
    /// Those that the file has already.
    flushed: u64,
}

impl Files {
    fn write(mut self, lines: &Receiver<Message>) {
        let mut period = chance::now_millis().div_euclid(PERIOD);
        loop {
            let left = (period + 1) * PERIOD - chance::now_millis();
            let came = lines.recv_timeout(Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(QUIET));
            let now = chance::now_millis().div_euclid(PERIOD);
            if now != period {
                self.finish();
                period = now;
            }
            match came {
                Ok(Message::Line(place, line)) => self.put(place, &line, period),
                Ok(Message::Finish(is_last, done)) => {
                    self.finish();
                    let _ = done.send(());
                    if is_last {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    fn put(&mut self, place: Arc<Place>, line: &str, period: i64) {
        if self.open.get(&place).is_some_and(|open| open.written >= LONGEST)
            && let Some(full) = self.open.remove(&place)
        {
            finished(full);
        }
        if let Err(error) = self.append(place, line, period) {
            tracing::debug!(%error, "a line of an access log was lost");
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn append(&mut self, place: Arc<Place>, line: &str, period: i64) -> io::Result<()> {
        if !self.open.contains_key(&place) {
            if self.open.len() >= FILES {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            let open = self.begin(&place, period)?;
            self.open.insert(place.clone(), open);
        }
        let Some(open) = self.open.get_mut(&place) else { return Ok(()) };
        let written = open.encoder.write_all(line.as_bytes()).and_then(|()| open.encoder.write_all(b"\n"));
        open.written += line.len() as u64 + 1;
        if written.is_err() {
            self.open.remove(&place);
        }
        written
    }

    fn begin(&self, place: &Place, period: i64) -> io::Result<Open> {
        let end = Timestamp::from_millisecond((period + 1) * PERIOD).map_err(io::Error::other)?;
        let directory = self.directory.join(&place.path).join(end.strftime("%Y/%m/%d").to_string());
        fs::create_dir_all(&directory)?;
        if room(&directory)? < SPARE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (stem, address, random) = (&place.stem, &place.address, chance::number());
        let name = format!("{stem}_{}_{address}_{random:016x}.log.gz", end.strftime("%Y%m%dT%H%MZ"));
        let path = directory.join(name);
        let encoder = GzEncoder::new(File::create_new(part(&path))?, Compression::fast());
        Ok(Open { encoder, path, written: 0, flushed: 0 })
    }

    fn flush(&mut self) {
        for open in self.open.values_mut().filter(|open| open.written > open.flushed) {
            // What fails here fails again with the next line.
            let _ = open.encoder.flush();
            open.flushed = open.written;
        }
    }

    fn finish(&mut self) {
        std::mem::take(&mut self.open).into_values().for_each(finished);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "lines of access logs were lost");
        }
    }
}

/// A file is whole.
fn finished(open: Open) {
    let whole = open.encoder.finish().and_then(|_| fs::rename(part(&open.path), &open.path));
    if let Err(error) = whole {
        tracing::warn!(%error, path = %open.path.display(), "an access log was not finished");
    }
}

fn part(path: &Path) -> PathBuf {
    path.with_added_extension("part")
}

/// Bytes that are free where a directory is.
fn room(directory: &Path) -> io::Result<u64> {
    let disk = statvfs(directory)?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(arn: &str, bucket: &str, prefix: &str) -> Option<Place> {
        let balancer = Balancer::new(arn, BalancerKind::Application);
        let logs = AccessLogs { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        Place::new(&balancer, &logs, "127.64.0.1".parse().expect("an address"))
    }

    const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/web/50dc6c495c0c9188";

    #[test]
    fn a_balancers_lines_have_the_place_that_aws_gives_them() {
        let place = place(ARN, "logs", "/a/b/").expect("a place");
        let path = "logs/a/b/AWSLogs/111122223333/elasticloadbalancing/us-east-1";
        assert_eq!(place.path, Path::new(path));
        assert_eq!(place.stem, "111122223333_elasticloadbalancing_us-east-1_app.web.50dc6c495c0c9188");
        assert_eq!((place.name.as_str(), place.address.as_str()), ("app/web/50dc6c495c0c9188", "127.64.0.1"));
    }

    #[test]
    fn no_name_leads_out_of_the_directory() {
        let bad = [
            ("..", ""),
            ("", ""),
            ("a/b", ""),
            ("a", ".."),
            ("a", "b/../../c"),
            ("a", "b\0"),
            ("a", "b c"),
            (".a", ""),
        ];
        for (bucket, prefix) in bad {
            assert_eq!(place(ARN, bucket, prefix), None, "{bucket:?} {prefix:?}");
        }
        for arn in ["arn", "a:b:c:..:e:loadbalancer/app/x", "a:b:c:d:e:loadbalancer/../x", "a:b:c:d:e:targetgroup/x"] {
            assert_eq!(place(arn, "a", ""), None, "{arn}");
        }
    }
}
