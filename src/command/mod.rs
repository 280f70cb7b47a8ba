//! What each subcommand does.

pub mod audit;
pub mod doctor;
pub mod env;
pub mod image;
pub mod join_token;
pub mod ps;
pub mod run;
pub mod sbom;
pub mod scan_db;
