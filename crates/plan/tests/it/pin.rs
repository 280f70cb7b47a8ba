//! Version consistency: what a deployment's first task ran is what the others run.

use longshore_api::ecs;
use longshore_plan::report::{ContainerReport, TaskReport};

use crate::world::{definition, steady};

#[test]
fn later_tasks_of_a_deployment_run_what_its_first_one_ran() {
    let mut world = steady(1, 100, 200);
    let first = world.live()[0].key();
    let digest = Some("sha256:1".to_owned());
    let container = ContainerReport { name: "web".into(), image_digest: digest.clone(), ..ContainerReport::default() };
    world.report(&first, &TaskReport { containers: vec![container], ..TaskReport::default() });
    assert_eq!(world.service().deployments[0].pin("web"), digest.as_deref());
    world.edit(|service| service.desired_count = 2);
    world.settle();
    let second = world.live().into_iter().find(|task| task.key() != first).unwrap();
    let container = &second.containers[0];
    assert_eq!((&container.pinned, container.image.as_deref()), (&digest, Some("web:latest")));
    world.deploy(1);
    world.settle();
    let primary = world.service().deployments[0].id.clone();
    let new = world.live().into_iter().find(|task| task.started_by.as_deref() == Some(primary.as_str())).unwrap();
    assert_eq!(new.containers[0].pinned, None, "a new deployment looks anew");
}

#[test]
fn what_wants_no_consistency_or_names_a_digest_is_not_pinned() {
    let disabled = |container: &mut ecs::ContainerDefinition| {
        container.version_consistency = Some(ecs::VersionConsistency::Disabled);
    };
    let by_digest = |container: &mut ecs::ContainerDefinition| container.image = Some("web@sha256:0".into());
    for change in [&disabled as &dyn Fn(&mut ecs::ContainerDefinition), &by_digest] {
        let mut world = steady(1, 100, 200);
        let mut definition = definition(1, false);
        definition.api.container_definitions.iter_mut().flatten().for_each(change);
        world.put(definition);
        let key = world.live()[0].key();
        let container =
            ContainerReport { name: "web".into(), image_digest: Some("sha256:1".into()), ..Default::default() };
        world.report(&key, &TaskReport { containers: vec![container], ..TaskReport::default() });
        assert_eq!(world.service().deployments[0].pins, []);
    }
}
