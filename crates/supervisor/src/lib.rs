//! One small process a task: drives the OCI runtime, pumps logs, keeps exit codes.
