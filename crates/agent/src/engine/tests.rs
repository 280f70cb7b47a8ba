//! The life of tasks that run nothing: each state is set by the test, and what the control plane is told is looked at.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use longshore_supervisor::protocol::{Health as Word, StopCause, StopCode, TaskPhase, TaskStatus};
use serde_json::Value;
use tokio::net::TcpListener;

use super::link::LinkError;
use super::runner::Running;
use super::*;
use crate::api::ControlPlane;
use crate::config::AccessKey;

/// Takes every report and keeps it.
#[derive(Clone, Default)]
struct Plane(Arc<Mutex<Vec<Value>>>);

impl Plane {
    async fn serve(self) -> ControlPlane {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let plane = self.clone();
                let service = service_fn(move |request| plane.clone().answer(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        ControlPlane::new(&endpoint, "us-east-1", "000000000000", AccessKey::default())
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.0.lock().push(serde_json::from_slice(&body).unwrap());
        Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
    }

    /// The states that were told of a task, in order.
    fn words(&self, arn: &str) -> Vec<String> {
        let told = self.0.lock();
        let own = told.iter().filter(|report| report["task"] == arn && report["containers"].is_array());
        own.map(|report| report["status"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until so many states were told, and gives the last report.
    async fn told(&self, arn: &str, count: usize) -> Value {
        until(|| self.words(arn).len() >= count).await;
        self.0.lock().iter().rfind(|report| report["task"] == arn).cloned().unwrap()
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(120), "this took too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the tests hold of all tasks.
struct Strings {
    prepared: watch::Sender<bool>,
    status: watch::Sender<TaskStatus>,
    vacated: watch::Sender<bool>,
    /// How often a stop fails before it is taken.
    deaf: AtomicU32,
    stops: AtomicU32,
    panics: AtomicBool,
    abandoned: AtomicBool,
}

/// Runs puppets.
struct Theatre(Arc<Strings>);

struct Puppet {
    strings: Arc<Strings>,
    seen: watch::Receiver<TaskStatus>,
}

impl Runner for Theatre {
    type Prepared = ();
    type Running = Puppet;

    const REPEATABLE: bool = true;

    fn record(&self, _: &acs::Task) -> std::io::Result<()> {
        Ok(())
    }

    async fn prepare(&self, _: Arc<acs::Task>) -> Result<((), Pulled), Failure> {
        self.0.prepared.subscribe().wait_for(|prepared| *prepared).await.unwrap();
        Ok(((), Pulled::default()))
    }

    async fn start(&self, _: Arc<acs::Task>, (): ()) -> Result<Puppet, Failure> {
        Ok(Puppet { seen: self.0.status.subscribe(), strings: Arc::clone(&self.0) })
    }

    async fn abandon(&self, _: &acs::Task) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}

impl Running for Puppet {
    fn status(&self) -> TaskStatus {
        assert!(!self.strings.panics.load(Ordering::Relaxed), "a fault of the agent");
        self.seen.borrow().clone()
    }

    async fn changed(&mut self) {
        self.seen.changed().await.unwrap();
    }

    async fn recover(&mut self) {}

    async fn stop(&mut self) -> Result<(), LinkError> {
        if self.strings.stops.fetch_add(1, Ordering::Relaxed) < self.strings.deaf.load(Ordering::Relaxed) {
            return Err(LinkError::Silent("no answer in time".to_owned()));
        }
        self.strings.status.send_modify(|status| status.phase = TaskPhase::Stopped);
        Ok(())
    }

    async fn vacate(&mut self) {
        self.strings.vacated.subscribe().wait_for(|vacated| *vacated).await.unwrap();
    }

    async fn release(self) {}
}

const ARN: &str = "arn:aws:ecs:us-east-1:000000000000:task/production/0123456789abcdef0123456789abcdef";

struct Stage {
    plane: Plane,
    engine: Arc<Engine<Theatre>>,
    strings: Arc<Strings>,
}

impl Stage {
    /// A node with one task, of which nothing is there yet.
    async fn set() -> Self {
        let plane = Plane::default();
        let status = TaskStatus {
            task_arn: ARN.to_owned(),
            supervisor_pid: 0,
            phase: TaskPhase::Activating,
            stop: None,
            health: Word::Unknown,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            containers: Vec::new(),
        };
        let strings = Arc::new(Strings {
            prepared: watch::channel(false).0,
            status: watch::channel(status).0,
            vacated: watch::channel(true).0,
            deaf: AtomicU32::new(0),
            stops: AtomicU32::new(0),
            panics: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
        });
        let courier = Courier::new(plane.clone().serve().await);
        let engine = Engine::new(Theatre(Arc::clone(&strings)), courier, "us-east-1");
        let stage = Self { plane, engine, strings };
        stage.order(1, "RUNNING");
        stage
    }

    fn order(&self, seq_num: i64, desired: &str) {
        let task = acs::Task { arn: ARN.to_owned(), desired_status: desired.to_owned(), ..acs::Task::default() };
        self.engine.apply(PayloadMessage { seq_num, tasks: vec![task], ..PayloadMessage::default() });
    }

    fn prepare(&self) {
        self.strings.prepared.send_replace(true);
    }

    fn change(&self, change: impl FnOnce(&mut TaskStatus)) {
        self.strings.status.send_modify(change);
    }

    fn run(&self) {
        self.prepare();
        self.change(|status| {
            status.phase = TaskPhase::Running;
            status.started_at = Some(1);
        });
    }

    async fn until_told_running(&self) {
        until(|| self.plane.words(ARN).last().is_some_and(|word| word == "RUNNING")).await;
    }

    async fn ended(&self) {
        until(|| self.engine.count() == 0).await;
    }
}

#[tokio::test]
async fn a_stage_that_lasts_is_told() {
    let stage = Stage::set().await;
    stage.plane.told(ARN, 1).await;
    stage.prepare();
    stage.plane.told(ARN, 2).await;
    stage.run();
    stage.plane.told(ARN, 3).await;
    stage.change(|status| status.phase = TaskPhase::Stopping);
    stage.plane.told(ARN, 4).await;
    stage.strings.vacated.send_replace(false);
    stage.change(|status| {
        status.execution_stopped_at = Some(2);
        status.phase = TaskPhase::Stopped;
        status.stop = Some(StopCause { code: StopCode::EssentialContainerExited, reason: "it ended".to_owned() });
    });
    stage.plane.told(ARN, 5).await;
    stage.strings.vacated.send_replace(true);
    assert_eq!(stage.plane.told(ARN, 6).await["reason"], "it ended");
    let words = ["ACTIVATING", "ACTIVATING", "RUNNING", "STOPPING", "DEPROVISIONING", "STOPPED"];
    assert_eq!(stage.plane.words(ARN), words);
    stage.ended().await;
}

#[tokio::test]
async fn a_stop_is_asked_for_until_it_is_taken() {
    let stage = Stage::set().await;
    stage.run();
    stage.until_told_running().await;
    stage.strings.deaf.store(2, Ordering::Relaxed);
    stage.order(2, "STOPPED");
    stage.ended().await;
    assert_eq!(stage.plane.words(ARN).last().unwrap(), "STOPPED");
    assert_eq!(stage.strings.stops.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_panic_ends_its_task_and_is_told() {
    let stage = Stage::set().await;
    stage.run();
    stage.until_told_running().await;
    stage.strings.panics.store(true, Ordering::Relaxed);
    stage.change(|_| {});
    stage.ended().await;
    assert!(stage.strings.abandoned.load(Ordering::Relaxed), "what runs of it is ended");
    let told = stage.plane.0.lock().last().cloned().unwrap();
    assert_eq!(told["status"], "STOPPED");
    assert_eq!(told["reason"], "Task stopped: the agent met an internal error");
}
