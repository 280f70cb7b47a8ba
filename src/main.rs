//! `longshore`: parses the command line and hands over.

mod command;
mod options;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use options::{Behaviour, Instance};

/// An open, self-hosted Amazon ECS and AWS Fargate.
#[derive(Parser)]
#[command(name = "longshore", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    instance: Instance,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run control plane and node on this machine
    Up(Behaviour),
    /// Run the control plane alone
    Server(Behaviour),
    /// Run a node alone; it joins the control plane at --listen
    Agent(Behaviour),
    /// Show the containers that run on this machine
    Ps,
    /// Stop what runs on this machine for a data directory: tasks, containerd, networks
    Down,
    /// Print the environment that the AWS CLI and SDKs need, as shell exports
    Env,
    /// Images on this machine
    #[command(subcommand)]
    Image(Image),
    /// Check this machine and say what to do
    Doctor(Doctor),
    /// Run one task (started by the node)
    #[command(hide = true)]
    Supervise { dir: std::path::PathBuf },
}

#[derive(Subcommand)]
enum Image {
    /// Load an OCI or Docker archive
    Import {
        file: std::path::PathBuf,
        /// Name for the image, as a task definition will call it
        #[arg(long)]
        tag: Option<String>,
    },
    /// Show the images there are
    #[command(alias = "ls")]
    List,
    /// Remove an image
    #[command(alias = "rm")]
    Remove { name: String },
}

#[derive(Args)]
struct Doctor {
    /// Mend what can be mended without asking
    #[arg(long)]
    fix: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A supervisor is one of many: it starts no runtime and no logger.
    if let Command::Supervise { dir } = &cli.command {
        return ExitCode::from(u8::try_from(longshore_supervisor::main(dir)).unwrap_or(1));
    }
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("longshore: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line. A cause that the words before it end with is not told again.
fn told(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !line.ends_with(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let instance = &cli.instance;
    match &cli.command {
        Command::Up(flags) => command::run::up(&instance.resolve(flags)?)?,
        Command::Server(flags) => command::run::server(&instance.resolve(flags)?)?,
        Command::Agent(flags) => command::run::agent(&instance.resolve(flags)?)?,
        Command::Down => command::run::down(instance)?,
        Command::Ps => command::ps::list(instance)?,
        Command::Env => command::env::print(instance)?,
        Command::Image(Image::Import { file, tag }) => command::image::import(instance, file, tag.as_deref())?,
        Command::Image(Image::List) => command::image::list(instance)?,
        Command::Image(Image::Remove { name }) => command::image::remove(instance, name)?,
        Command::Doctor(Doctor { fix }) => return command::doctor::examine(instance, *fix),
        Command::Supervise { .. } => unreachable!("handled before the runtime starts"),
    }
    Ok(ExitCode::SUCCESS)
}
