//! The example of the guide: a web server small enough to be a whole image.
//!
//! It answers every path with the id of its task and writes a line for each request to standard output; `/health`
//! answers `ok`. `hello-web --check URL` asks a server and exits with 0 if it answers with success, for health checks in
//! an image that holds nothing else. `PORT` sets the port (80). SIGTERM ends it with exit code 0.
//!
//! It has no dependencies, so that `cargo xtask image` builds it with the compiler alone.

mod http;
mod signal;
mod task;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long a client may take to send its request or to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve(),
        ["--check", url] => check(url),
        _ => Err("usage: hello-web [--check URL]".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("hello-web: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), String> {
    signal::end_on_sigterm();
    let port = std::env::var("PORT").unwrap_or_else(|_| "80".to_owned());
    let port: u16 = port.parse().map_err(|_| format!("PORT {port:?} is not a port"))?;
    let listener = TcpListener::bind(("0.0.0.0", port)).map_err(|error| format!("port {port}: {error}"))?;
    say(&format!("listening on port {port}"));
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || answer(stream));
    }
    Ok(())
}

fn answer(mut stream: TcpStream) {
    let patient = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    if patient.is_err() {
        return;
    }
    let (method, path) = match http::read_request(&mut stream) {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(_) => ("-".to_owned(), "-".to_owned()),
    };
    let (status, body) = respond(&method, &path);
    let shown = if method == "HEAD" { "" } else { &body };
    say(&format!("{method} {path} {status}"));
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        http::reason(status),
        body.len()
    );
    // A client that has gone away needs no answer.
    let _ = stream.write_all(format!("{head}{shown}").as_bytes());
}

fn respond(method: &str, path: &str) -> (u16, String) {
    match (method, path) {
        ("GET" | "HEAD", "/health") => (200, "ok\n".to_owned()),
        ("GET" | "HEAD", _) => (200, format!("Hello, World! from task {}\n", task::id())),
        ("-", _) => (400, "that is not a request\n".to_owned()),
        _ => (405, "only GET and HEAD are answered\n".to_owned()),
    }
}

fn check(url: &str) -> Result<(), String> {
    let (status, _) = http::get(url)?;
    if (200..400).contains(&status) { Ok(()) } else { Err(format!("{url} answered {status}")) }
}

/// Writes a line to standard output at once. A closed output is no reason to stop serving.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(format!("{line}\n").as_bytes()).and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_answer() {
        for (method, path, status) in
            [("GET", "/", 200), ("HEAD", "/x", 200), ("GET", "/health", 200), ("POST", "/", 405), ("-", "-", 400)]
        {
            assert_eq!(respond(method, path).0, status, "{method} {path}");
        }
    }

    #[test]
    fn a_request_over_the_network_is_answered_and_checked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
        let (status, body) = http::get(&url).unwrap();
        assert_eq!(status, 200);
        assert!(body.starts_with("Hello, World! from task "), "{body}");
        assert_eq!(check(&url), Ok(()));
        assert!(check("http://127.0.0.1:1/").is_err());
        assert!(check("ftp://x").is_err());
    }
}
