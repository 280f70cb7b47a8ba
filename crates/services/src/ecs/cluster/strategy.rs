//! Capacity providers and strategies over them.
//!
//! Two providers exist, FARGATE and FARGATE_SPOT; they belong to AWS, cannot be made or deleted, and any cluster may use
//! them.

use longshore_api::ecs;
use longshore_model::Place;
use longshore_wire::Fault;

use crate::Context;
use crate::ecs::page::{Asked, Page};
use crate::ecs::{fault, resolve};

/// Providers of one cluster, and of one strategy.
pub const LIMIT: usize = 20;

const PROVIDERS: [(&str, ecs::CapacityProviderType); 2] =
    [("FARGATE", ecs::CapacityProviderType::Fargate), ("FARGATE_SPOT", ecs::CapacityProviderType::FargateSpot)];

/// The providers of a cluster, each once, in the caller's order.
pub fn check_providers(names: &[String]) -> Result<Vec<String>, Fault> {
    if names.len() > LIMIT {
        return Err(fault::too_many("capacityProviders", LIMIT));
    }
    let mut checked: Vec<String> = Vec::new();
    for name in names {
        if !PROVIDERS.iter().any(|(known, _)| known == name) {
            return Err(fault::invalid_parameter(format!(
                "The specified capacity provider '{}' was not found. Specify a valid name and try again.",
                resolve::shown(name)
            )));
        }
        if !checked.contains(name) {
            checked.push(name.clone());
        }
    }
    Ok(checked)
}

/// A strategy over the providers of a cluster, with weight and base filled in (0 by default).
///
/// # Errors
/// `InvalidParameterException`: a provider that is not the cluster's or is named twice, more than 20 items, weight beyond
/// 0 to 1000, base beyond 0 to 100000, more than one base above zero, several items of which none has a weight.
pub fn check(
    items: &[ecs::CapacityProviderStrategyItem],
    attached: &[String],
) -> Result<Vec<ecs::CapacityProviderStrategyItem>, Fault> {
    if items.len() > LIMIT {
        return Err(fault::too_many("capacityProviderStrategy", LIMIT));
    }
    let mut checked: Vec<ecs::CapacityProviderStrategyItem> = Vec::new();
    for item in items {
        let item = check_item(item, attached)?;
        if checked.iter().any(|seen| seen.capacity_provider == item.capacity_provider) {
            return Err(fault::invalid_parameter("A capacity provider can be specified only once in a strategy."));
        }
        checked.push(item);
    }
    if checked.iter().filter(|item| item.base > Some(0)).count() > 1 {
        return Err(fault::invalid_parameter("Only one capacity provider in a strategy can have a base defined."));
    }
    if checked.len() > 1 && checked.iter().all(|item| item.weight == Some(0)) {
        return Err(fault::invalid_parameter(
            "At least one capacity provider in the strategy must have a weight value greater than zero.",
        ));
    }
    Ok(checked)
}

fn check_item(
    item: &ecs::CapacityProviderStrategyItem,
    attached: &[String],
) -> Result<ecs::CapacityProviderStrategyItem, Fault> {
    let name = item.capacity_provider.clone().unwrap_or_default();
    let (weight, base) = (item.weight.unwrap_or(0), item.base.unwrap_or(0));
    match () {
        () if !attached.contains(&name) => Err(fault::invalid_parameter(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with \
             the cluster. Associate the capacity provider with the cluster and try again.",
        )),
        () if !(0..=1000).contains(&weight) => {
            Err(fault::invalid_parameter("The weight of a capacity provider must be between 0 and 1000."))
        }
        () if !(0..=100_000).contains(&base) => {
            Err(fault::invalid_parameter("The base of a capacity provider must be between 0 and 100000."))
        }
        () => Ok(ecs::CapacityProviderStrategyItem {
            capacity_provider: Some(name),
            weight: Some(weight),
            base: Some(base),
        }),
    }
}

