//! Tasks with real containers: images, a network interface and a supervisor process each.
//!
//! ```text
//!   prepare:  every image ensured │ ENI attached │ secrets read, log streams made     (at the same time)
//!   start:    directory, order.json, task.json ──► metadata endpoint ──► `supervise DIR` ──► its first word
//!   ended:    ENI released ──► report taken ──► `release` ──► directory gone
//! ```
//!
//! The directory with `order.json` is there before the order is acknowledged. After a restart every directory is looked at:
//!
//! ```text
//!   lock held  ──► a supervisor lives or is on its way: wait for it, take it over with its namespace
//!   lock free ─┬─► no state.json: nothing was ever started: start it
//!              └─► else what is left is ended and reported
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};
use longshore_edge::Dialer;
use longshore_link::acs;
use longshore_link::credentials::TASK_APPLICATION;
use longshore_link::phase::Phase;
use longshore_supervisor::SOCKET_FILE;
use longshore_supervisor::protocol::Command as SupervisorCommand;
use longshore_supervisor::spec::{LogEndpoint, Network as SpecNetwork, RuntimeKind, RuntimeSpec, Secrets, TaskSpec};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::Found;
use super::contained::Contained;
use super::end::end_task;
use super::eni::eni;
use super::home::{self, Home, Order};
use super::link::{Link, START_WITHIN};
use super::runner::{Pulled, Runner, timed};
use crate::clock;
use crate::config::{Config, Instance};
use crate::containerd::{Containerd, Options};
use crate::error::Error;
use crate::executor::Executor;
use crate::image::{Auth, Ecr, Error as ImageError, Hold, Image, Images};
use crate::metadata::{Listening, Metadata, Served};
use crate::network::dns::Names;
use crate::network::{EniSpec, Network, NetworkConfig, TaskNet};
use crate::secret::ecr::{Login, Logins};
use crate::secret::registry::sign_in;
use crate::secret::{self, Given};
use crate::translate::{self, Failure, Surroundings, log_streams, task_id, task_spec, with_log_options};
use crate::wallet::{self, Held};

/// Tasks of an agent before that are looked at at the same time. A supervisor that does not answer takes a while to be
/// given up, and holds up the node only if there are more of them.
const RESUMED_AT_ONCE: usize = 64;

/// What all tasks of the node share.
pub(crate) struct Parts {
    pub(super) home: Home,
    pub(super) network: Network,
    pub(super) metadata: Metadata,
    images: Images,
    logins: Logins,
    surroundings: Surroundings,
    endpoint: SocketAddr,
    self_exe: PathBuf,
}

/// Runs tasks in real containers.
pub(crate) struct Real {
    parts: Arc<Parts>,
    containerd: Arc<Containerd>,
    _listening: Listening,
}

/// A task whose images and network are there.
pub(crate) struct Prepared {
    images: BTreeMap<String, Image>,
    /// Keep the images until the supervisor runs on them.
    _holds: Vec<Hold>,
    net: TaskNet,
    given: Given,
    pulled: Pulled,
}

impl Real {
    /// Brings up what tasks need, all at the same time, and finds those that are here.
    ///
    /// # Errors
    /// When containerd, the network or an OCI runtime cannot be had.
    pub(crate) async fn open(
        config: &Config,
        endpoint: SocketAddr,
        metadata: Metadata,
    ) -> Result<(Self, Vec<Found<Self>>), Error> {
        let instance = Instance::of(&config.data_dir)?;
        let options = Options::new(&instance.data_dir, config.containerd.clone());
        let state = instance.data_dir.join("agent");
        let network = NetworkConfig::new(&instance.id, config.vpc_cidr, config.subnets.clone(), state);
        let (containerd, network, runtime) = tokio::try_join!(
            async { Containerd::open(&options).await.map_err(Error::from) },
            async { Network::start(network).await.map_err(Error::from) },
            runtime(config.runtime.clone()),
        )?;
        tracing::info!(runtime = %runtime.path.display(), containerd = %containerd.socket().display(), "the node is ready");
        let (listener, api) = (network.metadata_listener().await?, network.api_listener().await?);
        let parts = Arc::new(Parts {
            home: Home::open(&instance)?,
            network,
            metadata,
            images: Images::new(containerd.channel())
                .with_credentials(instance.data_dir.join("registries.json"))
                .with_ecr(Ecr::new(&config.endpoint, &config.region)),
            logins: Logins::default(),
            surroundings: surroundings(config, &instance, runtime),
            endpoint,
            self_exe: config.self_exe.clone(),
        });
        let found = parts.find().await?;
        parts.network.settle().await?;
        let listening = parts.metadata.listen(listener, api, endpoint);
        Ok((Self { parts, containerd: Arc::new(containerd), _listening: listening }, found))
    }

