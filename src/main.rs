//! `longshore`: parses the command line and hands over.

mod command;
mod options;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    Agent(Joining),
    /// Tokens by which machines join
    JoinToken(JoinTokens),
    /// Show the containers that run on this machine
    Ps,
    /// Stop what runs on this machine for a data directory: tasks, containerd, networks
    Down,
    /// Print the environment that the AWS CLI and SDKs need, as shell exports
    Env,
    /// Images on this machine
    Image(Images),
    /// Check this machine and say what to do
    Doctor(Doctor),
    /// The log of every API call
    Audit(Audit),
    /// The database of known vulnerabilities that images are scanned with
    ScanDb(ScanDb),
    /// Print what an image of the registry is made of, as a bill of materials (CycloneDX, JSON)
    Sbom(Sbom),
    /// Run one task (started by the node)
    #[command(hide = true)]
    Supervise { dir: PathBuf },
}

#[derive(Args)]
struct Joining {
    #[command(flatten)]
    behaviour: Behaviour,
    /// The token to join with, at the first start; LONGSHORE_JOIN_TOKEN may hold the token itself
    #[arg(long, env = "LONGSHORE_JOIN_TOKEN_FILE", value_name = "FILE")]
    join_token: Option<PathBuf>,
}

#[derive(Args)]
struct JoinTokens {
    #[command(subcommand)]
    command: JoinToken,
}

#[derive(Subcommand)]
enum JoinToken {
    /// Make a token for one machine, good once, and print it
    Create {
        /// How long it is good for, a minute to a day [default: 900]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(60..=86_400))]
        expires_in: Option<u32>,
        /// The container instance (ARN or id) that is to join again under its name, whose key is void then
        #[arg(long, value_name = "INSTANCE")]
        instance: Option<String>,
        /// The machine may be an edge, too: it carries the traffic of load balancers, and is given the private keys of their
        /// certificates
        #[arg(long)]
        edge: bool,
    },
}

#[derive(Args)]
struct Images {
    /// Socket of the containerd to use instead of a private one [default: what the instance was last run with]
    #[arg(long, env = "LONGSHORE_CONTAINERD", value_name = "SOCKET", global = true)]
    containerd: Option<PathBuf>,
    #[command(subcommand)]
    command: Image,
}

#[derive(Subcommand)]
enum Image {
    /// Load an OCI or Docker archive
    Import {
        file: PathBuf,
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

#[derive(Args)]
struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Walk the chain of records and name the first that is broken; the control plane need not run
    Verify {
        /// A record that must be in it, as an earlier verification named it
        #[arg(long, value_name = "SEQUENCE:HASH")]
        known: Option<String>,
    },
}

#[derive(Args)]
struct ScanDb {
    #[command(subcommand)]
    command: ScanDbCommand,
}

#[derive(Subcommand)]
enum ScanDbCommand {
    /// Make it anew out of advisories in OSV's format; the control plane need not run, nor be stopped
    Import {
        /// An advisory (JSON), an archive of them (OSV's all.zip) or a directory of either
        #[arg(value_name = "FILE|DIR")]
        source: PathBuf,
    },
    /// Say when it was made and what is in it
    Status,
}

#[derive(Args)]
struct Sbom {
    /// The image: the registry's host may stand before it
    #[arg(value_name = "REPOSITORY[:TAG|@DIGEST]")]
    image: String,
    /// Of an image for several platforms, which one, as linux/arm64 [default: this machine's]
    #[arg(long, value_name = "linux/ARCHITECTURE", value_parser = command::sbom::architecture)]
    platform: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&without_empty(Cli::command()).get_matches()).unwrap_or_else(|error| error.exit());
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

/// A variable of the environment that is empty is one that is not set.
fn without_empty(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg }).mut_subcommands(without_empty)
}

fn images(instance: &Instance, containerd: Option<&Path>, command: &Image) -> anyhow::Result<()> {
    let containerd = command::image::containerd(instance, containerd)?;
    match command {
        Image::Import { file, tag } => command::image::import(&containerd, file, tag.as_deref()),
        Image::List => command::image::list(&containerd),
        Image::Remove { name } => command::image::remove(&containerd, name),
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let instance = &cli.instance;
    match &cli.command {
        Command::Up(flags) => command::run::up(&instance.resolve(flags)?)?,
        Command::Server(flags) => command::run::server(&instance.resolve(flags)?)?,
        Command::Agent(Joining { behaviour, join_token }) => {
            command::run::agent(&instance.resolve(behaviour)?, join_token.as_deref())?;
        }
        Command::JoinToken(JoinTokens { command: JoinToken::Create { expires_in, instance: again, edge } }) => {
            command::join_token::create(instance, *expires_in, again.as_deref(), *edge)?;
        }
        Command::Down => command::run::down(instance)?,
        Command::Ps => command::ps::list(instance)?,
        Command::Env => command::env::print(instance)?,
        Command::Image(Images { containerd, command }) => images(instance, containerd.as_deref(), command)?,
        Command::Doctor(Doctor { fix }) => return command::doctor::examine(instance, *fix),
        Command::Audit(Audit { command: AuditCommand::Verify { known } }) => {
            return command::audit::verify(instance, known.as_deref());
        }
        Command::ScanDb(ScanDb { command: ScanDbCommand::Import { source } }) => {
            command::scan_db::import(instance, source)?;
        }
        Command::ScanDb(ScanDb { command: ScanDbCommand::Status }) => command::scan_db::status(instance)?,
        Command::Sbom(Sbom { image, platform }) => command::sbom::print(instance, image, platform.as_deref())?,
        Command::Supervise { .. } => unreachable!("handled before the runtime starts"),
    }
    Ok(ExitCode::SUCCESS)
}
