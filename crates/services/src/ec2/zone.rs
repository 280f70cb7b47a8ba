//! Availability zones, whose names come from the settings and whose ids follow from them, and the one region there is.

use longshore_api::ec2::{
    AvailabilityZone, AvailabilityZoneOptInStatus, AvailabilityZoneState, DescribeAvailabilityZonesRequest,
    DescribeAvailabilityZonesResult, DescribeRegionsRequest, DescribeRegionsResult, Region,
};
use longshore_wire::Fault;

use super::fault;
use super::list::{self, Kind};
use crate::Context;

struct Row {
    region: String,
    name: String,
    id: String,
}

static KIND: Kind<Row> = Kind {
    operation: "DescribeAvailabilityZones",
    id: |row| &row.name,
    not_found: ("InvalidParameterValue", "availability zone"),
    filters: &[
        ("group-name", |row| vec![format!("{}-zg-1", row.region)]),
        ("opt-in-status", |_| vec!["opt-in-not-required".to_owned()]),
        ("region-name", |row| vec![row.region.clone()]),
        ("state", |_| vec!["available".to_owned()]),
        ("zone-id", |row| vec![row.id.clone()]),
        ("zone-name", |row| vec![row.name.clone()]),
        ("zone-type", |_| vec!["availability-zone".to_owned()]),
    ],
    page: (1, 1000),
};

/// # Errors
/// `InvalidParameterValue` for a zone or filter that does not exist; `DryRunOperation`.
pub fn describe(
    context: &mut Context<'_>,
    request: DescribeAvailabilityZonesRequest,
) -> Result<DescribeAvailabilityZonesResult, Fault> {
    if request.dry_run == Some(true) {
        return Err(fault::dry_run());
    }
    let region = &context.place.region;
    let rows = context.settings.zones.iter().enumerate().map(|(index, name)| Row {
        region: region.clone(),
        name: name.clone(),
        id: id(region, index),
    });
    let mut rows: Vec<Row> = rows.collect();
    keep(&mut rows, request.zone_names.as_deref(), |row| &row.name)?;
    keep(&mut rows, request.zone_ids.as_deref(), |row| &row.id)?;
    let rows = list::filtered(&KIND, request.filters.as_deref(), rows)?;
    let availability_zones = Some(rows.into_iter().map(shape).collect());
    Ok(DescribeAvailabilityZonesResult { availability_zones })
}

static REGION: Kind<Region> = Kind {
    operation: "DescribeRegions",
    id: |region| region.region_name.as_deref().unwrap_or_default(),
    not_found: ("InvalidParameterValue", "region"),
    filters: &[
        ("endpoint", |region| region.endpoint.clone().into_iter().collect()),
        ("opt-in-status", |region| region.opt_in_status.clone().into_iter().collect()),
        ("region-name", |region| region.region_name.clone().into_iter().collect()),
    ],
    page: (1, 1000),
};

/// The region of this installation. Its endpoint is where this control plane is reached.
///
/// # Errors
/// `InvalidParameterValue` for a region or filter that does not exist; `DryRunOperation`.
pub fn regions(context: &mut Context<'_>, request: DescribeRegionsRequest) -> Result<DescribeRegionsResult, Fault> {
    if request.dry_run == Some(true) {
        return Err(fault::dry_run());
    }
    let here = &context.place.region;
    if let Some(unknown) = request.region_names.iter().flatten().find(|name| *name != here) {
        return Err(fault::invalid_value(format!("Invalid region names: [{unknown}]")));
    }
    let region = Region {
        region_name: Some(here.clone()),
        endpoint: Some(context.settings.endpoint.clone()),
        opt_in_status: Some("opt-in-not-required".to_owned()),
        ..Region::default()
    };
    let regions = list::filtered(&REGION, request.filters.as_deref(), vec![region])?;
    Ok(DescribeRegionsResult { regions: Some(regions) })
}

/// Keep those named, all of which must exist.
fn keep(rows: &mut Vec<Row>, names: Option<&[String]>, name: fn(&Row) -> &String) -> Result<(), Fault> {
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return Ok(());
    };
    if let Some(unknown) = names.iter().find(|wanted| !rows.iter().any(|row| name(row) == *wanted)) {
        return Err(fault::invalid_value(format!("Invalid availability zone: [{unknown}]")));
    }
    rows.retain(|row| names.contains(name(row)));
    Ok(())
}

/// The id of a region's zone, as AWS writes it: `use1-az1` is the first of us-east-1.
pub fn id(region: &str, index: usize) -> String {
    let mut short = String::new();
    for part in region.split('-') {
        short.push_str(match part {
            "northeast" => "ne",
            "northwest" => "nw",
            "southeast" => "se",
            "southwest" => "sw",
            part if short.is_empty() || part.bytes().all(|byte| byte.is_ascii_digit()) => part,
            part => part.get(..1).unwrap_or_default(),
        });
    }
    format!("{short}-az{}", index + 1)
}

fn shape(row: Row) -> AvailabilityZone {
    AvailabilityZone {
        opt_in_status: Some(AvailabilityZoneOptInStatus::OptInNotRequired),
        messages: Some(Vec::new()),
        group_name: Some(format!("{}-zg-1", row.region)),
        network_border_group: Some(row.region.clone()),
        region_name: Some(row.region),
        zone_name: Some(row.name),
        zone_id: Some(row.id),
        zone_type: Some("availability-zone".to_owned()),
        state: Some(AvailabilityZoneState::Available),
        ..AvailabilityZone::default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn zone_ids_are_as_aws_writes_them() {
        let rows = [
            ("us-east-1", 0, "use1-az1"),
            ("us-west-2", 3, "usw2-az4"),
            ("eu-central-1", 1, "euc1-az2"),
            ("ap-southeast-2", 2, "apse2-az3"),
            ("ap-northeast-1", 0, "apne1-az1"),
            ("us-gov-west-1", 0, "usgw1-az1"),
        ];
        for (region, index, id) in rows {
            assert_eq!(super::id(region, index), id);
        }
    }
}
