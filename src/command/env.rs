//! `longshore env`: `eval "$(longshore env)"` and the AWS CLI speaks to this instance.

use std::path::Path;

use anyhow::{Context as _, Result};
use longshore_control::RootKey;

use crate::options::{Behaviour, Instance};

pub fn print(instance: &Instance) -> Result<()> {
    let data_dir = instance.data_dir()?;
    let endpoint = instance.endpoint()?;
    let region = instance.resolve(&Behaviour::default())?.region;
    let region = self::region(&data_dir).unwrap_or(region);
    let key = RootKey::read(&data_dir)
        .with_context(|| format!("{} has no root key yet; run `longshore up` first", data_dir.display()))?;
    println!("export AWS_ENDPOINT_URL=http://{endpoint}");
    println!("export AWS_ACCESS_KEY_ID={}", key.access_key_id);
    println!("export AWS_SECRET_ACCESS_KEY={}", key.secret_access_key);
    println!("export AWS_REGION={region}");
    println!("export AWS_DEFAULT_REGION={region}");
    println!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(())
}

/// The region that the instance of a data directory runs in.
pub fn region(data_dir: &Path) -> Option<String> {
    std::fs::read_to_string(data_dir.join(REGION_FILE)).ok().map(|text| text.trim().to_owned())
}

/// Where a running instance writes its region, inside the data directory.
pub const REGION_FILE: &str = "region";
