//! The thread that reads a container's output.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::buffer::Buffer;
use super::event::{Event, Joiner};
use super::file::JsonFile;
use super::line::Splitter;
use super::{STACK_BYTES, Wake, leave_signals_to_others};
use crate::error::{Error, Result};
use crate::time;

/// Lines that may belong together wait this long for the next one.
const JOIN_MS: u16 = 1000;
/// Read at once; on the heap, as the stack is small.
const CHUNK: usize = 32 << 10;

/// Where events go.
pub enum Sink {
    Nowhere,
    File(Arc<JsonFile>),
    Buffer(Arc<Buffer>),
}

struct Source {
    fd: OwnedFd,
    name: &'static str,
    splitter: Splitter,
    joiner: Joiner,
}

/// Starts reading until every source has ended; `alive` is held until then.
pub fn start(
    sources: Vec<(OwnedFd, &'static str)>,
    joiner: Joiner,
    sink: Sink,
    alive: Arc<()>,
    wake: Wake,
) -> Result<()> {
    let source = |(fd, name)| Source { fd, name, splitter: Splitter::default(), joiner: joiner.clone() };
    let sources = sources.into_iter().map(source).collect();
    let builder = thread::Builder::new().name("log-reader".into()).stack_size(STACK_BYTES);
    let run = move || {
        leave_signals_to_others();
        read_all(sources, &sink);
        drop(alive);
        wake();
    };
    builder.spawn(run).map(drop).map_err(Error::system("start a log thread"))
}

fn read_all(mut sources: Vec<Source>, sink: &Sink) {
    let mut chunk = vec![0; CHUNK];
    while !sources.is_empty() {
        let timeout = match sources.iter().any(|source| source.joiner.is_waiting()) {
            true => PollTimeout::from(JOIN_MS),
            false => PollTimeout::NONE,
        };
        let ready = match wait(&sources, timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        if ready.iter().all(|ready| !ready) {
            sources.iter_mut().for_each(|source| source.joiner.flush(|event| sink.put(event)));
        }
        let mut at = 0;
        sources.retain_mut(|source| {
            at += 1;
            !ready[at - 1] || source.read(&mut chunk, sink)
        });
    }
}

fn wait(sources: &[Source], timeout: PollTimeout) -> nix::Result<Vec<bool>> {
    let mut list: Vec<PollFd> = sources.iter().map(|s| PollFd::new(s.fd.as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut list, timeout)?;
    Ok(list.iter().map(|entry| entry.any().unwrap_or(true)).collect())
}

impl Source {
    /// Reads once; false at the end. A terminal ends with EIO.
    fn read(&mut self, chunk: &mut [u8], sink: &Sink) -> bool {
        let name = self.name;
        match nix::unistd::read(&self.fd, chunk) {
            Err(Errno::EINTR | Errno::EAGAIN) => true,
            Ok(length) if length > 0 => {
                let now = time::now().wall;
                let joiner = &mut self.joiner;
                self.splitter.push(&chunk[..length], |line| sink.line(joiner, name, now, line));
                true
            }
            _ => {
                let now = time::now().wall;
                let joiner = &mut self.joiner;
                self.splitter.finish(|line| sink.line(joiner, name, now, line));
                self.joiner.flush(|event| sink.put(event));
                false
            }
        }
    }
}

impl Sink {
    fn line(&self, joiner: &mut Joiner, stream: &str, now: u64, line: String) {
        match self {
            Sink::Nowhere => {}
            Sink::File(file) => file.write(stream, &line),
            Sink::Buffer(buffer) => joiner.push(now, line, |event| buffer.put(event)),
        }
    }

    fn put(&self, event: Event) {
        if let Sink::Buffer(buffer) = self {
            buffer.put(event);
        }
    }
}
