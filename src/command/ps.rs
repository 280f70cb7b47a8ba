//! `longshore ps`: the containers that run on this machine.

use anyhow::Result;

use crate::options::Instance;

pub fn list(instance: &Instance) -> Result<()> {
    println!("{:<32} {:<20} {:>8} {:<8} EXIT", "TASK", "CONTAINER", "PID", "STATUS");
    for row in longshore_agent::ps::ps(&instance.data_dir()?)? {
        let pid = row.pid.map_or("-".to_owned(), |pid| pid.to_string());
        let exit = row.exit_code.map_or(String::new(), |code| code.to_string());
        println!("{:<32} {:<20} {pid:>8} {:<8} {exit}", row.task, row.container, row.status);
    }
    Ok(())
}
