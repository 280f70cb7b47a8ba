//! `longshore join-token create`.

use anyhow::Result;
use longshore_agent as node;

use crate::command::run::caller;
use crate::options::Instance;

/// Prints the token alone, so that it can go into a file; what it is for goes to standard error.
pub fn create(instance: &Instance, seconds: Option<u32>, again: Option<&str>, edge: bool) -> Result<()> {
    let (endpoint, region, key) = caller(instance)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(node::create_token(&endpoint, &region, &key, seconds, again, edge))?;
    println!("{}", made.join_token);
    eprintln!("good once, for {}", made.container_instance_arn);
    Ok(())
}
