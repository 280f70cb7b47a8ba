//! etcd (Debian's etcd-server): durable puts over gRPC, to stand beside durable registrations.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::stats::cpu_time;

/// gRPC connections that the clients share, as etcd's own clients would.
const CONNECTIONS: usize = 8;

/// `etcdserverpb.PutRequest`, the members that are used.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `etcdserverpb.PutResponse`; nothing of it is read.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// Runs until it is dropped; its data goes with it.
pub struct Etcd {
    child: Child,
    directory: PathBuf,
    endpoint: String,
}

impl Etcd {
    /// Nothing where etcd is not installed.
    pub fn start() -> Result<Option<Self>> {
        let directory = std::env::temp_dir().join(format!("longshore-bench-etcd-{}", std::process::id()));
        let port = || -> Result<u16> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
        let (client, peer) = (format!("http://127.0.0.1:{}", port()?), format!("http://127.0.0.1:{}", port()?));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(&directory).args(["--log-level", "error", "--listen-client-urls", &client]);
        command.args(["--advertise-client-urls", &client, "--listen-peer-urls", &peer]);
        command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
        match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => Ok(Some(Self { child, directory, endpoint: client })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("etcd"),
        }
    }

    /// Puts a second of `bytes` each with `clients` at a time, and etcd's processor time a put in microseconds.
    pub async fn put(&self, clients: usize, bytes: usize, period: Duration) -> Result<(f64, f64)> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(self.connect().await?);
        }
        let count = Arc::new(AtomicU64::new(0));
        let (began, before) = (Instant::now(), cpu_time(self.child.id())?);
        let mut running = JoinSet::new();
        for number in 0..clients {
            let (channel, count) = (channels[number % CONNECTIONS].clone(), count.clone());
            running.spawn(client(channel, number, vec![b'x'; bytes], began + period, count));
        }
        while let Some(ended) = running.join_next().await {
            ended??;
        }
        let count = count.load(Ordering::Relaxed) as f64;
        let cpu = cpu_time(self.child.id())? - before;
        Ok((count / began.elapsed().as_secs_f64(), cpu.as_secs_f64() * 1e6 / count))
    }

    async fn connect(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(self.endpoint.clone())?;
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match endpoint.connect().await {
                Ok(channel) => return Ok(channel),
                Err(error) if Instant::now() > deadline => return Err(error).context("etcd does not answer"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

async fn client(channel: Channel, number: usize, value: Vec<u8>, until: Instant, count: Arc<AtomicU64>) -> Result<()> {
    let mut grpc = tonic::client::Grpc::new(channel);
    let mut put = 0;
    while Instant::now() < until {
        put += 1;
        let request = PutRequest { key: format!("/bench/{number}/{put}").into_bytes(), value: value.clone() };
        grpc.ready().await?;
        let codec = tonic_prost::ProstCodec::<PutRequest, PutResponse>::default();
        let path = http::uri::PathAndQuery::from_static("/etcdserverpb.KV/Put");
        grpc.unary(tonic::Request::new(request), path, codec).await?;
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
