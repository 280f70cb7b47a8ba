//! The project's own tools, each a subcommand in a module of its own.

use anyhow::{Result, bail};
use std::path::PathBuf;
use xtask::{bench, codegen, docs, image, models, sim};

const USAGE: &str = "usage: cargo xtask <command>

  codegen            write crates/api/src/generated from models/
  models DIR         refresh models/ from the botocore data directory DIR
  docs               write docs/operations.md
  image [NAME]       write build/images/my-web-app.tar (web, the default) or busybox.tar (busybox)
  bench [--even-if-busy] [--breakdown] [NAME…]
                     measure the figures of SPECIFICATION.md (launch, reset, api, memory, scale, million, edge), as root, on
                     the release binary; docs/performance.md says how
  sim [--seeds N]    run the simulation: the whole system from one seed, with faults (--seed S --trace shows one)";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    match (command.as_str(), rest.as_slice()) {
        ("codegen", []) => codegen::run(),
        ("models", [directory]) => models::run(&PathBuf::from(directory)),
        ("docs", []) => docs::run(),
        ("image", []) => image::run("web"),
        ("sim", arguments) => sim::run(arguments),
        ("bench", names) => bench::run(names),
        ("image", [name]) => image::run(name),
        _ => bail!("{USAGE}"),
    }
}
