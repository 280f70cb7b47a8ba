//! The proxies and what is behind them, each a process that ends when it is dropped.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::load::aside;

/// What a proxy listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Http,
    Https,
    Tcp,
}

const DOORS: [Door; 3] = [Door::Http, Door::Https, Door::Tcp];

/// A proxy, with a port for each door that it has.
pub struct Peer {
    pub name: &'static str,
    process: Process,
    ports: Vec<(Door, u16)>,
}

impl Peer {
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    pub fn has(&self, door: Door) -> bool {
        self.ports.iter().any(|(own, _)| *own == door)
    }

    pub fn address(&self, door: Door) -> String {
        let port = self.ports.iter().find(|(own, _)| *own == door).map_or(0, |(_, port)| *port);
        format!("127.0.0.1:{port}")
    }

    /// What a client of this door is given.
    pub fn url(&self, door: Door, path: &str) -> String {
        let scheme = match door {
            Door::Http => "http://",
            Door::Https => "https://",
            Door::Tcp => "",
        };
        format!("{scheme}{}{path}", self.address(door))
    }
}

/// All that runs for a measurement. Our own proxy is the first.
pub struct Site {
    pub peers: Vec<Peer>,
    _targets: Vec<Process>,
    _directory: Directory,
}

struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let log = fs::File::create(log)?;
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context(shown)?;
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the configurations of the proxies are made of.
struct Plan {
    directory: PathBuf,
    /// The targets' ports: of HTTP, and of iperf3.
    web: u16,
    bulk: u16,
    certificate: String,
    key: String,
}

impl Site {
    /// # Errors
    /// If a program is not installed or does not begin to listen.
    pub fn start() -> Result<Self> {
        let directory = Directory(std::env::temp_dir().join(format!("longshore-bench-edge-{}", std::process::id())));
        fs::create_dir_all(&directory.0)?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let plan = Plan {
            directory: directory.0.clone(),
            web: port()?,
            bulk: port()?,
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
        };
        plan.write("certificate.pem", &plan.certificate)?;
        plan.write("both.pem", &format!("{}{}", plan.certificate, plan.key))?;
        plan.write("key.pem", &plan.key)?;
        let targets = plan.targets()?;
        let peers = vec![plan.edge()?, plan.haproxy()?, plan.nginx()?];
        for peer in &peers {
            let mut web = peer.ports.iter().filter(|(door, _)| *door != Door::Tcp);
            web.try_for_each(|(_, port)| ready(*port)).with_context(|| peer.name.to_owned())?;
        }
        // For the first check of a target's health.
        std::thread::sleep(Duration::from_secs(1));
        Ok(Self { peers, _targets: targets, _directory: directory })
    }
}

impl Plan {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    fn targets(&self) -> Result<Vec<Process>> {
        fs::create_dir_all(self.path("files"))?;
        fs::write(self.path("files/small"), [b'x'; 128])?;
        fs::write(self.path("files/large"), vec![b'x'; 1024 * 1024])?;
        let server = format!(
            "server {{ listen 127.0.0.1:{}; root {}; open_file_cache max=16; keepalive_requests 1000000000; }}",
            self.web,
            self.path("files").display(),
        );
        let web = Process::start(&mut self.nginx_with("target", &server, 1)?, &self.path("target.log"))?;
        let mut bulk = aside("iperf3");
        bulk.args(["--server", "--port", &self.bulk.to_string()]);
        let bulk = Process::start(&mut bulk, &self.path("iperf3.log"))?;
        ready(self.web).context("nginx")?;
        ready(self.bulk).context("iperf3")?;
        Ok(vec![web, bulk])
    }

