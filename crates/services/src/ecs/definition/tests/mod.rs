//! Task definitions by JSON: what is refused and in which words, what is filled in, and how revisions live and die.

mod life;
mod rules;

use serde_json::{Value, json};

use crate::ecs::testing::World;

/// A definition that Fargate takes, with one container `app`.
pub fn fargate() -> Value {
    json!({
        "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
        "executionRoleArn": "ecsTaskExecutionRole",
        "containerDefinitions": [{"name": "app", "image": "nginx"}],
    })
}

/// A definition for instances, with one container `app`.
pub fn instance() -> Value {
    json!({"family": "web", "containerDefinitions": [{"name": "app", "image": "nginx", "memory": 128}]})
}

/// `base` with the members of `patch` put over it, those under `app` over its first container; `null` takes away.
pub fn patched(mut base: Value, patch: &Value) -> Value {
    for (key, value) in patch.as_object().unwrap() {
        match key.as_str() {
            "app" => value.as_object().unwrap().iter().for_each(|(key, value)| {
                put(&mut base["containerDefinitions"][0], key, value);
            }),
            _ => put(&mut base, key, value),
        }
    }
    base
}

fn put(object: &mut Value, key: &str, value: &Value) {
    let object = object.as_object_mut().unwrap();
    match value {
        Value::Null => drop(object.remove(key)),
        value => drop(object.insert(key.to_owned(), value.clone())),
    }
}

/// Registers the definition; `OK`, or the fault.
pub fn outcome(world: &mut World, definition: Value) -> String {
    world.call("RegisterTaskDefinition", definition).map_or_else(|fault| fault, |_| "OK".to_owned())
}
