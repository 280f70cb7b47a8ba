//! Living beside other firewalls: Docker and many host firewalls drop what is forwarded, and an accept in our own nftables
//! table does not undo a drop in theirs. So our transit link is accepted where they decide: in `DOCKER-USER` if Docker is
//! there (it keeps its hands off that chain), else in `FORWARD`.
//!
//! Nothing is inserted where nothing is in the way, so that a host without iptables rules stays without. Both of iptables'
//! back ends are looked at. Left out: firewalls written in nftables directly; their owner has to let `lsh-*` through.

use std::fs;
use std::io;
use std::process::Command;

use super::error::Error;
use super::names::Names;

/// Lets forwarded packets from and to the transit link pass, where rules are in the way. Idempotent.
pub(super) fn open(names: &Names) -> Result<(), Error> {
    for command in commands()? {
        let rules = list(command)?;
        let Some(chain) = deciding_chain(&rules) else {
            continue;
        };
        for wanted in wanted(chain, &names.transit()) {
            if !rules.contains(&wanted) {
                run(command, &wanted.replacen("-A", "-I", 1))?;
            }
        }
    }
    Ok(())
}

/// Removes every rule that names the transit link.
pub(super) fn close(names: &Names) -> Result<(), Error> {
    for command in commands()? {
        for rule in list(command)?.iter().filter(|rule| mentions(rule, &names.transit())) {
            run(command, &rule.replacen("-A", "-D", 1))?;
        }
    }
    Ok(())
}

/// The chain that decides over forwarded packets; none if everything is accepted anyway.
fn deciding_chain(rules: &[String]) -> Option<&'static str> {
    if rules.iter().any(|rule| rule == "-N DOCKER-USER") {
        return Some("DOCKER-USER");
    }
    let restricts = |rule: &String| {
        rule.starts_with("-A FORWARD ") || (rule.starts_with("-P FORWARD ") && rule != "-P FORWARD ACCEPT")
    };
    rules.iter().any(restricts).then_some("FORWARD")
}

fn wanted(chain: &str, link: &str) -> [String; 2] {
    [format!("-A {chain} -o {link} -j ACCEPT"), format!("-A {chain} -i {link} -j ACCEPT")]
}

fn mentions(rule: &str, link: &str) -> bool {
    rule.starts_with("-A ") && rule.split(' ').any(|word| word == link)
}

/// The iptables commands with rules behind them: `iptables`, and `iptables-legacy` if the legacy tables are in the kernel.
fn commands() -> Result<Vec<&'static str>, Error> {
    let mut commands = Vec::new();
    let Some(version) = said("iptables", &["--version"])? else {
        return Ok(commands);
    };
    commands.push("iptables");
    let legacy =
        fs::read_to_string("/proc/thread-self/net/ip_tables_names").is_ok_and(|names| names.contains("filter"));
    if legacy && !version.contains("legacy") && said("iptables-legacy", &["--version"])?.is_some() {
        commands.push("iptables-legacy");
    }
    Ok(commands)
}

fn list(command: &str) -> Result<Vec<String>, Error> {
    let said = said(command, &["-w", "5", "-S"])?.unwrap_or_default();
    Ok(said.lines().map(str::to_owned).collect())
}

fn run(command: &str, rule: &str) -> Result<(), Error> {
    let words: Vec<&str> = ["-w", "5"].into_iter().chain(rule.split(' ')).collect();
    said(command, &words).map(drop)
}

/// What the command wrote; none if there is no such command.
fn said(command: &str, words: &[&str]) -> Result<Option<String>, Error> {
    let output = match Command::new(command).args(words).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| Error::system(format!("run {command}"), error))?,
    };
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command { command: format!("{command} {}", words.join(" ")), said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &str, chain: Option<&str>) {
        let rules: Vec<String> = rules.lines().map(str::to_owned).collect();
        assert_eq!(deciding_chain(&rules), chain, "{rules:?}");
    }

    #[test]
    fn rules_go_where_forwarding_is_decided() {
        check("-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT", None);
        check("-P INPUT DROP\n-P FORWARD ACCEPT", None);
        check("-P FORWARD DROP", Some("FORWARD"));
        check("-P FORWARD ACCEPT\n-A FORWARD -j REJECT", Some("FORWARD"));
        check("-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER", Some("DOCKER-USER"));
    }

    #[test]
    fn only_our_own_rules_are_removed() {
        assert!(mentions("-A FORWARD -i lsh-0a1b2c3d -j ACCEPT", "lsh-0a1b2c3d"));
        assert!(!mentions("-A FORWARD -i lsh-0a1b2c3e -j ACCEPT", "lsh-0a1b2c3d"));
        assert!(!mentions("-P FORWARD DROP", "lsh-0a1b2c3d"));
    }
}
