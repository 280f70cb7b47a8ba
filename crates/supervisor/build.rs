//! Compiles the container init (`init/init.rs`) to a static program that the library includes as bytes.

use std::path::PathBuf;
use std::process::Command;
use std::{env, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=init/init.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var(name).map_err(io::Error::other);
    let output = PathBuf::from(variable("OUT_DIR")?).join("init");
    let mut compiler = Command::new(variable("RUSTC")?);
    compiler.args(["--edition=2024", "--crate-name=init", "--crate-type=bin", "init/init.rs"]);
    compiler.args(["--target", &variable("TARGET")?]);
    compiler.args(["-Copt-level=2", "-Cpanic=abort", "-Crelocation-model=static", "-Cstrip=symbols"]);
    compiler.args(["-Cdebuginfo=0", "-Ccodegen-units=1", "-Coverflow-checks=off"]);
    let linker = ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,noexecstack"];
    compiler.args(linker.iter().map(|argument| format!("-Clink-arg={argument}")));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compiler.arg(format!("-Clinker={linker}"));
    }
    compiler.arg("-o").arg(&output);
    let status = compiler.status()?;
    if !status.success() {
        return Err(io::Error::other(format!("the container init does not compile: {status}")));
    }
    Ok(())
}
