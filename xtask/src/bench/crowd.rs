//! Many connections and one thread: each sends its request, reads the whole answer, looks at it, and sends the request again.
//!
//! Client and server share the machine's processors, so what the client costs is missing from the figure. This one makes
//! three system calls a request and keeps its requests ready; what an answer says is read all the same.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Longest answer.
const LONGEST: usize = 1024 * 1024;

/// For the answers that are still to come when the time is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection and the request it repeats.
struct Member {
    stream: TcpStream,
    request: Vec<u8>,
    /// What has come of an answer that did not come at once.
    answer: Vec<u8>,
}

/// Connections that each repeat a request of their own.
pub struct Crowd {
    epoll: Epoll,
    members: Vec<Member>,
    /// Bytes that an answer's body has at least.
    least: usize,
    chunk: Vec<u8>,
    awake: bool,
}

impl Crowd {
    /// Connect once for each request. An answer counts if its status is 200 and its body has `least` bytes.
    ///
    /// # Errors
    /// If a connection is refused.
    pub fn connect(address: &str, requests: Vec<Vec<u8>>, least: usize) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut members = Vec::with_capacity(requests.len());
        for (number, request) in (0..).zip(requests) {
            let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number))?;
            members.push(Member { stream, request, answer: Vec::new() });
        }
        Ok(Self { epoll, members, least, chunk: vec![0; CHUNK], awake: false })
    }

    /// It asks for answers again and again instead of sleeping until some come: a server on another processor need not
    /// wake it, which on a virtual machine is a good part of a call.
    pub fn awake(self) -> Self {
        Self { awake: true, ..self }
    }

    /// Repeat the requests until `until`, wait for the last answers, and return how many there were.
    ///
    /// # Errors
    /// If an answer is not what it should be, a connection ends, or no answer comes for long.
    pub fn run(&mut self, until: Instant) -> Result<u64> {
        self.members.iter_mut().try_for_each(Member::send)?;
        let (mut under_way, mut answered) = (self.members.len(), 0);
        let mut ready = vec![EpollEvent::empty(); self.members.len()];
        let asleep = EpollTimeout::from(u16::try_from(PATIENCE.as_millis())?);
        let wait = if self.awake { EpollTimeout::ZERO } else { asleep };
        let mut last = Instant::now();
        while under_way > 0 {
            let count = self.epoll.wait(&mut ready, wait)?;
            let now = Instant::now();
            match count {
                0 if now - last >= PATIENCE => bail!("{under_way} requests were not answered within {PATIENCE:?}"),
                0 => continue,
                _ => last = now,
            }
            let goes_on = now < until;
            for event in &ready[..count] {
                let member = &mut self.members[usize::try_from(event.data())?];
                if !member.receive(&mut self.chunk, self.least)? {
                    continue;
                }
                answered += 1;
                match goes_on {
                    true => member.send()?,
                    false => under_way -= 1,
                }
            }
        }
        Ok(answered)
    }
}

impl Member {
    fn send(&mut self) -> Result<()> {
        // The request before was answered, so the socket has room for this one.
        Ok(self.stream.write_all(&self.request)?)
    }

    /// Read what has come; whether the answer is complete.
    fn receive(&mut self, chunk: &mut [u8], least: usize) -> Result<bool> {
        let count = match self.stream.read(chunk) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let came = &chunk[..count];
        if self.answer.is_empty() && is_complete(came, least)? {
            return Ok(true);
        }
        self.answer.extend_from_slice(came);
        let complete = is_complete(&self.answer, least)?;
        match complete {
            true => self.answer.clear(),
            false if self.answer.len() > LONGEST => bail!("an answer is longer than {LONGEST} bytes"),
            false => {}
        }
        Ok(complete)
    }
}

/// Whether these bytes are a whole answer.
///
/// # Errors
/// If it is not one of status 200 with a body of `least` bytes, or if there is more than one.
fn is_complete(answer: &[u8], least: usize) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(false);
    };
    let body = answer.len() - head - 4;
    let head = std::str::from_utf8(&answer[..head])?;
    let length = content_length(head).context("an answer says no length")?;
    if body < length {
        return Ok(false);
    }
    if !head.starts_with("HTTP/1.1 200 ") || body > length || length < least {
        bail!("the server answered {}", String::from_utf8_lossy(answer));
    }
    Ok(true)
}

fn content_length(head: &str) -> Option<usize> {
    const NAME: &str = "content-length:";
    let named = |line: &&str| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    head.split("\r\n").find(named)?[NAME.len()..].trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection's requests of one byte, each answer in the given pieces.
    fn serve(pieces: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.read(&mut [0; 1]).is_ok_and(|count| count > 0) {
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).unwrap();
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        address
    }

    fn run(pieces: &'static [&'static str], least: usize) -> Result<u64> {
        let mut crowd = Crowd::connect(&serve(pieces), vec![b"?".to_vec()], least)?;
        crowd.run(Instant::now() + Duration::from_millis(20))
    }

    #[test]
    fn answers_are_counted_when_they_are_whole() {
        let whole = run(&["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"], 3).unwrap();
        let torn = run(&["HTTP/1.1 200 OK\r\nContent-", "Length: 3\r\n\r", "\n", "ab", "c"], 3).unwrap();
        assert!((1..=20).contains(&whole) && (1..=4).contains(&torn), "{whole} {torn}");
    }

    #[test]
    fn an_answer_of_another_status_or_without_content_is_an_error() {
        assert!(run(&["HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nabc"], 3).is_err());
        assert!(run(&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"], 3).is_err());
        assert!(run(&["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcd"], 3).is_err());
        assert!(run(&["HTTP/1.1 200 OK\r\n\r\n"], 0).is_err());
    }
}
