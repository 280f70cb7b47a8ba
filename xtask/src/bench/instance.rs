//! Instances of the release binary, each with a data directory and port of its own, removed when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::client::Client;
use super::signed::Key;

pub struct Instance {
    directory: PathBuf,
    pub address: String,
    processes: Vec<Child>,
}

pub fn binary() -> PathBuf {
    PathBuf::from("target/release/longshore")
}

impl Instance {
    pub fn new(name: &str) -> Result<Self> {
        if !binary().exists() {
            bail!("{} is not built: run cargo build --release", binary().display());
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = std::env::temp_dir().join(format!("longshore-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory, address: format!("127.0.0.1:{port}"), processes: Vec::new() })
    }

    /// Start a subcommand; returns its process id.
    pub fn start(&mut self, words: &[&str]) -> Result<u32> {
        let command = self.command(words);
        self.spawn(command)
    }

    /// As [`Self::start`], bound to one processor.
    pub fn start_on(&mut self, processor: usize, words: &[&str]) -> Result<u32> {
        let plain = self.command(words);
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &processor.to_string()]).arg(plain.get_program()).args(plain.get_args());
        command.env("LONGSHORE_LOG", "warn");
        self.spawn(command)
    }

    fn spawn(&mut self, mut command: Command) -> Result<u32> {
        let log = std::fs::File::options().create(true).append(true).open(self.directory.join("log"))?;
        let child = command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?;
        let pid = child.id();
        self.processes.push(child);
        Ok(pid)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(words).arg("--data-dir").arg(self.directory.join("data")).args(["--listen", &self.address]);
        command.env("LONGSHORE_LOG", "warn");
        command
    }

    pub fn wait_ready(&self) -> Result<()> {
        self.wait("/readyz")
    }

    pub fn wait(&self, path: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Ok(mut client) = Client::connect(&self.address)
                && client.get(path).is_ok_and(|status| status == 200)
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        bail!("the instance is not ready:\n{log}")
    }

    /// The root key.
    pub fn key(&self) -> Result<Key> {
        let said = self.command(&["env"]).output()?;
        let said = String::from_utf8(said.stdout)?;
        let find = |name: &str| {
            let prefix = format!("export {name}=");
            let line = said.lines().find_map(|line| line.strip_prefix(&prefix));
            line.map(str::to_owned).with_context(|| format!("{name} is not in the environment that was printed"))
        };
        Ok(Key { id: find("AWS_ACCESS_KEY_ID")?, secret: find("AWS_SECRET_ACCESS_KEY")? })
    }

    /// A client that signs with the root key.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.address)?.signing(self.key()?))
    }

    pub fn import(&self, archive: &Path, tag: &str) -> Result<()> {
        let archive = archive.to_str().context("a path in UTF-8")?;
        let done = self.command(&["image", "import", archive, "--tag", tag]).output()?;
        if !done.status.success() {
            bail!("importing {archive}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(())
    }

    /// A client that speaks for an account (permissive mode).
    pub fn client_of(&self, account: &str) -> Result<Client> {
        Ok(Client::connect(&self.address)?.speaking_for(account))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for child in &mut self.processes {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        let down = self.command(&["down"]).output();
        if let Ok(down) = down
            && !down.status.success()
        {
            eprintln!("down: {}", String::from_utf8_lossy(&down.stderr));
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
