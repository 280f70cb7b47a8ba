//! Rules for what containers expect of each other: dependsOn, links and volumesFrom name containers of the task, and
//! never in a circle.

use longshore_api::ecs::{self, ContainerCondition as Condition};
use longshore_wire::Fault;

use super::{Draft, invalid, repeated};
use crate::ecs::{fault, resolve};

pub fn check(draft: &Draft) -> Result<(), Fault> {
    for container in draft.containers() {
        let dependencies = container.depends_on.iter().flatten();
        if repeated(dependencies.clone().map(|it| it.container_name.as_deref())).is_some() {
            return Err(invalid(container, "dependsOn", "A container can be depended on only once."));
        }
        for dependency in dependencies {
            check_condition(draft, container, dependency)?;
        }
        for name in others(container) {
            if draft.container(name).is_none() {
                return Err(fault::client(format!(
                    "Container '{}' refers to container '{}', which is not defined in the task definition.",
                    super::name(container),
                    resolve::shown(name)
                )));
            }
        }
    }
    match is_circular(draft) {
        true => Err(fault::client("Cyclic dependency found between containers in the task definition.")),
        false => Ok(()),
    }
}

fn check_condition(
    draft: &Draft,
    container: &ecs::ContainerDefinition,
    dependency: &ecs::ContainerDependency,
) -> Result<(), Fault> {
    let name = dependency.container_name.as_deref().unwrap_or_default();
    let Some(other) = draft.container(name) else {
        return Err(invalid(
            container,
            "dependsOn",
            &format!("Container '{}' is not defined in the task definition.", resolve::shown(name)),
        ));
    };
    match dependency.condition {
        None => Err(invalid(container, "dependsOn", "A condition must be specified.")),
        Some(Condition::Complete | Condition::Success) if other.essential != Some(false) => Err(fault::client(
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
        )),
        Some(Condition::Healthy) if other.health_check.is_none() => {
            Err(fault::client("A dependency container with HEALTHY condition must have a health check configured"))
        }
        Some(_) => Ok(()),
    }
}

/// Names of the containers that must be there before this one.
fn others(container: &ecs::ContainerDefinition) -> impl Iterator<Item = &str> {
    let depends = container.depends_on.iter().flatten().filter_map(|it| it.container_name.as_deref());
    let volumes = container.volumes_from.iter().flatten().map(|it| it.source_container.as_deref().unwrap_or_default());
    let links = container.links.iter().flatten().map(|link| link.split(':').next().unwrap_or_default());
    depends.chain(volumes).chain(links)
}

/// Takes away, again and again, the containers that wait for none of those left. A circle is what stays.
fn is_circular(draft: &Draft) -> bool {
    let mut left: Vec<&ecs::ContainerDefinition> = draft.containers().iter().collect();
    loop {
        let names: Vec<&str> = left.iter().filter_map(|container| container.name.as_deref()).collect();
        let before = left.len();
        left.retain(|container| others(container).any(|name| names.contains(&name)));
        if left.len() == before {
            return before > 0;
        }
    }
}
