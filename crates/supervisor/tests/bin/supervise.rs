//! The supervisor alone, as the tests start it: `longshore-supervise DIR`.

use std::path::PathBuf;

fn main() {
    let dir = std::env::args_os().nth(1).map(PathBuf::from).unwrap_or_default();
    std::process::exit(longshore_supervisor::main(&dir));
}
