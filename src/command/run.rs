//! `longshore up`, `server`, `agent` and `down`.

use std::fs::File;
use std::future::Future;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use longshore_agent as node;
use longshore_control::{self as control, RootKey};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::command::env::{self, REGION_FILE};
use crate::options::{Auth, Behaviour, CONTAINERD_FILE, ENDPOINT_FILE, Engine, Instance, Resolved};

/// Most worker threads: the work is waiting, mostly.
const THREADS: usize = 2;

fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    // Two on one processor would only wake each other.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS.min(processors))
        .max_blocking_threads(16)
        .thread_stack_size(1024 * 1024)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome
}

/// Control plane and node in one process.
pub fn up(options: &Resolved) -> Result<()> {
    prepare(options)?;
    let _held = hold(&options.data_dir, CONTROL_LOCK)?;
    let _held = hold(&options.data_dir, NODE_LOCK)?;
    block_on(async {
        let (told, stop) = stop_signal()?;
        let bound = bind(options).await?;
        let address = bound.address;
        let config = node_config(options, &address.to_string())?;
        announce(options, &address.to_string())?;
        let mut serve = std::pin::pin!(bound.serve(stopped(stop.clone())));
        let mut node = std::pin::pin!(node::run(config, stopped(stop.clone())));
        // Whichever ends first takes the other with it: half an instance helps nobody.
        let first = tokio::select! {
            served = &mut serve => Ended::Control(served),
            ran = &mut node => Ended::Node(ran),
        };
        match first {
            Ended::Control(served) => {
                told.send_replace(true);
                let _ = timeout(STOP_WITHIN, node).await;
                served.context("the control plane stopped")
            }
            // An API call may deregister the node; that does not take the control plane away.
            Ended::Node(Err(why @ node::Error::Void)) => {
                tracing::error!(%why, "the control plane goes on without a node; the next start joins again");
                serve.await.context("the control plane stopped")
            }
            Ended::Node(ran) => {
                told.send_replace(true);
                let _ = timeout(STOP_WITHIN, serve).await;
                ran.context("the node stopped")
            }
        }
    })
}

/// Which half of `up` ended first, and how.
enum Ended {
    Control(Result<(), control::Error>),
    Node(Result<(), node::Error>),
}

pub fn server(options: &Resolved) -> Result<()> {
    prepare(options)?;
    let _held = hold(&options.data_dir, CONTROL_LOCK)?;
    block_on(async {
        let (_told, stop) = stop_signal()?;
        let bound = bind(options).await?;
        announce(options, &bound.address.to_string())?;
        Ok(bound.serve(stopped(stop)).await?)
    })
}

/// A node alone. It joins with the token of this file, or of the environment, if it is none yet; else as an administrator.
pub fn agent(options: &Resolved, join_token: Option<&Path>) -> Result<()> {
    prepare(options)?;
    let _held = hold(&options.data_dir, NODE_LOCK)?;
    block_on(async {
        let (_told, stop) = stop_signal()?;
        let mut config = node_config(options, &options.listen.to_string())?;
        config.joins_by = join_token_of(options, join_token)?.map(node::Joins::Token).or(config.joins_by);
        node::run(config, stopped(stop)).await.context("the node stopped")
    })
}

pub fn down(instance: &Instance) -> Result<()> {
    let data_dir = instance.data_dir()?;
    for lock in [NODE_LOCK, CONTROL_LOCK] {
        end_holder(&data_dir.join(lock))?;
    }
    block_on(async { Ok(node::down(&data_dir).await?) })
}

/// The data directory, the root key and the logger.
fn prepare(options: &Resolved) -> Result<()> {
    let dir = &options.data_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("making {}", dir.display()))?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))?;
    start_logger();
    Ok(())
}

const CONTROL_LOCK: &str = "server.lock";
const NODE_LOCK: &str = "agent.lock";

/// How long a lock may outlive its holder: a child that was forked at that moment has it until it executes its program.
const ORPHANED_WITHIN: Duration = Duration::from_secs(2);

