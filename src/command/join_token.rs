//! `longshore join-token create`.

use anyhow::{Context as _, Result};
use longshore_agent as node;

use crate::command::run::administrator;
use crate::options::{Behaviour, Instance};

/// Prints the token alone, so that it can go into a file; what it is for goes to standard error.
pub fn create(instance: &Instance, seconds: Option<u32>, again: Option<&str>, edge: bool) -> Result<()> {
    let endpoint = instance.endpoint()?.to_string();
    let settings = instance.resolve(&Behaviour::default())?;
    let region = super::env::region(&settings.data_dir).unwrap_or(settings.region);
    let key = administrator(&settings.data_dir)
        .context("there is no root key here; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let made = runtime.block_on(node::create_token(&endpoint, &region, &key, seconds, again, edge))?;
    println!("{}", made.join_token);
    eprintln!("good once, for {}", made.container_instance_arn);
    Ok(())
}
