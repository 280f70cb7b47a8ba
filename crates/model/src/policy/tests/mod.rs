//! Tables: what is refused when a policy is written, and what is decided by those that are not.

mod decide;
mod refuse;
mod size;
