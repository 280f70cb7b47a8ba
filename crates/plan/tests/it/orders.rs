//! What sessions write.

use longshore_model::Change;
use longshore_model::task::TaskStatus;
use longshore_plan::orders;
use longshore_wire::Timestamp;

use crate::world::{World, service};

fn world() -> (World, String) {
    let mut world = World::new();
    world.put(service(1, 100, 200, world.now));
    world.settle();
    let key = world.live()[0].key();
    (world, key)
}

fn apply(world: &mut World, changes: Vec<Change>) -> usize {
    let count = changes.len();
    world.apply(changes);
    count
}

#[test]
fn an_order_that_was_taken_moves_the_task_by_what_the_order_wanted() {
    let (mut world, key) = world();
    for (wanted, last) in [(TaskStatus::Running, TaskStatus::Pending), (TaskStatus::Stopped, TaskStatus::Stopping)] {
        let taken = orders::taken(&world.state, "n1", &[(key.clone(), wanted)], world.now, &mut world.mint);
        apply(&mut world, taken);
        assert_eq!(world.live()[0].last, last);
    }
    let foreign = [(key, TaskStatus::Stopped)];
    assert_eq!(orders::taken(&world.state, "n2", &foreign, world.now, &mut world.mint).len(), 0);
}

#[test]
fn a_refused_order_ends_its_task_unless_the_node_had_taken_it() {
    let (mut world, key) = world();
    let order = (key.clone(), TaskStatus::Running);
    let refused = orders::refused(&world.state, "n1", &order, "not mine", world.now, &mut world.mint);
    apply(&mut world, refused);
    let task = world.state.tasks.get(&key).expect("the task is there").clone();
    assert_eq!(task.stopped_reason.as_deref(), Some("The container agent refused the task: not mine"));
    assert_eq!(task.stop_code.map(|code| code.as_str()), Some("TaskFailedToStart"));

    let (mut world, key) = self::world();
    world.report_status(&key, TaskStatus::Pending);
    let order = (key, TaskStatus::Running);
    assert_eq!(orders::refused(&world.state, "n1", &order, "not mine", world.now, &mut world.mint).len(), 0);
}

#[test]
fn only_the_end_of_the_newest_session_disconnects_a_node() {
    let (mut world, _) = world();
    let changes = orders::connected(&world.state, "n1");
    apply(&mut world, changes);
    let epoch = world.state.nodes.get("n1").expect("the node is there").epoch;
    let later = Timestamp::from_millis(world.now.millis() + 1);
    assert_eq!(orders::disconnected(&world.state, "n1", epoch - 1, later).len(), 0);
    let changes = orders::disconnected(&world.state, "n1", epoch, later);
    assert_eq!(apply(&mut world, changes), 1);
    assert_eq!(orders::forgotten(&world.state, "n1", later).len(), 0, "it is disconnected already");
    assert_eq!(orders::connected(&world.state, "n9").len(), 0);
}
