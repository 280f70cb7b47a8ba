//! The session in which a node tells the health of its containers: at once when it changes, and all of it now and then.

use std::time::Duration;

use longshore_link::tcs::{HealthMetadata, PublishHealthRequest, TaskHealth};
use tokio::time::MissedTickBehavior;

use super::Lost;
use super::socket::Socket;
use crate::clock;
use crate::engine::Health;

/// How often everything is told.
const PERIOD: Duration = Duration::from_secs(20);

/// Tasks in one message, as Amazon's agent has it.
const TASKS_PER_MESSAGE: usize = 10;

/// Changes within this span share a message.
const GATHER: Duration = Duration::from_millis(20);

/// Until the session ends.
pub(super) async fn session(health: &Health, node: &str, mut socket: Socket) -> Lost {
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = socket.next() => if let Err(lost) = heard {
                return lost;
            },
            () = health.changed() => {
                tokio::time::sleep(GATHER).await;
                if let Err(lost) = publish(health, node, &mut socket).await {
                    return lost;
                }
            }
            _ = period.tick() => {
                if let Err(lost) = publish(health, node, &mut socket).await {
                    return lost;
                }
            }
        }
    }
}

async fn publish(health: &Health, node: &str, socket: &mut Socket) -> Result<(), Lost> {
    let messages = messages(health.all(), node, clock::now());
    for message in messages {
        socket.send(&message).await?;
    }
    Ok(())
}

/// One message at least, so that the control plane always answers; the last one says that it is the last.
fn messages(tasks: Vec<TaskHealth>, node: &str, now: u64) -> Vec<PublishHealthRequest> {
    let mut parts: Vec<Vec<TaskHealth>> = tasks.chunks(TASKS_PER_MESSAGE).map(<[_]>::to_vec).collect();
    if parts.is_empty() {
        parts.push(Vec::new());
    }
    let last = parts.len() - 1;
    let message = |(place, tasks)| PublishHealthRequest {
        metadata: HealthMetadata {
            cluster: longshore_link::FARGATE_CLUSTER.to_owned(),
            container_instance: node.to_owned(),
            fin: place == last,
            message_id: format!("{now}-{place}"),
        },
        tasks,
        timestamp: i64::try_from(now).unwrap_or(i64::MAX),
    };
    parts.into_iter().enumerate().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_tasks_go_into_a_message_and_the_last_one_says_so() {
        let count = |tasks: usize| {
            let messages = messages(vec![TaskHealth::default(); tasks], "node", 7);
            let sizes: Vec<usize> = messages.iter().map(|message| message.tasks.len()).collect();
            let last: Vec<bool> = messages.iter().map(|message| message.metadata.fin).collect();
            (sizes, last)
        };
        assert_eq!(count(0), (vec![0], vec![true]));
        assert_eq!(count(10), (vec![10], vec![true]));
        assert_eq!(count(21), (vec![10, 10, 1], vec![false, false, true]));
    }
}
