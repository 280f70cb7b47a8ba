//! moto's server (PyPI), the emulator that most tests of AWS programs run against, in a virtual environment of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::client::Client;

/// What is installed.
const PACKAGE: &str = "moto[server]==5.2.5";

/// Runs until it is dropped.
pub struct Moto {
    child: Child,
    pub address: String,
    /// ARN of a task that runs.
    pub task: String,
}

impl Moto {
    pub fn start() -> Result<Self> {
        let server = installed()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(server);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut moto = Self { child, address: format!("127.0.0.1:{port}"), task: String::new() };
        moto.task = moto.prepare()?;
        Ok(moto)
    }

    /// A cluster, a task definition and a running task, as ours has them.
    fn prepare(&self) -> Result<String> {
        let mut client = self.wait()?;
        let mut input = client.sleeper(1)?;
        // It fails where none are named.
        input["networkConfiguration"]["awsvpcConfiguration"]["securityGroups"] = json!([]);
        let answer = client.ecs("RunTask", &input)?;
        Ok(answer["tasks"][0]["taskArn"].as_str().with_context(|| format!("moto ran no task: {answer}"))?.to_owned())
    }

    fn wait(&self) -> Result<Client> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Ok(client) = Client::connect(&self.address) {
                return Ok(client.speaking_for("000000000000"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("moto's server does not listen after 30 seconds")
    }

    /// DescribeTasks a second, one after the other: the server is single-threaded Python.
    pub fn describe(&self, period: Duration) -> Result<f64> {
        self.rate(period, |client, _| {
            client.ecs("DescribeTasks", &json!({ "cluster": "bench", "tasks": [self.task] })).map(drop)
        })
    }

    /// RegisterTaskDefinition a second, one after the other.
    pub fn register(&self, period: Duration) -> Result<f64> {
        self.rate(period, |client, number| {
            client.ecs("RegisterTaskDefinition", &super::api::definition(number)).map(drop)
        })
    }

    fn rate(&self, period: Duration, mut call: impl FnMut(&mut Client, usize) -> Result<()>) -> Result<f64> {
        let mut client = Client::connect(&self.address)?.speaking_for("000000000000");
        let (began, mut count) = (Instant::now(), 0);
        while began.elapsed() < period {
            call(&mut client, count % super::api::CLIENTS)?;
            count += 1;
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's program, installed under build/ if it is not there yet.
fn installed() -> Result<PathBuf> {
    let server = Path::new("build/moto/bin/moto_server");
    if !server.exists() {
        eprintln!("bench: installing {PACKAGE}");
        run(Command::new("python3").args(["-m", "venv", "build/moto"]))?;
        run(Command::new("build/moto/bin/pip").args(["install", "--quiet", PACKAGE]))?;
    }
    Ok(server.to_owned())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{command:?}: {status}"),
    }
}
