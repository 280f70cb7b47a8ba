//! The planners against whole states: tables of what must happen, and laws attacked by chance.

mod laws;
mod pace;
mod place;
mod reap;
mod report;
mod rolling;
mod service;
mod world;