    pub(crate) fn public_pool(&self) -> String {
        self.parts.network.public_pool().to_string()
    }

    /// Sockets by which load balancers reach tasks, and the names that tasks reach them by.
    pub(crate) fn balancing(&self) -> Result<(Dialer, Names), Error> {
        Ok((self.parts.network.dialer()?, self.parts.network.balancers()))
    }

    pub(crate) fn images(&self) -> Images {
        self.parts.images.clone()
    }

    pub(crate) fn containerd(&self) -> Arc<Containerd> {
        Arc::clone(&self.containerd)
    }
}

fn surroundings(config: &Config, instance: &Instance, runtime: RuntimeSpec) -> Surroundings {
    Surroundings {
        region: config.region.clone(),
        instance: instance.id.clone(),
        resolver: config.resolver(),
        runtime,
        log_endpoint: None,
        credentials_id: None,
        protected: vec![instance.data_dir.clone()],
    }
}

/// The runtime that was asked for, else the first that works.
async fn runtime(asked: Option<PathBuf>) -> Result<RuntimeSpec, Error> {
    let Some(path) = asked else {
        let chosen = tokio::task::spawn_blocking(longshore_supervisor::runtime::choose).await.ok().flatten();
        return chosen.ok_or_else(|| Error::Runtime("install crun or runc; `longshore doctor` says more".to_owned()));
    };
    let kind = match path.file_name().and_then(|name| name.to_str()) {
        Some("crun") => RuntimeKind::Crun,
        Some("runc") => RuntimeKind::Runc,
        Some("runsc") => RuntimeKind::Runsc,
        _ => return Err(Error::Runtime(format!("{} is none of crun, runc and runsc", path.display()))),
    };
    match path.is_file() {
        true => Ok(RuntimeSpec { kind, path }),
        false => Err(Error::Runtime(format!("{} is not a file", path.display()))),
    }
}

impl Runner for Real {
    type Prepared = Prepared;
    type Running = Contained;

    const REPEATABLE: bool = false;

    fn record(&self, task: &acs::Task) -> std::io::Result<()> {
        let order = Order { task: task.clone(), pulled: Pulled::default(), credentials_id: None };
        self.parts.home.enter(task_id(&task.arn), &order).map(drop)
    }

    async fn prepare(&self, task: Arc<acs::Task>) -> Result<(Prepared, Pulled), Failure> {
        translate::check_task(&task)?;
        let started_at = Some(clock::now());
        let executor = self.parts.executor(&task)?;
        let (ensured, net, given) = tokio::try_join!(
            timed(Phase::Snapshot, self.parts.ensure_all(&executor, &task)),
            timed(Phase::Network, self.parts.attach(&task)),
            self.parts.act_as(&executor, &task)
        )?;
        let (images, _holds): (BTreeMap<_, _>, Vec<_>) = ensured;
        let digests = images.iter().map(|(name, image)| (name.clone(), image.digest.to_string())).collect();
        let pulled = Pulled { started_at, stopped_at: Some(clock::now()), digests };
        Ok((Prepared { images, _holds, net, given, pulled: pulled.clone() }, pulled))
    }

    async fn start(&self, task: Arc<acs::Task>, prepared: Prepared) -> Result<Contained, Failure> {
        timed(Phase::Supervisor, self.parts.start(task, prepared)).await
    }

