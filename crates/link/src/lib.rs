//! The messages between control plane and agents (Amazon's agent protocol and our additions).
