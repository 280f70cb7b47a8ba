//! Tasks in real containers on a node of their own, ordered by a control plane that the tests play.
//!
//! Needs root, containerd, an OCI runtime, nft, and `build/images/busybox.tar` (`cargo xtask image busybox`), and fails
//! without them. The program is its own supervisor: started as `tasks supervise DIR` it is one. Tests share one node;
//! arguments choose tests by parts of their names.

#[path = "tasks/basic.rs"]
mod basic;
#[path = "tasks/metadata.rs"]
mod metadata;
#[path = "tasks/node.rs"]
mod node;
#[path = "tasks/restart.rs"]
mod restart;

mod plane;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use node::Node;

type Test = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Name and body.
type Named = (&'static str, fn(Arc<Node>) -> Test);

/// Name and body of every test, in order.
macro_rules! tests {
    ($($module:ident::$name:ident,)*) => {
        &[$((stringify!($name), |node| Box::pin($module::$name(node)) as Test),)*]
    };
}

const TESTS: &[Named] = tests![
    basic::a_task_runs_in_a_container_and_stops_when_ordered,
    basic::an_exit_code_is_reported_with_its_reason,
    basic::an_image_that_is_not_there_is_said_to_be,
    basic::an_order_that_cannot_be_carried_out_says_why,
    basic::a_task_that_is_stopped_while_it_starts_stops,
    basic::a_task_has_its_address_names_and_environment,
    basic::two_containers_share_the_network_and_volumes,
    basic::a_public_address_answers_on_the_host,
    basic::health_is_told,
    basic::stages_that_last_are_told,
    basic::a_task_whose_last_lines_take_their_time_is_deprovisioning,
    basic::many_tasks_start_and_leave_nothing,
    metadata::the_endpoint_tells_container_and_task,
    metadata::tags_are_those_of_the_task,
    metadata::port_80_is_the_tasks_own,
    metadata::statistics_are_those_of_the_containers,
    metadata::what_is_not_there_is_not_found,
    metadata::no_task_may_ask_too_often,
    metadata::nobody_else_reaches_the_endpoint,
    metadata::idle_connections_hold_up_nobody_else,
    metadata::credentials_are_kept_fresh_and_in_memory,
    restart::a_task_survives_the_agent,
    restart::an_exit_while_the_agent_is_away_is_reported,
    restart::a_connection_to_a_supervisor_that_breaks_is_made_again,
    restart::a_supervisor_that_dies_ends_its_task,
    restart::a_supervisor_that_died_while_the_agent_was_away_is_found,
    restart::supervisors_that_hang_are_ended_with_their_tasks,
    restart::an_end_that_could_not_be_reported_is_not_forgotten,
    restart::what_nobody_wants_any_more_stops_after_a_restart,
    restart::a_task_never_runs_a_second_time,
    restart::a_task_that_was_never_started_is_started_by_the_next_agent,
    restart::a_containerd_that_dies_is_started_again,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, directory] = &arguments[..]
        && command == "supervise"
    {
        let code = longshore_supervisor::main(Path::new(directory));
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&wanted))
}

async fn run(wanted: &[&String]) -> ExitCode {
    let chosen: Vec<_> = TESTS
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())))
        .collect();
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("running {} tests on a node of their own", chosen.len());
    let node = Arc::new(Node::start().await);
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let begun = std::time::Instant::now();
        let outcome = tokio::spawn(test(Arc::clone(&node))).await;
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1?})", begun.elapsed());
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    if let Err(left) = node.end().await {
        println!("test nothing_is_left ... FAILED: {left}");
        failed.push("nothing_is_left");
    }
    println!("{} passed, {} failed {failed:?}", chosen.len() - failed.len().min(chosen.len()), failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
