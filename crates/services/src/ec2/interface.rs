//! DescribeNetworkInterfaces: the interfaces of `awsvpc` tasks.

use longshore_api::ec2::{
    AttachmentStatus, DescribeNetworkInterfacesRequest, DescribeNetworkInterfacesResult, GroupIdentifier,
    NetworkInterface, NetworkInterfaceAssociation, NetworkInterfaceAttachment, NetworkInterfacePrivateIpAddress,
    NetworkInterfaceStatus, NetworkInterfaceType,
};
use longshore_model::task::{Eni, Task, TaskStatus};
use longshore_model::{Place, State, network};
use longshore_wire::{Fault, Timestamp};

use super::list::{self, Asked, Kind};
use crate::Context;

/// An interface with what its task and its subnet know of it.
struct Row {
    eni: Eni,
    account: String,
    region: String,
    description: String,
    zone: String,
    zone_id: String,
    vpc: String,
    /// Id and name.
    groups: Vec<(String, String)>,
    /// Since when the task has it; `None` before that.
    attached_at: Option<Timestamp>,
}

static KIND: Kind<Row> = Kind {
    operation: "DescribeNetworkInterfaces",
    id: |row| &row.eni.id,
    not_found: ("InvalidNetworkInterfaceID.NotFound", "networkInterface ID"),
    filters: &[
        ("addresses.association.public-ip", |row| row.eni.public_ip.clone().into_iter().collect()),
        ("addresses.primary", |_| vec!["true".to_owned()]),
        ("addresses.private-ip-address", |row| vec![row.eni.private_ip.clone()]),
        ("association.public-ip", |row| row.eni.public_ip.clone().into_iter().collect()),
        ("attachment.attachment-id", |row| vec![attachment_id(row)]),
        ("attachment.instance-owner-id", |row| vec![row.account.clone()]),
        ("attachment.status", |row| vec![attachment_status(row).to_string()]),
        ("availability-zone", |row| vec![row.zone.clone()]),
        ("availability-zone-id", |row| vec![row.zone_id.clone()]),
        ("description", |row| vec![row.description.clone()]),
        ("group-id", |row| row.groups.iter().map(|(id, _)| id.clone()).collect()),
        ("group-name", |row| row.groups.iter().map(|(_, name)| name.clone()).collect()),
        ("interface-type", |_| vec!["interface".to_owned()]),
        ("mac-address", |row| vec![row.eni.mac.clone()]),
        ("network-interface-id", |row| vec![row.eni.id.clone()]),
        ("owner-id", |row| vec![row.account.clone()]),
        ("private-dns-name", |row| vec![private_name(row)]),
        ("private-ip-address", |row| vec![row.eni.private_ip.clone()]),
        ("requester-managed", |_| vec!["true".to_owned()]),
        ("source-dest-check", |_| vec!["true".to_owned()]),
        ("status", |row| vec![status(row).to_string()]),
        ("subnet-id", |row| vec![row.eni.subnet.clone()]),
        ("vpc-id", |row| vec![row.vpc.clone()]),
    ],
    page: (5, 1000),
};

/// # Errors
/// `InvalidNetworkInterfaceID.NotFound`, and those of [`list::page`].
pub fn describe(
    context: &mut Context<'_>,
    request: DescribeNetworkInterfacesRequest,
) -> Result<DescribeNetworkInterfacesResult, Fault> {
    let place = context.place.clone();
    let prefix = format!("{}/", place.account);
    let mut all: Vec<Row> = {
        let state = context.read();
        let live = state.tasks.scan(&prefix).filter(|(_, task)| !task.is_stopped());
        live.filter_map(|(_, task)| row(&state, &place, task)).collect()
    };
    all.sort_by(|one, other| one.eni.id.cmp(&other.eni.id));
    let asked = Asked {
        ids: request.network_interface_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
        dry_run: request.dry_run,
    };
    let (rows, next_token) = list::page(context, &KIND, &asked, all)?;
    let network_interfaces = Some(rows.into_iter().map(shape).collect());
    Ok(DescribeNetworkInterfacesResult { network_interfaces, next_token })
}

