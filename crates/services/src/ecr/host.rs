//! What the registry is called: by clients of its distribution API, and in URLs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use longshore_model::AccountId;

use crate::Context;

/// `host:port` that the client called, or that this installation is reached by.
pub fn called<'a>(context: &'a Context<'_>) -> &'a str {
    context.host.as_deref().filter(|host| is_host(host)).unwrap_or(&context.settings.endpoint)
}

fn is_host(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.len() <= 300 && text.bytes().all(good)
}

/// `ACCOUNT.dkr.ecr.REGION.localhost:PORT` of the registry of an account, as seen from the same machine. From another one
/// no such name leads here, and the registry is called what the client called us.
pub fn of(context: &Context<'_>, registry: &AccountId) -> String {
    named(called(context), &context.place.region, registry)
}

fn named(called: &str, region: &str, registry: &AccountId) -> String {
    if let Some((_, rest)) = called.split_once(".dkr.ecr.") {
        return format!("{registry}.dkr.ecr.{rest}");
    }
    let (host, port) = match called.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, format!(":{port}")),
        _ => (called, String::new()),
    };
    match is_here(host) {
        true => format!("{registry}.dkr.ecr.{region}.localhost{port}"),
        false => called.to_owned(),
    }
}

fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let unspecified = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    match address {
        Ok(address) => address.is_loopback() || unspecified.contains(&address),
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_a_name_of_its_own_where_that_leads_here() {
        let account = AccountId::parse("123456789012").unwrap();
        for (called, wanted) in [
            ("localhost:4566", "123456789012.dkr.ecr.us-east-1.localhost:4566"),
            ("localhost", "123456789012.dkr.ecr.us-east-1.localhost"),
            ("127.0.0.1:80", "123456789012.dkr.ecr.us-east-1.localhost:80"),
            ("[::1]:80", "123456789012.dkr.ecr.us-east-1.localhost:80"),
            ("0.0.0.0:80", "123456789012.dkr.ecr.us-east-1.localhost:80"),
            ("api.ecr.us-east-1.localhost:80", "123456789012.dkr.ecr.us-east-1.localhost:80"),
            ("999999999999.dkr.ecr.us-east-1.localhost:80", "123456789012.dkr.ecr.us-east-1.localhost:80"),
            ("10.0.0.5:4566", "10.0.0.5:4566"),
            ("longshore.example", "longshore.example"),
        ] {
            assert_eq!(named(called, "us-east-1", &account), wanted, "{called}");
        }
    }
}
