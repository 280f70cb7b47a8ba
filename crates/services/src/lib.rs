//! What AWS does with a request: one folder a service, one table of operations each.
