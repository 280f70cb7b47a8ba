//! Clients: Debian's wrk, h2load and iperf3 on the processor that the proxies do not have, and what they say.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::PERIOD;

/// Connections of the clients, and streams of each of HTTP/2.
const CONNECTIONS: &str = "64";
const STREAMS: &str = "8";

/// What a run of a client found.
pub struct Outcome {
    /// Requests, or megabytes.
    pub count: f64,
    /// A second.
    pub rate: f64,
    pub p99_ms: Option<f64>,
}

/// `taskset` for a program beside the proxies.
pub fn aside(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "1", program]);
    command
}

fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        bail!("{command:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(said)
}

/// HTTP/1.1, in the clear or by TLS, one request after the other on each connection.
pub fn wrk(url: &str) -> Result<Outcome> {
    let period = format!("{}s", PERIOD.as_secs());
    let said = output(aside("wrk").args(["--threads", "1", "--connections", CONNECTIONS, "--latency"]).args([
        "--duration",
        &period,
        url,
    ]))?;
    read_wrk(&said).with_context(|| format!("wrk said: {said}"))
}

fn read_wrk(said: &str) -> Option<Outcome> {
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return None;
    }
    let word = |line: &str, place: usize| line.split_whitespace().nth(place).map(str::to_owned);
    let line = |part: &str| said.lines().find(|line| line.contains(part));
    let count = word(line(" requests in ")?, 0)?.parse().ok()?;
    let rate = word(line("Requests/sec:")?, 1)?.parse().ok()?;
    let p99_ms = Some(millis(&word(line(" 99%")?, 1)?)?);
    Some(Outcome { count, rate, p99_ms })
}

/// `812.00us`, `1.25ms`, `1.02s`
fn millis(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

/// HTTP/2 by TLS.
pub fn h2load(url: &str) -> Result<Outcome> {
    let period = PERIOD.as_secs().to_string();
    let mut command = aside("h2load");
    command.args(["--clients", CONNECTIONS, "--max-concurrent-streams", STREAMS, "--duration", &period, url]);
    let said = output(&mut command)?;
    read_h2load(&said).with_context(|| format!("h2load said: {said}"))
}

fn read_h2load(said: &str) -> Option<Outcome> {
    let finished = said.lines().find_map(|line| line.strip_prefix("finished in "))?;
    let rate = finished.split(", ").find_map(|part| part.strip_suffix(" req/s"))?.parse().ok()?;
    let status = said.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    let mut codes = status.split(", ").filter_map(|part| part.split(' ').next()?.parse::<f64>().ok());
    let count = codes.next().filter(|count| *count > 0.0)?;
    if codes.any(|other| other > 0.0) {
        return None;
    }
    Some(Outcome { count, rate, p99_ms: None })
}

/// Bytes of four connections from the client to the target; megabytes.
pub fn iperf3(address: &str) -> Result<Outcome> {
    let (host, port) = address.rsplit_once(':').context("an address")?;
    let period = PERIOD.as_secs().to_string();
    let mut command = aside("iperf3");
    command.args(["--client", host, "--port", port, "--time", &period, "--parallel", "4", "--json"]);
    let said = output(&mut command)?;
    let found: serde_json::Value = serde_json::from_str(&said)?;
    let sum = &found["end"]["sum_received"];
    let number = |name: &str| sum[name].as_f64().with_context(|| format!("iperf3 said: {said}"));
    Ok(Outcome { count: number("bytes")? / 1e6, rate: number("bits_per_second")? / 8e6, p99_ms: None })
}

/// Connections that have had an answer each and are left open.
pub fn idle(address: &str, count: usize) -> Result<Vec<TcpStream>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let open = || -> Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut answer = [0; 1024];
        if stream.read(&mut answer)? == 0 {
            bail!("{address} closed a connection");
        }
        Ok(stream)
    };
    (0..count).map(|_| open()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clients_say_is_read() {
        let said = "  Latency Distribution\n     50%    1.10ms\n     99%  812.00us\n  1000 requests in 3.00s, 1.00MB read\n\
                    Requests/sec:    333.50\nTransfer/sec:      1.00MB\n";
        let found = read_wrk(said).expect("figures");
        assert_eq!((found.count, found.rate, found.p99_ms), (1000.0, 333.5, Some(0.812)));
        assert!(read_wrk(&format!("{said}  Non-2xx or 3xx responses: 3\n")).is_none());
        let said = "finished in 3.00s, 40000.50 req/s, 5.00MB/s\nrequests: 120001 total\n\
                    status codes: 120000 2xx, 0 3xx, 0 4xx, 0 5xx\n";
        let found = read_h2load(said).expect("figures");
        assert_eq!((found.count, found.rate), (120_000.0, 40_000.5));
        assert!(read_h2load(&said.replace("0 5xx", "7 5xx")).is_none());
        assert_eq!(millis("1.02s"), Some(1020.0));
    }
}