    async fn abandon(&self, task: &acs::Task) {
        if let Err(error) = end_task(&self.parts.home.task(task_id(&task.arn))).await {
            tracing::warn!(task = task.arn, error, "what a failed start left could not be removed");
        }
        if let Ok(eni) = eni(task) {
            self.parts.release(&eni.id).await;
        }
    }
}

impl Parts {
    pub(super) fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// The execution role of a task that has use for one.
    fn executor(&self, task: &acs::Task) -> Result<Executor, Failure> {
        let reads = |one: &acs::Container| {
            !one.secrets.is_empty() || one.registry_authentication.is_some() || self.images.is_of_ecr(&one.image)
        };
        if !task.containers.iter().any(reads) && log_streams(task, &self.surroundings.region).is_empty() {
            return Ok(Executor::nobody());
        }
        let executor = Executor::of(self.metadata.wallet(), task);
        executor.map_err(|error| Failure::resource(format!("no id for credentials: {error}")))
    }

    /// What the node does as the task's execution role.
    async fn act_as(&self, executor: &Executor, task: &acs::Task) -> Result<Given, Failure> {
        let given = secret::read(self.metadata.plane(), executor, task).await?;
        self.check_logs(executor, &*with_log_options(task, &given.log_options)?).await?;
        Ok(given)
    }

    async fn ensure_all(
        &self,
        executor: &Executor,
        task: &acs::Task,
    ) -> Result<(BTreeMap<String, Image>, Vec<Hold>), Failure> {
        let auths = sign_in(self.metadata.plane(), executor, task).await?;
        let each = try_join_all(task.containers.iter().map(async |container| {
            let ensured = match auths.get(&container.name) {
                None if self.images.is_of_ecr(&container.image) => {
                    self.ensure_of_ecr(executor, task, container).await?
                }
                auth => self.ensure(container, auth.unwrap_or(&Auth::Anonymous)).await,
            };
            let held = ensured.map_err(|error| Failure::pull(&container.name, error.stopped_reason()))?;
            Ok::<_, Failure>((container.name.clone(), held))
        }));
        let each = each.await?;
        Ok(each.into_iter().map(|(name, (image, hold))| ((name, image), hold)).unzip())
    }

    async fn ensure(&self, container: &acs::Container, auth: &Auth) -> Result<(Image, Hold), ImageError> {
        self.images.ensure_held(&container.image, auth, |_| {}).await
    }

    /// As the task's execution role. A login that was got for an earlier task and is refused now is got anew.
    async fn ensure_of_ecr(
        &self,
        executor: &Executor,
        task: &acs::Task,
        container: &acs::Container,
    ) -> Result<Result<(Image, Hold), ImageError>, Failure> {
        let role = task.execution_role_arn.as_deref().unwrap_or_default();
        let sign_in = async |refused: Option<&Login>| {
            let login = self.logins.login(self.metadata.plane(), executor, role, refused).await;
            login.map_err(|why| {
                let reason = format!("CannotPullContainerError: unable to retrieve ecr registry auth: {why}");
                Failure::pull(&container.name, reason)
            })
        };
        let login = sign_in(None).await?;
        match self.ensure(container, &login.auth).await {
            Err(error) if login.is_kept && error.is_denied() => {
                Ok(self.ensure(container, &sign_in(Some(&login)).await?.auth).await)
            }
            ensured => Ok(ensured),
        }
    }

    /// Goes on to its end when nobody waits for it any more, and then gives back what it got: half an attachment could
    /// not be told from a whole one.
    async fn attach(self: &Arc<Self>, task: &Arc<acs::Task>) -> Result<TaskNet, Failure> {
        let (give, take) = oneshot::channel();
        let (parts, task) = (Arc::clone(self), Arc::clone(task));
        tokio::spawn(async move {
            let attached = parts.attach_now(&task).await;
            if let Err(Ok(unwanted)) = give.send(attached) {
                parts.release(&unwanted.eni.id).await;
            }
        });
        take.await.unwrap_or_else(|_| Err(Failure::resource("the network interface was not attached")))
    }

    async fn attach_now(&self, task: &acs::Task) -> Result<TaskNet, Failure> {
        let attached = self.network.attach(eni(task)?).await;
        attached.map_err(|error| Failure::resource(format!("failed to attach the network interface: {error}")))
    }