/// DescribeCapacityProviders: by name or ARN, or all.
pub fn describe(
    context: &mut Context<'_>,
    request: ecs::DescribeCapacityProvidersRequest,
) -> Result<ecs::DescribeCapacityProvidersResponse, Fault> {
    const OPERATION: &str = "DescribeCapacityProviders";
    let place = context.place.clone();
    if let Some(cluster) = &request.cluster {
        let name = resolve::cluster_name(&place, Some(cluster))?;
        super::active(&context.read(), &place.account, &name)?;
    }
    let asked = request.capacity_providers.unwrap_or_default();
    if asked.len() > 100 {
        return Err(fault::too_many("capacityProviders", 100));
    }
    let filter = asked.join(" ");
    let page = Asked { token: request.next_token.as_deref(), max_results: request.max_results };
    let page = Page::open(context, OPERATION, &filter, page, 10)?;
    let (found, failures) = find(&place, &asked, request.cluster.is_some())?;
    let rows = found.into_iter().skip_while(|(name, _)| page.after().is_some_and(|after| name.as_str() <= after));
    let (providers, next) = page.take(context, OPERATION, &filter, rows);
    Ok(ecs::DescribeCapacityProvidersResponse {
        capacity_providers: Some(providers),
        failures: Some(failures),
        next_token: next,
    })
}

type Found = (Vec<(String, ecs::CapacityProvider)>, Vec<ecs::Failure>);

/// The providers asked for, by name, and what is none. Providers of a cluster's own do not exist, so asking for a
/// cluster's finds none of AWS's.
fn find(place: &Place, asked: &[String], of_cluster: bool) -> Result<Found, Fault> {
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|text| text == name || *text == arn(place, name));
    let known = PROVIDERS.iter().filter(|(name, _)| !of_cluster && wanted(name));
    let found: Vec<_> = known.map(|(name, kind)| ((*name).to_owned(), provider(place, name, *kind))).collect();
    let mut failures = Vec::new();
    for text in asked {
        if found.iter().any(|(name, _)| name == text || arn(place, name) == *text) {
            continue;
        }
        let arn = match text.starts_with("arn:") {
            true => text.clone(),
            false => arn(place, text),
        };
        failures.push(ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None });
    }
    Ok((found, failures))
}

fn provider(place: &Place, name: &str, kind: ecs::CapacityProviderType) -> ecs::CapacityProvider {
    ecs::CapacityProvider {
        capacity_provider_arn: Some(arn(place, name)),
        name: Some(name.to_owned()),
        status: Some(ecs::CapacityProviderStatus::Active),
        tags: Some(Vec::new()),
        r#type: Some(kind),
        ..ecs::CapacityProvider::default()
    }
}

fn arn(place: &Place, name: &str) -> String {
    place.arn("ecs", &format!("capacity-provider/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, weight: i32, base: i32) -> ecs::CapacityProviderStrategyItem {
        ecs::CapacityProviderStrategyItem {
            capacity_provider: Some(name.into()),
            weight: Some(weight),
            base: Some(base),
        }
    }

    #[test]
    fn strategies_are_checked() {
        let attached = ["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()];
        let cases = [
            (vec![], true),
            (vec![item("FARGATE", 1, 0)], true),
            (vec![item("FARGATE", 0, 0)], true),
            (vec![item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 0)], true),
            (vec![item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 1)], false),
            (vec![item("FARGATE", 0, 1), item("FARGATE_SPOT", 0, 0)], false),
            (vec![item("FARGATE", 1, 0), item("FARGATE", 1, 0)], false),
            (vec![item("FARGATE", 1001, 0)], false),
            (vec![item("FARGATE", -1, 0)], false),
            (vec![item("FARGATE", 1, 100_001)], false),
            (vec![item("mine", 1, 0)], false),
            (vec![item("FARGATE", 1, 0); 21], false),
        ];
        for (items, good) in cases {
            assert_eq!(check(&items, &attached).is_ok(), good, "{items:?}");
        }
        assert!(check(&[item("FARGATE", 1, 0)], &[]).is_err());
        assert_eq!(check_providers(&["FARGATE".into(), "FARGATE".into()]).unwrap(), ["FARGATE"]);
        assert!(check_providers(&["fargate".into()]).is_err());
    }
}
