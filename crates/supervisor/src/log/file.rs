//! The `json-file` destination: one object a line, as Docker writes it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::json;

use super::lock;
use crate::error::{Error, Result};
use crate::time;

/// Beyond this the file becomes `log.json.1` and a new one begins.
const LARGEST_FILE: u64 = 10 << 20;

/// `DIR/log.json` and the one before it.
pub struct JsonFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    written: u64,
}

impl JsonFile {
    pub fn open(directory: &Path) -> Result<JsonFile> {
        let path = directory.join("log.json");
        let state = State::open(&path).map_err(Error::file("open", &path))?;
        Ok(JsonFile { path, state: Mutex::new(state) })
    }

    /// Writes one line. A disk that takes nothing loses it: a container must not stop for its local log.
    pub fn write(&self, stream: &str, line: &str) {
        let record =
            json!({"log": format!("{line}\n"), "stream": stream, "time": time::rfc3339(time::wall_nanoseconds())});
        let mut state = lock(&self.state);
        let text = format!("{record}\n");
        if state.file.write_all(text.as_bytes()).is_ok() {
            state.written += text.len() as u64;
        }
        if state.written >= LARGEST_FILE {
            self.rotate(&mut state);
        }
    }

    fn rotate(&self, state: &mut State) {
        let moved = std::fs::rename(&self.path, self.path.with_extension("json.1"));
        if let (Ok(()), Ok(fresh)) = (moved, State::open(&self.path)) {
            *state = fresh;
        }
    }
}

impl State {
    fn open(path: &Path) -> std::io::Result<State> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let written = file.metadata()?.len();
        Ok(State { file, written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_are_kept() {
        let directory = std::env::temp_dir().join(format!("longshore-jsonfile-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = JsonFile::open(&directory).unwrap();
        let line = "y".repeat(1 << 20);
        for _ in 0..25 {
            file.write("stdout", &line);
        }
        file.write("stderr", "last");
        let size = |name: &str| std::fs::metadata(directory.join(name)).unwrap().len();
        assert!(size("log.json") < LARGEST_FILE && size("log.json.1") < LARGEST_FILE + (2 << 20));
        let text = std::fs::read_to_string(directory.join("log.json")).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((&last["log"], &last["stream"]), (&json!("last\n"), &json!("stderr")));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
