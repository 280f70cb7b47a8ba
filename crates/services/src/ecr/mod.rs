//! Amazon ECR.

pub mod token;
