//! A back end that keeps nothing: for tests and simulation.

use std::sync::Arc;

use longshore_model::Record;

use crate::{Backend, Commit, Error, Revision};

#[derive(Debug, Default)]
pub struct Memory;

impl Backend for Memory {
    fn load(&mut self, _: &mut dyn FnMut(Record)) -> Result<Revision, Error> {
        Ok(0)
    }

    fn commit(&mut self, _: &[Arc<Commit>]) -> Result<(), Error> {
        Ok(())
    }
}
