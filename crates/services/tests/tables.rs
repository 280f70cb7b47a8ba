//! The tables of operations against the models: what `models/services.json` calls built is what has a handler, because
//! docs/operations.md is written from it.

use longshore_services::SERVICES;
use std::collections::BTreeSet;

#[test]
fn what_is_called_built_has_a_handler_and_the_other_way_round() {
    for service in SERVICES {
        let operations = service.def.operations.iter();
        let built: BTreeSet<&str> = operations.filter(|one| one.built).map(|one| one.name).collect();
        let handled: BTreeSet<&str> = service.operations.iter().map(|one| one.name).collect();
        let unhandled: Vec<_> = built.difference(&handled).collect();
        let undeclared: Vec<_> = handled.difference(&built).collect();
        assert!(unhandled.is_empty(), "{}: built without a handler: {unhandled:?}", service.def.name);
        assert!(
            undeclared.is_empty(),
            "{}: handlers missing in models/services.json: {undeclared:?}",
            service.def.name
        );
    }
}

#[test]
fn no_operation_has_two_handlers() {
    for service in SERVICES {
        let names: BTreeSet<&str> = service.operations.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), service.operations.len(), "{}", service.def.name);
    }
}