    pub(super) async fn release(&self, eni: &str) {
        if let Err(error) = self.network.release(eni).await {
            tracing::warn!(eni, %error, "a network interface could not be released");
        }
    }

    async fn start(self: &Arc<Self>, task: Arc<acs::Task>, prepared: Prepared) -> Result<Contained, Failure> {
        let credentials = self.credentials(&task)?;
        let credentials_id = credentials.as_ref().map(|held| held.id().to_owned());
        let (mut spec, secrets) = self.spec(&task, &prepared, credentials_id.clone())?;
        let secrets = secret::keep(&secrets).map_err(|error| Failure::resource(format!("no memory: {error}")))?;
        spec.secrets = Some(path_of(&secrets));
        let served = self.metadata.expect(prepared.net.eni.private_ip, credentials);
        let (task_order, pulled) = (acs::Task::clone(&task), prepared.pulled.clone());
        let order = Order { task: task_order, pulled, credentials_id };
        let directory = self.write(&order, &spec).map_err(Failure::resource)?;
        let mut child = self
            .spawn(&directory)
            .map_err(|error| Failure::resource(format!("the supervisor does not start: {error}")))?;
        let alive = || matches!(child.try_wait(), Ok(None));
        let link = match Link::open(&directory.join(SOCKET_FILE), START_WITHIN, alive).await {
            Ok(link) => link,
            Err(error) => return Err(fallen(&mut child, &directory, &error.to_string()).await),
        };
        served.answer(&task, &link, &prepared.pulled);
        Ok(Contained::new(Arc::clone(self), task, prepared.pulled, link, Some(child), Some(served)))
    }

    /// What the supervisor is told by a file, and what by memory alone. It opens the namespace and the memory by this
    /// process's descriptors, which stay open until its first word.
    fn spec(
        &self,
        task: &acs::Task,
        prepared: &Prepared,
        credentials_id: Option<String>,
    ) -> Result<(TaskSpec, Secrets), Failure> {
        let LogEndpoint { address, headers } = self.log_endpoint(task);
        let log_endpoint = Some(LogEndpoint { address, headers: BTreeMap::new() });
        let around = Surroundings { log_endpoint, credentials_id, ..self.surroundings.clone() };
        let Given { environments, log_options } = &prepared.given;
        let mut spec = task_spec(&*with_log_options(task, log_options)?, &prepared.images, &around)?;
        spec.network = SpecNetwork::Path { path: path_of(&prepared.net.netns) };
        let secret = spec.containers.iter_mut().filter(|container| log_options.contains_key(&container.name));
        let logs = secret.map(|container| (container.name.clone(), std::mem::take(&mut container.log))).collect();
        let environments = environments.clone();
        Ok((spec, Secrets { environments, logs, log_headers: headers }))
    }

    /// A place for the credentials of a task that has a role.
    fn credentials(&self, task: &acs::Task) -> Result<Option<Held>, Failure> {
        if task.task_role_arn.is_none() {
            return Ok(None);
        }
        let id = wallet::fresh_id().map_err(|error| Failure::resource(format!("no id for credentials: {error}")))?;
        Ok(Some(self.metadata.wallet().open(&task.arn, TASK_APPLICATION, &id)))
    }

    /// A task's logs are sent by the node's leave for that task.
    fn log_endpoint(&self, task: &acs::Task) -> LogEndpoint {
        let key = self.metadata.plane().key_of(translate::account(&task.arn));
        let headers = crate::sign::standing(&key, &self.surroundings.region, &task.arn);
        LogEndpoint { address: self.endpoint.to_string(), headers }
    }

    fn write(&self, order: &Order, spec: &TaskSpec) -> std::io::Result<PathBuf> {
        let directory = self.home.enter(task_id(&order.task.arn), order)?;
        std::fs::write(directory.join(longshore_supervisor::SPEC_FILE), serde_json::to_vec(spec)?)?;
        Ok(directory)
    }

