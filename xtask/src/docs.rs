//! `docs/operations.md`: every operation of every service, and whether it is built.

use anyhow::Result;

/// Writes the table.
pub fn run() -> Result<()> {
    crate::write(&crate::root().join("docs/operations.md"), &render())
}

/// The table's text.
pub fn render() -> String {
    let mut text = String::from(HEAD);
    for service in longshore_api::SERVICES {
        let built = service.operations.iter().filter(|operation| operation.built).count();
        text += &format!("\n## {} ({built} of {})\n\n", service.name, service.operations.len());
        text += "| operation | built |\n|---|---|\n";
        for operation in service.operations {
            text += &format!("| {} | {} |\n", operation.name, if operation.built { "yes" } else { "" });
        }
        text += note(service.name);
    }
    text
}

/// What is to be known beside the table: a member that is taken and does less than on AWS.
fn note(service: &str) -> &'static str {
    match service {
        "ssm" => SSM,
        _ => "",
    }
}

const SSM: &str = "
Of a parameter's policies `Expiration` acts: the parameter is gone at its time. `ExpirationNotification` and
`NoChangeNotification` are checked, kept and shown, and tell nobody: there is no EventBridge here.
";

const HEAD: &str = "# Operations

Written by `cargo xtask docs`. An operation that is not built answers with a fault that says so.
";
