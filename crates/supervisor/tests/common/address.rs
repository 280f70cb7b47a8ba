//! Addresses of this machine, for tests that must know one before anybody listens there. The unit tests of the log pump
//! include this file too.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Nothing takes as long; but a busy machine may take long.
const PATIENCE: Duration = Duration::from_secs(120);

/// An address where nobody listens. Its port is none that the kernel gives to whoever asks for any: it stays free while a
/// server is away, and nobody who looks for that server meets himself.
pub fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let address = || {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("127.0.0.1:{}", 20_000 + (std::process::id() * 31 + u32::from(number)) % 10_000)
    };
    std::iter::repeat_with(address).find(|address| TcpStream::connect(address).is_err()).unwrap()
}

/// Listens there as soon as it can: a child that another test forks keeps what listened there before open until it executes
/// its program.
pub fn listen(address: &str) -> TcpListener {
    let since = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(since.elapsed() < PATIENCE, "{address}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