    fn spawn(&self, directory: &Path) -> std::io::Result<Child> {
        let log = File::create(directory.join("supervisor.log"))?;
        let lock = longshore_supervisor::reserve(directory).map_err(std::io::Error::other)?;
        Command::new(&self.self_exe)
            .arg("supervise")
            .arg(directory)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(lock)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
    }

    /// The tasks of an agent before: alive, dead, or never started.
    async fn find(self: &Arc<Self>) -> Result<Vec<Found<Real>>, Error> {
        let mut orders = Vec::new();
        for directory in self.home.tasks()? {
            match home::order(&directory) {
                Ok(order) => orders.push((directory, order)),
                Err(error) => {
                    tracing::warn!(directory = %directory.display(), %error, "what is here is no task and is removed");
                    let removed = tokio::task::spawn_blocking(move || home::remove(&directory)).await;
                    if let Ok(Err(error)) = removed {
                        tracing::warn!(%error, "it could not be removed");
                    }
                }
            }
        }
        let resuming = orders.into_iter().map(|(directory, order)| self.resume(directory, order));
        Ok(stream::iter(resuming).buffer_unordered(RESUMED_AT_ONCE).collect().await)
    }

    async fn resume(self: &Arc<Self>, directory: PathBuf, order: Order) -> Found<Real> {
        let task = Arc::new(order.task);
        let running = match Link::find(&directory).await {
            Some(link) => {
                tracing::info!(task = task.arn, "found a task that runs");
                let credentials =
                    order.credentials_id.map(|id| self.metadata.wallet().open(&task.arn, TASK_APPLICATION, &id));
                let served = self.rejoin(&task, &link, &order.pulled, credentials).await;
                Contained::new(Arc::clone(self), Arc::clone(&task), order.pulled.clone(), link, None, served)
            }
            None if !home::was_begun(&directory) => {
                tracing::info!(task = task.arn, "found a task that was never started");
                return Found::Waiting(Arc::unwrap_or_clone(task));
            }
            None => Contained::dead(Arc::clone(self), Arc::clone(&task), order.pulled.clone()).await,
        };
        Found::Begun { task: acs::Task::clone(&task), pulled: order.pulled, running }
    }

    /// Takes over the network of a task. What fails here costs the task what the agent gives it, not its life.
    async fn rejoin(
        &self,
        task: &Arc<acs::Task>,
        link: &Link,
        pulled: &Pulled,
        credentials: Option<Held>,
    ) -> Option<Served> {
        let moved = SupervisorCommand::LogEndpoint { endpoint: self.log_endpoint(task) };
        if let Err(error) = link.ask(moved).await {
            tracing::warn!(task = task.arn, %error, "a supervisor could not be told where its logs go");
        }
        let status = link.status();
        let taken = async {
            let netns = namespace_of(status.supervisor_pid).map_err(|error| error.to_string())?;
            let eni: EniSpec = eni(task).map_err(|failure| failure.reason)?;
            let net = self.network.adopt(netns, eni).await.map_err(|error| error.to_string())?;
            Ok::<_, String>(self.metadata.expect(net.eni.private_ip, credentials))
        };
        match taken.await {
            Ok(served) => {
                served.answer(task, link, pulled);
                Some(served)
            }
            Err(error) => {
                tracing::error!(task = task.arn, error, "the network of a running task could not be taken over");
                None
            }
        }
    }
}

/// A descriptor of this process, as others of the machine find it.
fn path_of(descriptor: &impl AsFd) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_fd().as_raw_fd()).into()
}

/// The network namespace that a supervisor holds open.
fn namespace_of(pid: u32) -> std::io::Result<OwnedFd> {
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        let target = std::fs::read_link(&path).unwrap_or_default();
        if target.to_string_lossy().starts_with("net:[") {
            return Ok(File::open(&path)?.into());
        }
    }
    Err(std::io::Error::other("the supervisor holds no network namespace"))
}

/// Why a supervisor ended before its first word: what it wrote last.
async fn fallen(child: &mut Child, directory: &Path, error: &str) -> Failure {
    let _ = child.start_kill();
    let _ = child.wait().await;
    let log = std::fs::read_to_string(directory.join("supervisor.log")).unwrap_or_default();
    let words = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(error);
    Failure::resource(words)
}