/// Take a data directory's lock for the life of this process: two control planes or two nodes of one directory would
/// undo each other's work.
fn hold(data_dir: &Path, name: &str) -> Result<Flock<File>> {
    let path = data_dir.join(name);
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    let deadline = Instant::now() + ORPHANED_WITHIN;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                held.set_len(0)?;
                writeln!(held, "{}", std::process::id())?;
                return Ok(held);
            }
            Err((file, Errno::EWOULDBLOCK)) => file,
            Err((_, error)) => return Err(error).with_context(|| format!("locking {}", path.display())),
        };
        let holder = std::fs::read_to_string(&path).unwrap_or_default();
        if Path::new("/proc").join(holder.trim()).exists() || Instant::now() > deadline {
            bail!("{} is in use by process {}", data_dir.display(), holder.trim());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Ask the process that holds a lock to stop, and wait until it has.
fn end_holder(lock: &Path) -> Result<()> {
    let Ok(mut file) = File::open(lock) else { return Ok(()) };
    let deadline = Instant::now() + STOP_WITHIN;
    let mut asked = false;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_) => return Ok(()),
            Err((file, _)) => file,
        };
        let holder: Option<i32> = std::fs::read_to_string(lock)?.trim().parse().ok();
        if let Some(pid) = holder.filter(|_| !asked) {
            match nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGTERM) {
                Ok(()) | Err(Errno::ESRCH) => asked = true,
                Err(error) => return Err(error).context("stopping the running longshore"),
            }
        }
        if Instant::now() > deadline {
            bail!("the running longshore (process {}) does not stop", holder.unwrap_or_default());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// For a running control plane or node to stop.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Between two looks at a lock that another holds.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// `LONGSHORE_LOG` chooses what is logged (`info`, `longshore_agent=debug`, …), `LONGSHORE_LOG_FORMAT=json` how.
fn start_logger() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LONGSHORE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match std::env::var("LONGSHORE_LOG_FORMAT").as_deref() {
        Ok("json") => builder.json().init(),
        _ => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
}

/// The registries that the operator lets images be fetched from.
fn upstreams(options: &Resolved) -> Result<Vec<control::Upstream>> {
    let read = |text: &String| control::upstream(text).map_err(anyhow::Error::msg);
    options.upstream_registries.iter().map(read).collect::<Result<_>>().context("--upstream-registry")
}

async fn bind(options: &Resolved) -> Result<control::Bound> {
    let account = longshore_model::AccountId::parse(&options.account).context("an account id has twelve digits")?;
    RootKey::ensure(&options.data_dir)?;
    let config = control::Config {
        data_dir: options.data_dir.clone(),
        listen: options.listen,
        region: options.region.clone(),
        account,
        auth: match options.auth {
            Auth::Enforce => control::Auth::Enforce,
            Auth::Permissive => control::Auth::Permissive,
        },
        node_lost_hours: options.node_lost_hours,
        audit_mib: options.audit_mib,
        trail_seconds: options.trail_interval,
        registry_url: options.registry_url.clone(),
        registry_peers: options.registry_peers.clone(),
        upstreams: upstreams(options)?,
        balancer_address: options.balancer_address,
        throttle: options.throttle,
    };
    control::bind(&config).await.context("the control plane cannot start")
}

/// Write down where this instance answers, for `longshore env`.
fn announce(options: &Resolved, address: &str) -> Result<()> {
    let write = |name: &str, text: &str| write_whole(&options.data_dir.join(name), text);
    write(ENDPOINT_FILE, address)?;
    write(REGION_FILE, &options.region)?;
    tracing::info!(endpoint = format!("http://{address}"), data_dir = %options.data_dir.display(), "longshore is up");
    Ok(())
}

/// Write down which containerd the node uses, for `longshore image`.
fn announce_containerd(options: &Resolved) -> Result<()> {
    let file = options.data_dir.join(CONTAINERD_FILE);
    if let Some(socket) = &options.containerd {
        return write_whole(&file, &std::path::absolute(socket)?.display().to_string());
    }
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("forgetting a containerd"),
        _ => Ok(()),
    }
}

fn write_whole(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, format!("{text}\n"))?;
    std::fs::rename(&beside, path).with_context(|| format!("writing {}", path.display()))
}

fn node_config(options: &Resolved, endpoint: &str) -> Result<node::Config> {
    let engine = match options.engine {
        Engine::Containerd => node::EngineKind::Containerd,
        Engine::Simulated => node::EngineKind::Simulated,
    };
    let mut config = node::Config::new(&options.data_dir, endpoint, &options.region, &options.account, engine);
    config.joins_by = administrator(&options.data_dir).map(node::Joins::Key);
    config.containerd = options.containerd.clone();
    announce_containerd(options)?;
    config.runtime = options.runtime.clone();
    config.image_cleanup = options.image_cleanup;
    config.cpu = options.cpu.unwrap_or(config.cpu);
    config.memory_mib = options.memory.unwrap_or(config.memory_mib);
    config.self_exe = std::env::current_exe().context("finding this program's own file")?;
    Ok(config)
}

/// The key of somebody who may make join tokens: the root's, if it is here, else that of the environment, as every AWS client
/// reads it.
fn administrator(data_dir: &Path) -> Option<node::AccessKey> {
    if let Some(RootKey { access_key_id: id, secret_access_key: secret }) = RootKey::read(data_dir) {
        return Some(node::AccessKey { id, secret, token: None });
    }
    let id = variable("AWS_ACCESS_KEY_ID")?;
    Some(node::AccessKey { id, secret: variable("AWS_SECRET_ACCESS_KEY")?, token: variable("AWS_SESSION_TOKEN") })
}

/// Where an instance is asked and in which region, and the key to do it with: of an administrator, who must be known here.
pub fn caller(instance: &Instance) -> Result<(String, String, node::AccessKey)> {
    let endpoint = instance.endpoint()?.to_string();
    let settings = instance.resolve(&Behaviour::default())?;
    let region = env::region(&settings.data_dir).unwrap_or(settings.region);
    let key = administrator(&settings.data_dir)
        .context("there is no root key here; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")?;
    Ok((endpoint, region, key))
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The token in a file, else in the environment. A machine that has joined needs none any more.
fn join_token_of(options: &Resolved, file: Option<&Path>) -> Result<Option<String>> {
    let Some(path) = file else { return Ok(variable("LONGSHORE_JOIN_TOKEN")) };
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound && node::has_joined(&options.data_dir) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Bytes of a token's file that are read.
const LONGEST_TOKEN: u64 = 1024;

/// Becomes true on SIGINT or SIGTERM.
fn stop_signal() -> Result<(watch::Sender<bool>, watch::Receiver<bool>)> {
    let (send, receive) = watch::channel(false);
    let told = send.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping; tasks go on until `longshore down`");
        told.send_replace(true);
    });
    Ok((send, receive))
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
