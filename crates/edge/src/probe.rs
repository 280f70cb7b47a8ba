//! Checks of targets: one task a target, a new connection a check.

use std::future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use longshore_link::edge::{GroupProtocol, HealthCheck};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::health::Outcome;
use crate::member::Member;
use crate::report::Reports;

/// Checks a target until it is aborted: at once, then each interval, however long an answer takes.
pub async fn watch(member: Arc<Member>, check: HealthCheck, reports: Arc<Reports>) {
    reports.put(member.begin_checks());
    let mut ticks = interval(Duration::from_secs(u64::from(check.interval_seconds.max(1))));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let patience = Duration::from_secs(u64::from(check.timeout_seconds.max(1)));
        let outcome = timeout(patience, probe(&member, &check)).await.unwrap_or(Outcome::Timeout);
        if let Some(health) = member.learn(&outcome, &check) {
            reports.put(health);
        }
    }
}

async fn probe(member: &Member, check: &HealthCheck) -> Outcome {
    let probed = match check.protocol {
        GroupProtocol::Tcp => connect(member, check).await.map(|_| Outcome::Success),
        _ => ask(member, check).await,
    };
    probed.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::TimedOut => Outcome::Timeout,
        _ => Outcome::Failed,
    })
}

async fn connect(member: &Member, check: &HealthCheck) -> io::Result<TcpStream> {
    member.connect(check.port).await
}

/// `GET` as a load balancer asks: by the target's own address, and as `ELB-HealthChecker/2.0`.
async fn ask(member: &Member, check: &HealthCheck) -> io::Result<Outcome> {
    let stream = connect(member, check).await?;
    let host = HeaderValue::from_str(&stream.peer_addr()?.to_string()).map_err(io::Error::other)?;
    let (mut sender, served) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::get(check.path.as_str())
        .header(HOST, host)
        .header(CONNECTION, "close")
        .header(USER_AGENT, "ELB-HealthChecker/2.0")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    // The connection is driven as long as the answer is awaited, and dropped with it. Whatever ends it ends the other, too.
    let driven = async {
        let _ = served.await;
        future::pending::<()>().await
    };
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer.map_err(io::Error::other)?,
        () = driven => return Err(io::ErrorKind::UnexpectedEof.into()),
    };
    let code = answer.status().as_u16();
    Ok(if check.matcher.takes(code) { Outcome::Success } else { Outcome::Mismatch(code) })
}
