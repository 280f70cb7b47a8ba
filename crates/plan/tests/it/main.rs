//! The planners against whole states: tables of what must happen, and laws attacked by chance.

mod balance;
mod behind;
mod breaker;
mod clock;
mod front;
mod laws;
mod orders;
mod pace;
mod pin;
mod place;
mod properties;
mod reap;
mod report;
mod rolling;
mod rotate;
mod secret;
mod service;
mod world;
