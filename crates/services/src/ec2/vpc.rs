//! DescribeVpcs.

use longshore_api::ec2::{
    DescribeVpcsRequest, DescribeVpcsResult, Tenancy, Vpc, VpcCidrBlockAssociation, VpcCidrBlockState,
    VpcCidrBlockStateCode, VpcState,
};
use longshore_model::network;
use longshore_wire::Fault;

use super::list::{self, Asked, Kind};
use crate::Context;

static KIND: Kind<network::Vpc> = Kind {
    operation: "DescribeVpcs",
    id: |vpc| &vpc.id,
    not_found: ("InvalidVpcID.NotFound", "vpc ID"),
    filters: &[
        ("cidr", |vpc| vec![vpc.cidr.clone()]),
        ("cidr-block-association.cidr-block", |vpc| vec![vpc.cidr.clone()]),
        ("cidr-block-association.association-id", |vpc| vec![association(vpc)]),
        ("cidr-block-association.state", |_| vec!["associated".to_owned()]),
        ("dhcp-options-id", |vpc| vec![vpc.dhcp_options.clone()]),
        ("is-default", |vpc| vec![vpc.is_default.to_string()]),
        ("isDefault", |vpc| vec![vpc.is_default.to_string()]),
        ("owner-id", |vpc| vec![vpc.account.clone()]),
        ("state", |_| vec!["available".to_owned()]),
        ("vpc-id", |vpc| vec![vpc.id.clone()]),
    ],
    page: (5, 1000),
};

/// # Errors
/// `InvalidVpcID.NotFound`, and those of [`list::page`].
pub fn describe(context: &mut Context<'_>, request: DescribeVpcsRequest) -> Result<DescribeVpcsResult, Fault> {
    let prefix = format!("{}/", context.account());
    let all = {
        let state = context.read();
        state.vpcs.scan(&prefix).map(|(_, vpc)| vpc.as_ref().clone()).collect()
    };
    let asked = Asked {
        ids: request.vpc_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
        dry_run: request.dry_run,
    };
    let (vpcs, next_token) = list::page(context, &KIND, &asked, all)?;
    Ok(DescribeVpcsResult { vpcs: Some(vpcs.iter().map(shape).collect()), next_token })
}

/// The id of the association of a VPC with its only block.
fn association(vpc: &network::Vpc) -> String {
    vpc.id.replacen("vpc-", "vpc-cidr-assoc-", 1)
}

fn shape(vpc: &network::Vpc) -> Vpc {
    let associated = VpcCidrBlockState { state: Some(VpcCidrBlockStateCode::Associated), status_message: None };
    Vpc {
        vpc_id: Some(vpc.id.clone()),
        owner_id: Some(vpc.account.clone()),
        cidr_block: Some(vpc.cidr.clone()),
        cidr_block_association_set: Some(vec![VpcCidrBlockAssociation {
            association_id: Some(association(vpc)),
            cidr_block: Some(vpc.cidr.clone()),
            cidr_block_state: Some(associated),
        }]),
        dhcp_options_id: Some(vpc.dhcp_options.clone()),
        instance_tenancy: Some(Tenancy::Default),
        is_default: Some(vpc.is_default),
        state: Some(VpcState::Available),
        ..Vpc::default()
    }
}