fn row(state: &State, place: &Place, task: &Task) -> Option<Row> {
    let eni = task.eni.clone()?;
    let subnet = state.subnets.get(&network::key(&place.account, &eni.subnet));
    let name = |id: &String| {
        let group = state.security_groups.get(&network::key(&place.account, id));
        (id.clone(), group.map(|group| group.name.clone()).unwrap_or_default())
    };
    Some(Row {
        account: task.account.clone(),
        region: place.region.clone(),
        description: place.arn("ecs", &format!("attachment/{}", eni.attachment)),
        zone: subnet.map(|subnet| subnet.zone.clone()).or(task.zone.clone()).unwrap_or_default(),
        zone_id: subnet.map(|subnet| subnet.zone_id.clone()).unwrap_or_default(),
        vpc: subnet.map(|subnet| subnet.vpc.clone()).unwrap_or_default(),
        groups: eni.security_groups.iter().map(name).collect(),
        attached_at: task.connectivity_at.or((task.last > TaskStatus::Provisioning).then_some(task.created_at)),
        eni,
    })
}

/// Derived from the interface's id, so that it stays.
fn attachment_id(row: &Row) -> String {
    row.eni.id.replacen("eni-", "eni-attach-", 1)
}

fn attachment_status(row: &Row) -> AttachmentStatus {
    match row.attached_at {
        Some(_) => AttachmentStatus::Attached,
        None => AttachmentStatus::Attaching,
    }
}

fn status(row: &Row) -> NetworkInterfaceStatus {
    match row.attached_at {
        Some(_) => NetworkInterfaceStatus::InUse,
        None => NetworkInterfaceStatus::Attaching,
    }
}

fn private_name(row: &Row) -> String {
    network::private_dns_name(&row.region, &row.eni.private_ip)
}

fn shape(row: Row) -> NetworkInterface {
    let association = row.eni.public_ip.as_ref().map(|address| NetworkInterfaceAssociation {
        public_ip: Some(address.clone()),
        public_dns_name: Some(String::new()),
        ip_owner_id: Some("amazon".to_owned()),
        ..NetworkInterfaceAssociation::default()
    });
    let attachment = NetworkInterfaceAttachment {
        attach_time: row.attached_at,
        attachment_id: Some(attachment_id(&row)),
        delete_on_termination: Some(false),
        device_index: Some(1),
        network_card_index: Some(0),
        instance_owner_id: Some(row.account.clone()),
        status: Some(attachment_status(&row)),
        ..NetworkInterfaceAttachment::default()
    };
    let address = NetworkInterfacePrivateIpAddress {
        association: association.clone(),
        primary: Some(true),
        private_dns_name: Some(private_name(&row)),
        private_ip_address: Some(row.eni.private_ip.clone()),
    };
    let group = |(id, name)| GroupIdentifier { group_id: Some(id), group_name: Some(name) };
    NetworkInterface {
        association,
        attachment: Some(attachment),
        status: Some(status(&row)),
        private_dns_name: Some(private_name(&row)),
        private_ip_addresses: Some(vec![address]),
        availability_zone: Some(row.zone),
        availability_zone_id: Some(row.zone_id),
        description: Some(row.description),
        groups: Some(row.groups.into_iter().map(group).collect()),
        interface_type: Some(NetworkInterfaceType::Interface),
        mac_address: Some(row.eni.mac),
        network_interface_id: Some(row.eni.id),
        owner_id: Some(row.account.clone()),
        private_ip_address: Some(row.eni.private_ip),
        requester_id: Some(row.account),
        requester_managed: Some(true),
        source_dest_check: Some(true),
        subnet_id: Some(row.eni.subnet),
        vpc_id: Some(row.vpc),
        ..NetworkInterface::default()
    }
}
