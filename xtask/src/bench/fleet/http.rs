//! A small client for awsJson over one kept-alive connection, for many connections in one process.

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer that is read.
const LONGEST: usize = 4 * 1024 * 1024;

/// One connection, opened at the first call.
pub struct Caller {
    address: String,
    /// The rest of the head behind the target: who calls.
    credential: String,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Caller {
    /// `account` is the access key id; in permissive mode twelve digits name an account.
    pub fn new(address: &str, account: &str) -> Self {
        let credential = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={account}/20260101/us-east-1/ecs/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={}\r\nX-Amz-Date: 20260101T000000Z\r\n",
            "0".repeat(64)
        );
        Self { address: address.to_owned(), credential, stream: None, request: Vec::new(), answer: Vec::new() }
    }

    /// Call an operation of ECS and return the body of its answer.
    ///
    /// # Errors
    /// If the connection fails or the answer is not 200.
    pub async fn ecs(&mut self, operation: &str, body: &str) -> Result<&[u8]> {
        self.request.clear();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nX-Amz-Target: AmazonEC2ContainerServiceV20141113.{operation}\r\n\
             Content-Type: application/x-amz-json-1.1\r\n{}Content-Length: {}\r\n\r\n",
            self.address,
            self.credential,
            body.len()
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body.as_bytes());
        let (status, start) = match self.stream.take() {
            // The server closes connections that are idle for long; then the request was not read.
            Some(kept) => match self.exchange(kept).await {
                Ok(answered) => answered,
                Err(_) => self.afresh().await?,
            },
            None => self.afresh().await?,
        };
        let body = &self.answer[start..];
        match status {
            200 => Ok(body),
            _ => bail!("{operation} answered {status}: {}", String::from_utf8_lossy(body)),
        }
    }

    async fn afresh(&mut self) -> Result<(u16, usize)> {
        let stream = TcpStream::connect(&self.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        self.exchange(stream).await
    }

    /// Sends the request and reads the answer; the connection is kept if that went well.
    async fn exchange(&mut self, mut stream: TcpStream) -> Result<(u16, usize)> {
        stream.write_all(&self.request).await?;
        let answered = read_answer(&mut stream, &mut self.answer).await?;
        self.stream = Some(stream);
        Ok(answered)
    }
}

/// Reads one answer into `buffer`; returns its status and where its body begins.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(u16, usize)> {
    buffer.clear();
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end])?;
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
            let length = content_length(head);
            while buffer.len() < end + 4 + length {
                read_some(stream, buffer).await?;
            }
            return Ok((status, end + 4));
        }
        read_some(stream, buffer).await?;
    }
}

async fn read_some(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    if buffer.len() > LONGEST {
        bail!("an answer is longer than {LONGEST} bytes");
    }
    match stream.read_buf(buffer).await? {
        0 => bail!("the server closed the connection"),
        _ => Ok(()),
    }
}

fn content_length(head: &str) -> usize {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let length = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    length.last().and_then(|value| value.parse().ok()).unwrap_or(0)
}