    fn edge(&self) -> Result<Peer> {
        let program = Path::new("target/release/examples/edge");
        if !program.exists() {
            bail!("{} is not built: run cargo build --release -p longshore-edge --example edge", program.display());
        }
        let ports = ports(&DOORS)?;
        let balancers: Vec<serde_json::Value> = ports
            .iter()
            .map(|(door, port)| {
                let (kind, protocol, group) = match door {
                    Door::Http => ("application", "HTTP", "web"),
                    Door::Https => ("application", "HTTPS", "web"),
                    Door::Tcp => ("network", "TCP", "bulk"),
                };
                let certificates = if *door == Door::Https { vec!["own"] } else { vec![] };
                let action = json!({ "type": "forward", "groups": [{ "targetGroup": group, "weight": 1 }] });
                json!({
                    "arn": protocol, "kind": kind, "addresses": [{ "ip": "127.0.0.1", "zone": "a" }],
                    "listeners": [{
                        "arn": protocol, "port": port, "protocol": protocol, "certificates": certificates,
                        "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06", "defaultAction": action,
                    }],
                })
            })
            .collect();
        let group = |protocol: &str, port: u16| {
            let target = json!({ "id": "127.0.0.1", "address": "127.0.0.1", "port": port });
            let check = json!({ "protocol": protocol, "path": "/small" });
            json!({ "protocol": protocol, "targets": [target], "healthCheck": check })
        };
        // iperf3 serves one connection after the other, so that a check must not come between.
        let mut bulk = group("TCP", self.bulk);
        bulk["healthCheck"] = json!({ "protocol": "HTTP", "path": "/small", "port": self.web });
        let configuration = json!({
            "balancers": balancers,
            "targetGroups": { "web": group("HTTP", self.web), "bulk": bulk },
            "certificates": { "own": { "chain": self.certificate, "privateKey": self.key } },
        });
        let file = self.write("edge.json", &configuration.to_string())?;
        let process = Process::start(pinned(program).arg(file), &self.path("edge.log"))?;
        Ok(Peer { name: "edge", process, ports })
    }

    fn haproxy(&self) -> Result<Peer> {
        let ports = ports(&DOORS)?;
        let [(_, http), (_, https), (_, tcp)] = ports[..] else { bail!("three doors") };
        let text = format!(
            "global\n nbthread 1\n maxconn 10200\n no strict-limits\n\
             defaults\n mode http\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
             frontend web\n bind 127.0.0.1:{http}\n bind 127.0.0.1:{https} ssl crt {} alpn h2,http/1.1\n\
             \x20option forwardfor\n http-request set-header X-Forwarded-Proto http\n\
             \x20http-request set-header X-Forwarded-Port %[dst_port]\n default_backend web\n\
             backend web\n http-reuse always\n server one 127.0.0.1:{} check\n\
             listen bulk\n mode tcp\n bind 127.0.0.1:{tcp}\n server one 127.0.0.1:{}\n",
            self.path("both.pem").display(),
            self.web,
            self.bulk,
        );
        let file = self.write("haproxy.cfg", &text)?;
        let mut command = pinned(Path::new("haproxy"));
        let process = Process::start(command.args(["-db", "-f"]).arg(file), &self.path("haproxy.log"))?;
        Ok(Peer { name: "HAProxy", process, ports })
    }

    fn nginx(&self) -> Result<Peer> {
        let ports = ports(&DOORS[..2])?;
        let [(_, http), (_, https)] = ports[..] else { bail!("two doors") };
        let server = format!(
            "upstream web {{ server 127.0.0.1:{}; keepalive 256; keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl http2; keepalive_requests 1000000000;\n\
             ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;\n\
             location / {{ proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;\n\
             proxy_set_header X-Forwarded-Port $server_port; }} }}",
            self.web,
            self.path("certificate.pem").display(),
            self.path("key.pem").display(),
        );
        let process = Process::start(&mut self.nginx_with("nginx", &server, 0)?, &self.path("nginx.log"))?;
        Ok(Peer { name: "nginx", process, ports })
    }

    /// nginx as one process with one thread.
    fn nginx_with(&self, name: &str, server: &str, processor: usize) -> Result<Command> {
        let own = self.path(name);
        fs::create_dir_all(&own)?;
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", own.display()))
            .concat();
        let text = format!(
            "daemon off; master_process off; user root; pid {own}/pid; error_log stderr;\n\
             worker_rlimit_nofile 50000; events {{ worker_connections 40000; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; {temporary} {server} }}\n",
            own = own.display(),
        );
        let file = self.write(&format!("{name}.conf"), &text)?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &processor.to_string(), "nginx", "-p"]).arg(own).arg("-c").arg(file);
        Ok(command)
    }
}

/// A proxy's program, on the first processor.
fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command
}

fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn ports(doors: &[Door]) -> Result<Vec<(Door, u16)>> {
    // All are held until each has its own.
    let held = doors.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    doors.iter().zip(held).map(|(door, held)| Ok((*door, held.local_addr()?.port()))).collect()
}

fn ready(port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens on port {port}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
