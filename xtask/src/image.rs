//! Writes the images of the guide and of the tests as OCI archives under `build/images`.
//!
//! * `my-web-app`: the example web server, built static by the compiler alone, and nothing else.
//! * `busybox`: the machine's static busybox with a link for each applet.
//!
//! The same input gives the same digest: no times, no users, names in order.

mod archive;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use archive::{Config, Layer};

use crate::root;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\n";

/// Writes the image called `name`.
pub fn run(name: &str) -> Result<()> {
    let (file, layer, config) = match name {
        "web" => web()?,
        "busybox" => busybox()?,
        other => bail!("there is no image {other:?}; there are web and busybox"),
    };
    let directory = root().join("build/images");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{file}.tar"));
    let digest = archive::write(&path, layer, &config)?;
    println!("{} {digest}", path.display());
    Ok(())
}

fn web() -> Result<(&'static str, Layer, Config)> {
    let program = build_web()?;
    let mut layer = base();
    layer.file("hello-web", 0o755, std::fs::read(&program)?);
    let config = Config { cmd: vec!["/hello-web"], env: vec![PATH], exposed: vec!["80/tcp"] };
    Ok(("my-web-app", layer, config))
}

/// Builds the example web server as one static file, without Cargo, whose lock a caller may hold.
fn build_web() -> Result<PathBuf> {
    let output = root().join("build/hello-web");
    std::fs::create_dir_all(root().join("build"))?;
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .current_dir(root())
        .args(["--edition", "2024", "--crate-name", "hello_web", "--crate-type", "bin"])
        .args([
            "-C",
            "opt-level=z",
            "-C",
            "panic=abort",
            "-C",
            "lto=fat",
            "-C",
            "codegen-units=1",
            "-C",
            "strip=symbols",
        ])
        .args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static"])
        .arg("examples/web/src/main.rs")
        .arg("-o")
        .arg(&output)
        .status()
        .context("running rustc")?;
    ensure!(status.success(), "rustc could not build the example web server");
    Ok(output)
}

fn busybox() -> Result<(&'static str, Layer, Config)> {
    let program = Path::new("/bin/busybox");
    let bytes = std::fs::read(program).context("reading /bin/busybox; install busybox-static")?;
    ensure!(!has_interpreter(&bytes), "/bin/busybox is not static; install busybox-static");
    let listed = Command::new(program).arg("--list").output().context("listing the applets of busybox")?;
    let applets = String::from_utf8(listed.stdout)?;
    let mut layer = base();
    layer.directory("bin", 0o755);
    layer.file("bin/busybox", 0o755, bytes);
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        layer.link(&format!("bin/{applet}"), "busybox");
    }
    let config = Config { cmd: vec!["sh"], env: vec![PATH], exposed: vec![] };
    Ok(("busybox", layer, config))
}

/// What every image has: users, and places to write to.
fn base() -> Layer {
    let mut layer = Layer::default();
    for (name, mode) in [("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var", 0o755), ("var/tmp", 0o1777)] {
        layer.directory(name, mode);
    }
    layer.file("etc/passwd", 0o644, PASSWD.into());
    layer.file("etc/group", 0o644, GROUP.into());
    layer
}

/// Whether an ELF file of 64 bits asks for a dynamic loader: it then has a program header of type `PT_INTERP`, 3.
fn has_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at + size).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (first, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|header| number(first + header * size, 4) == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_input_has_the_same_digest_and_the_web_server_is_static() {
        let digest = || {
            let (_, layer, config) = web().unwrap();
            let file = std::env::temp_dir().join(format!("longshore-image-{}.tar", std::process::id()));
            let digest = archive::write(&file, layer, &config).unwrap();
            std::fs::remove_file(file).unwrap();
            digest
        };
        assert_eq!(digest(), digest());
        let program = std::fs::read(root().join("build/hello-web")).unwrap();
        assert!(!has_interpreter(&program));
        assert!(program.len() < 2 * 1024 * 1024, "{} bytes", program.len());
    }

    #[test]
    fn a_dynamic_program_is_told_from_a_static_one() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(has_interpreter(&own));
        assert!(!has_interpreter(b"no elf"));
    }
}
