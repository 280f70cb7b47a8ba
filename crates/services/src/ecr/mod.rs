//! Amazon ECR: repositories and what is in them.

pub mod content;
mod fault;
pub mod scan;
pub mod token;
