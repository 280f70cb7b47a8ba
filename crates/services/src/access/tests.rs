//! Every operation has its entry, and requests are judged on what they are carried out on.

use std::collections::{BTreeMap, BTreeSet};

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::iam::{Caller, Grants, Identity, User};
use longshore_model::policy::key_type;
use longshore_model::{AccountId, Change, Place, State};
use longshore_wire::{OperationDef, Timestamp, json};

use super::{Asked, NONE, TABLES, entry, needed};
use crate::SERVICES;

const ROLE: &str = "arn:aws:iam::111111111111:role/app";

fn place() -> Place {
    Place::new("us-east-1", &AccountId::parse("111111111111").unwrap())
}

/// A family `web` of revisions 1 and 2 with a role each, and a cluster `prod` with a tag.
fn state() -> State {
    let mut state = State::default();
    for revision in [1, 2] {
        let api = ecs::TaskDefinition {
            status: Some(ecs::TaskDefinitionStatus::Active),
            task_role_arn: Some(format!("{ROLE}{revision}")),
            execution_role_arn: Some("arn:aws:iam::111111111111:role/exec".to_owned()),
            ..Default::default()
        };
        let tags = vec![ecs::Tag { key: Some("team".to_owned()), value: Some("web".to_owned()) }];
        let row = TaskDefinition { account: "111111111111".to_owned(), family: "web".to_owned(), revision, api, tags };
        state.apply(&Change::from(row));
    }
    state
}

fn def(service: &str, operation: &str) -> &'static OperationDef {
    let service = SERVICES.iter().find(|one| one.def.name == service).unwrap();
    service.def.operation(operation).unwrap()
}

fn with_policy(name: &str, document: String) -> User {
    let inline = BTreeMap::from([("it".to_owned(), document)]);
    User {
        account: "111111111111".to_owned(),
        name: name.to_owned(),
        path: "/team/".to_owned(),
        id: "AIDA".to_owned(),
        created_at: Timestamp::from_millis(0),
        boundary: Some("arn:aws:iam::aws:policy/AdministratorAccess".to_owned()),
        tags: BTreeMap::new(),
        groups: Vec::new(),
        grants: Some(Grants { attached: Vec::new(), inline }),
    }
}

/// Each judgement as `ACTION RESOURCE KEY=VALUES…`, the account's key and tags left out.
fn judged(service: &str, operation: &str, body: &str) -> Vec<String> {
    let shape = def(service, operation).input.unwrap().get();
    let input = json::decode(body.replace('\'', "\"").as_bytes(), shape).unwrap();
    let (place, mut state) = (place(), state());
    state.apply(&Change::from(with_policy("ann", String::new())));
    let asked = Asked { place: &place, state: &state, input: &input, user: Some("ann") };
    let needed = needed(service, operation, &asked).unwrap();
    let line = |need: &super::Needed| {
        let keys =
            need.context.iter().filter(|(key, _)| *key != "aws:resourceaccount" && !key.starts_with("ecs:resourcetag"));
        let keys: String = keys.map(|(key, values)| format!(" {key}={}", values.join(","))).collect();
        format!("{} {}{keys}", need.action, need.resource)
    };
    needed.iter().map(line).collect()
}

fn check(service: &str, operation: &str, body: &str, wanted: &[&str]) {
    let wanted: Vec<String> = wanted
        .iter()
        .map(|line| line.replace("HERE", "us-east-1:111111111111").replace("ROLE", "arn:aws:iam::111111111111:role"))
        .collect();
    assert_eq!(judged(service, operation, body), wanted, "{operation} {body}");
}

#[test]
fn every_operation_has_an_entry_and_every_entry_an_operation() {
    for service in SERVICES {
        let Some(table) = TABLES.iter().find(|table| table.service == service.def.name) else {
            panic!("{} has no table", service.def.name);
        };
        let handled: BTreeSet<&str> = service.operations.iter().map(|one| one.name).collect();
        let listed: BTreeSet<&str> = table.operations.iter().map(|one| one.operation).collect();
        assert_eq!(listed.len(), table.operations.len(), "{}: an entry stands twice", table.service);
        let missing: Vec<_> = handled.difference(&listed).collect();
        assert!(missing.is_empty(), "{}: no entry for {missing:?}", table.service);
        let unknown: Vec<_> = listed.iter().filter(|name| service.def.operation(name).is_none()).collect();
        assert!(unknown.is_empty(), "{}: entries for no operation: {unknown:?}", table.service);
    }
}

#[test]
fn an_entry_begins_with_its_own_action_and_its_keys_are_known() {
    for table in TABLES {
        for access in table.operations.iter().filter(|access| !access.open) {
            let own = access.needs.first().unwrap_or_else(|| panic!("{} needs nothing", access.operation));
            // The only operation without an action of its own.
            let action = if access.operation == "ReEncrypt" { "ReEncryptFrom" } else { access.operation };
            assert_eq!(own.action, format!("{}:{action}", table.service));
            for key in access.needs.iter().flat_map(|need| need.keys) {
                let name = if key.name.ends_with(['/', ':']) { format!("{}x", key.name) } else { key.name.to_owned() };
                assert!(key_type(&name).is_some(), "{}: {name}", access.operation);
            }
        }
    }
    assert_eq!(NONE.form, "*");
    assert!(entry("ecs", "NoSuchOperation").is_none() && entry("s3", "GetObject").is_none());
    assert!(entry("sts", "GetCallerIdentity").unwrap().open);
}

#[test]
fn short_names_and_old_arns_are_judged_as_the_resource_they_mean() {
    let service = [
        "ecs:UpdateService arn:aws:ecs:HERE:service/prod/web ecs:cluster=arn:aws:ecs:HERE:cluster/prod ecs:enable-ebs-volumes=false",
    ];
    for given in [
        "'cluster':'prod','service':'web'",
        "'cluster':'arn:aws:ecs:us-east-1:111111111111:cluster/prod','service':'arn:aws:ecs:us-east-1:111111111111:service/web'",
        "'cluster':'prod','service':'arn:aws:ecs:us-east-1:111111111111:service/prod/web'",
    ] {
        check("ecs", "UpdateService", &format!("{{{given}}}"), &service);
    }
    check("ecs", "DescribeClusters", "{}", &["ecs:DescribeClusters arn:aws:ecs:HERE:cluster/default"]);
    check(
        "ecs",
        "DescribeTasks",
        "{'tasks':['a','arn:aws:ecs:us-east-1:111111111111:task/default/b','arn:aws:ecs:us-east-1:222222222222:task/x/c']}",
        &[
            "ecs:DescribeTasks arn:aws:ecs:HERE:task/default/a ecs:cluster=arn:aws:ecs:HERE:cluster/default",
            "ecs:DescribeTasks arn:aws:ecs:HERE:task/default/b ecs:cluster=arn:aws:ecs:HERE:cluster/default",
            "ecs:DescribeTasks arn:aws:ecs:HERE:task/default/* ecs:cluster=arn:aws:ecs:HERE:cluster/default",
        ],
    );
    check("ecs", "DescribeServices", "{}", &["ecs:DescribeServices * ecs:cluster=arn:aws:ecs:HERE:cluster/default"]);
    check("ecs", "ListClusters", "{}", &["ecs:ListClusters *"]);
    let tasks = "ecs:ListTasks arn:aws:ecs:HERE:container-instance/prod/* ecs:cluster=arn:aws:ecs:HERE:cluster/prod";
    check("ecs", "ListTasks", "{'cluster':'prod'}", &[tasks]);
}

#[test]
fn roles_that_are_passed_on_are_judged_by_the_revision_that_will_run() {
    let pass = |role: &str| format!("iam:PassRole ROLE/{role} iam:passedtoservice=ecs-tasks.amazonaws.com");
    let run = "ecs:RunTask arn:aws:ecs:HERE:task-definition/web:2 aws:resourcetag/team=web \
               ecs:cluster=arn:aws:ecs:HERE:cluster/default ecs:enable-ebs-volumes=false";
    check("ecs", "RunTask", "{'taskDefinition':'web'}", &[run, &pass("app2"), &pass("exec")]);
    check(
        "ecs",
        "RunTask",
        "{'taskDefinition':'web:1','overrides':{'taskRoleArn':'other'}}",
        &[&run.replace("web:2", "web:1"), &pass("app1"), &pass("exec"), &pass("other")],
    );
    let service = |action: &str, revision: &str| {
        format!(
            "ecs:{action} arn:aws:ecs:HERE:service/default/s ecs:cluster=arn:aws:ecs:HERE:cluster/default \
             ecs:enable-ebs-volumes=false{revision}"
        )
    };
    let second = " ecs:task-definition=arn:aws:ecs:HERE:task-definition/web:2";
    let to_ecs = "iam:PassRole ROLE/lb iam:passedtoservice=ecs.amazonaws.com";
    check(
        "ecs",
        "CreateService",
        "{'serviceName':'s','taskDefinition':'web','role':'lb'}",
        &[&service("CreateService", second), &pass("app2"), &pass("exec"), to_ecs],
    );
    check(
        "ecs",
        "UpdateService",
        "{'service':'s','taskDefinition':'web:1'}",
        &[&service("UpdateService", &second.replace("web:2", "web:1")), &pass("app1"), &pass("exec")],
    );
    // What the service runs by already is passed by nobody.
    for unchanged in ["{'service':'s','desiredCount':3}", "{'service':'s','forceNewDeployment':true}"] {
        check("ecs", "UpdateService", unchanged, &[&service("UpdateService", "")]);
    }
    check(
        "ecs",
        "RegisterTaskDefinition",
        "{'family':'web','taskRoleArn':'app','executionRoleArn':'arn:aws:iam::222222222222:role/exec','cpu':'.5 vCPU',
          'memory':'1024','requiresCompatibilities':['FARGATE'],'containerDefinitions':[{'privileged':true}]}",
        &[
            "ecs:RegisterTaskDefinition arn:aws:ecs:HERE:task-definition/web:* ecs:compute-compatibility=FARGATE \
             ecs:privileged=true ecs:task-cpu=512 ecs:task-memory=1024",
            &pass("app"),
            "iam:PassRole arn:aws:iam::222222222222:role/exec iam:passedtoservice=ecs-tasks.amazonaws.com",
        ],
    );
}

#[test]
fn tags_of_a_request_and_what_is_made_with_them_are_judged() {
    let tags = "aws:requesttag/team=web aws:tagkeys=team";
    check(
        "ecs",
        "CreateCluster",
        "{'clusterName':'prod','capacityProviders':['FARGATE'],'tags':[{'key':'team','value':'web'}]}",
        &[
            &format!(
                "ecs:CreateCluster arn:aws:ecs:HERE:cluster/prod {tags} \
                 ecs:capacity-provider=arn:aws:ecs:HERE:capacity-provider/FARGATE"
            ),
            &format!("ecs:TagResource arn:aws:ecs:HERE:cluster/prod {tags} ecs:createaction=CreateCluster"),
        ],
    );
    check(
        "logs",
        "CreateLogGroup",
        "{'logGroupName':'/ecs/web','tags':{'team':'web'}}",
        &[
            &format!("logs:CreateLogGroup arn:aws:logs:HERE:log-group:/ecs/web:log-stream: {tags}"),
            &format!("logs:TagResource arn:aws:logs:HERE:log-group:/ecs/web {tags}"),
        ],
    );
    check(
        "ecs",
        "UntagResource",
        "{'resourceArn':'arn:aws:ecs:us-east-1:111111111111:cluster/prod','tagKeys':['team']}",
        &["ecs:UntagResource arn:aws:ecs:HERE:cluster/prod aws:tagkeys=team"],
    );
}

#[test]
fn groups_and_streams_are_judged_by_awss_forms() {
    let stream = "'logGroupName':'a','logStreamName':'s/1'";
    check(
        "logs",
        "PutLogEvents",
        &format!("{{{stream}}}"),
        &["logs:PutLogEvents arn:aws:logs:HERE:log-group:a:log-stream:s/1"],
    );
    check("logs", "DescribeLogGroups", "{}", &["logs:DescribeLogGroups arn:aws:logs:HERE:log-group::log-stream:"]);
    let events = &["logs:FilterLogEvents arn:aws:logs:HERE:log-group:a:log-stream:"];
    check(
        "logs",
        "FilterLogEvents",
        "{'logGroupIdentifier':'arn:aws:logs:us-east-1:111111111111:log-group:a'}",
        events,
    );
    check(
        "logs",
        "ListTagsForResource",
        "{'resourceArn':'arn:aws:logs:us-east-1:111111111111:log-group:a'}",
        &["logs:ListTagsForResource arn:aws:logs:HERE:log-group:a"],
    );
}

#[test]
fn a_role_is_asked_for_with_what_its_trust_policy_looks_at() {
    check(
        "sts",
        "AssumeRole",
        "{'RoleArn':'arn:aws:iam::222222222222:role/x','RoleSessionName':'s','ExternalId':'e'}",
        &["sts:AssumeRole arn:aws:iam::222222222222:role/x sts:externalid=e sts:rolesessionname=s"],
    );
    check("sts", "GetCallerIdentity", "{}", &[]);
}

#[test]
fn the_first_judgement_against_a_caller_is_told() {
    let user = "arn:aws:iam::111111111111:user/ann";
    let shape = def("ecs", "RunTask").input.unwrap().get();
    let input = json::decode(br#"{"taskDefinition":"web","cluster":"prod"}"#, shape).unwrap();
    let place = place();
    let (name, path, id) = ("ann".to_owned(), "/".to_owned(), "AIDA".to_owned());
    let identity = Identity::User { name, path, id, tags: BTreeMap::new() };
    let caller = Caller { account: place.account.clone(), access_key: String::new(), identity, claims: None };
    let told = |statements: &str, operation: &str| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#).replace('\'', "\"");
        let mut state = state();
        state.apply(&Change::from(with_policy("ann", text)));
        let asked = Asked { place: &place, state: &state, input: &input, user: Some("ann") };
        super::judge("ecs", operation, &asked, &caller, &caller.context())
    };
    let run = "{'Effect':'Allow','Action':'ecs:RunTask','Resource':'arn:aws:ecs:*:*:task-definition/web:*',
                'Condition':{'ArnEquals':{'ecs:cluster':'arn:aws:ecs:us-east-1:111111111111:cluster/prod'}}}";
    let pass = |role: &str| {
        format!(
            "{{'Effect':'Allow','Action':'iam:PassRole','Resource':'{ROLE}{role}',
               'Condition':{{'StringEquals':{{'iam:PassedToService':'ecs-tasks.amazonaws.com'}}}}}}"
        )
    };
    let exec = "{'Effect':'Allow','Action':'iam:PassRole','Resource':'arn:aws:iam::111111111111:role/exec'}";
    let denied = |action: &str, resource: &str| {
        Err(format!(
            "User: {user} is not authorized to perform: {action} on resource: {resource} because no identity-based \
             policy allows the {action} action"
        ))
    };
    assert_eq!(told(&[run, &pass("2"), exec].join(","), "RunTask"), Ok(()));
    assert_eq!(told(&[run, &pass("1"), exec].join(","), "RunTask"), denied("iam:PassRole", &format!("{ROLE}2")));
    assert_eq!(
        told(&run.replace("cluster/prod", "cluster/test"), "RunTask"),
        denied("ecs:RunTask", "arn:aws:ecs:us-east-1:111111111111:task-definition/web:2")
    );
    let unlisted = told("{'Effect':'Allow','Action':'*','Resource':'*'}", "NoSuchOperation");
    assert_eq!(unlisted, Err(format!("User: {user} is not authorized to perform: ecs:NoSuchOperation on resource: *")));
}

#[test]
fn entities_are_judged_by_the_arn_they_have() {
    let iam = |operation: &str, body: &str, wanted: &[&str]| check("iam", operation, body, wanted);
    iam("GetUser", "{}", &["iam:GetUser arn:aws:iam::111111111111:user/team/ann"]);
    iam("GetUser", "{'UserName':'ANN'}", &["iam:GetUser arn:aws:iam::111111111111:user/team/ann"]);
    iam("GetUser", "{'UserName':'bob'}", &["iam:GetUser arn:aws:iam::111111111111:user/bob"]);
    iam("ListUsers", "{}", &["iam:ListUsers *"]);
    iam("CreateRole", "{'RoleName':'x','Path':'/a/'}", &["iam:CreateRole ROLE/a/x"]);
    iam(
        "UpdateUser",
        "{'UserName':'ann','NewUserName':'eve'}",
        &[
            "iam:UpdateUser arn:aws:iam::111111111111:user/team/ann",
            "iam:UpdateUser arn:aws:iam::111111111111:user/team/eve",
        ],
    );
    iam(
        "AttachUserPolicy",
        "{'UserName':'ann','PolicyArn':'arn:aws:iam::aws:policy/AdministratorAccess'}",
        &["iam:AttachUserPolicy arn:aws:iam::111111111111:user/team/ann \
           iam:permissionsboundary=arn:aws:iam::aws:policy/AdministratorAccess \
           iam:policyarn=arn:aws:iam::aws:policy/AdministratorAccess"],
    );
    iam(
        "AddRoleToInstanceProfile",
        "{'InstanceProfileName':'p','RoleName':'r'}",
        &[
            "iam:AddRoleToInstanceProfile arn:aws:iam::111111111111:instance-profile/p",
            "iam:PassRole ROLE/r iam:passedtoservice=ec2.amazonaws.com",
        ],
    );
}

#[test]
fn parameters_are_judged_by_their_name_however_they_are_named() {
    let ssm = |operation: &str, body: &str, wanted: &[&str]| check("ssm", operation, body, wanted);
    let get = &["ssm:GetParameter arn:aws:ssm:HERE:parameter/a/b"];
    for name in ["/a/b", "/a/b:3", "/a/b:live", "arn:aws:ssm:us-east-1:111111111111:parameter/a/b:3"] {
        ssm("GetParameter", &format!("{{'Name':'{name}'}}"), get);
    }
    ssm("GetParameter", "{'Name':'a b'}", &["ssm:GetParameter arn:aws:ssm:HERE:parameter/*"]);
    let foreign = "arn:aws:ssm:us-east-1:222222222222:parameter/a";
    ssm(
        "GetParameters",
        &format!("{{'Names':['x','/x/y','{foreign}']}}"),
        &[
            "ssm:GetParameters arn:aws:ssm:HERE:parameter/x",
            "ssm:GetParameters arn:aws:ssm:HERE:parameter/x/y",
            &format!("ssm:GetParameters {foreign}"),
        ],
    );
    let path = &["ssm:GetParametersByPath arn:aws:ssm:HERE:parameter/a/ ssm:recursive=true"];
    ssm("GetParametersByPath", "{'Path':'/a/','Recursive':true}", path);
    ssm("DescribeParameters", "{}", &["ssm:DescribeParameters arn:aws:ssm:HERE:*"]);
    ssm(
        "PutParameter",
        "{'Name':'/a','Value':'v','Tags':[{'Key':'team','Value':'web'}]}",
        &[
            "ssm:PutParameter arn:aws:ssm:HERE:parameter/a aws:requesttag/team=web aws:tagkeys=team ssm:overwrite=false",
            "ssm:AddTagsToResource arn:aws:ssm:HERE:parameter/a aws:requesttag/team=web aws:tagkeys=team",
        ],
    );
    ssm(
        "RemoveTagsFromResource",
        "{'ResourceType':'Parameter','ResourceId':'/a','TagKeys':['team']}",
        &["ssm:RemoveTagsFromResource arn:aws:ssm:HERE:parameter/a aws:tagkeys=team"],
    );
}

#[test]
fn secrets_and_keys_are_judged_by_their_whole_arn_and_what_they_are_used_for() {
    use crate::logs::testing::Bench;
    let bench = Bench::new();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(&text.replace('\'', "\"")).unwrap();
    let call = |service, operation: &str, text: &str| bench.of(service, operation, json(text)).unwrap();
    let key = call(&crate::kms::SERVICE, "CreateKey", "{}")["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    call(&crate::kms::SERVICE, "CreateAlias", &format!("{{'AliasName':'alias/app','TargetKeyId':'{key}'}}"));
    let sealed = call(&crate::kms::SERVICE, "Encrypt", &format!("{{'KeyId':'{key}','Plaintext':'eA=='}}"));
    let made = "{'Name':'a/b','SecretString':'x','KmsKeyId':'alias/app','Tags':[{'Key':'team','Value':'web'}]}";
    let arn = call(&crate::secretsmanager::SERVICE, "CreateSecret", made)["ARN"].as_str().unwrap().to_owned();
    let key = format!("arn:aws:kms:us-east-1:123456789012:key/{key}");
    let judged = |service: &str, operation: &str, text: &str| {
        let shape = def(service, operation).input.unwrap().get();
        let input = json::decode(text.replace('\'', "\"").as_bytes(), shape).unwrap();
        let (place, state) = (Place::new("us-east-1", &bench.account), bench.store.read());
        let asked = Asked { place: &place, state: &state, input: &input, user: None };
        let needed = needed(service, operation, &asked).unwrap();
        needed.into_iter().map(|need| (format!("{} {}", need.action, need.resource), need.context)).collect::<Vec<_>>()
    };
    let lines = |judged: &[(String, _)]| judged.iter().map(|(line, _): &(String, _)| line.clone()).collect::<Vec<_>>();
    for given in ["a/b", &arn, arn.rsplit_once('-').unwrap().0] {
        let judged = judged("secretsmanager", "GetSecretValue", &format!("{{'SecretId':'{given}'}}"));
        assert_eq!(lines(&judged), [format!("secretsmanager:GetSecretValue {arn}"), format!("kms:Decrypt {key}")]);
        assert_eq!(judged[0].1.get("secretsmanager:ResourceTag/team"), Some(&["web".to_owned()][..]));
        assert_eq!(judged[1].1.get("kms:EncryptionContext:SecretARN"), Some(std::slice::from_ref(&arn)));
    }
    let none = judged("secretsmanager", "DescribeSecret", "{'SecretId':'none'}");
    let form = "arn:aws:secretsmanager:us-east-1:123456789012:secret:none-??????";
    assert_eq!(lines(&none), [format!("secretsmanager:DescribeSecret {form}")]);
    let made = judged("secretsmanager", "CreateSecret", "{'Name':'none','Tags':[{'Key':'team','Value':'web'}]}");
    let wanted = [format!("secretsmanager:CreateSecret {form}"), format!("secretsmanager:TagResource {form}")];
    assert_eq!(lines(&made), wanted);
    let described = judged("secretsmanager", "UpdateSecret", "{'SecretId':'a/b','Description':'x'}");
    assert_eq!(lines(&described), [format!("secretsmanager:UpdateSecret {arn}")]);
    let blob = sealed["CiphertextBlob"].as_str().unwrap();
    let opened =
        judged("kms", "Decrypt", &format!("{{'CiphertextBlob':'{blob}','EncryptionContext':{{'app':'web'}}}}"));
    assert_eq!(lines(&opened), [format!("kms:Decrypt {key}")]);
    assert_eq!(opened[0].1.get("kms:EncryptionContext:app"), Some(&["web".to_owned()][..]));
    assert_eq!(lines(&judged("kms", "Decrypt", "{'CiphertextBlob':'eA=='}")), ["kms:Decrypt *"]);
    let asked = "'GranteePrincipal':'arn:aws:iam::123456789012:user/ann','Operations':['Decrypt']";
    let grant = call(&crate::kms::SERVICE, "CreateGrant", &format!("{{'KeyId':'{key}',{asked}}}"));
    let (id, token) = (grant["GrantId"].as_str().unwrap(), grant["GrantToken"].as_str().unwrap());
    for named in [format!("'GrantToken':'{token}'"), format!("'KeyId':'{key}','GrantId':'{id}'")] {
        let retired = judged("kms", "RetireGrant", &format!("{{{named}}}"));
        assert_eq!(lines(&retired), [format!("kms:RetireGrant {key}")]);
        assert_eq!(retired[0].1.get("longshore:GrantId"), Some(&[id.to_owned()][..]));
    }
    let nobodys = judged("kms", "RetireGrant", "{'GrantToken':'x'}");
    assert_eq!(lines(&nobodys), ["kms:RetireGrant arn:aws:kms:us-east-1:123456789012:key/*"]);
    assert_eq!(lines(&judged("kms", "ListRetirableGrants", "{}")), ["kms:ListRetirableGrants *"]);
    let deleted = judged("kms", "DeleteAlias", "{'AliasName':'alias/app'}");
    let alias = "arn:aws:kms:us-east-1:123456789012:alias/app";
    assert_eq!(lines(&deleted), [format!("kms:DeleteAlias {alias}"), format!("kms:DeleteAlias {key}")]);
}

#[test]
fn load_balancing_is_judged_by_arn_and_what_is_made_without_an_id() {
    let elb = "elasticloadbalancing";
    let balancer = "arn:aws:elasticloadbalancing:us-east-1:111111111111:loadbalancer/app/web/1";
    check(
        elb,
        "CreateLoadBalancer",
        "{'Name':'web','Subnets':['subnet-1'],'SubnetMappings':[{'SubnetId':'subnet-2'}],'Scheme':'internal',
          'Tags':[{'Key':'team','Value':'web'}]}",
        &[
            "elasticloadbalancing:CreateLoadBalancer arn:aws:elasticloadbalancing:HERE:loadbalancer/app/web/* \
             aws:requesttag/team=web aws:tagkeys=team elasticloadbalancing:scheme=internal \
             elasticloadbalancing:subnet=subnet-1,subnet-2",
            "elasticloadbalancing:AddTags arn:aws:elasticloadbalancing:HERE:loadbalancer/app/web/* \
             aws:requesttag/team=web aws:tagkeys=team elasticloadbalancing:createaction=CreateLoadBalancer",
        ],
    );
    check(
        elb,
        "CreateListener",
        &format!("{{'LoadBalancerArn':'{balancer}','Protocol':'HTTP','Tags':[{{'Key':'a','Value':'b'}}]}}"),
        &[
            "elasticloadbalancing:CreateListener arn:aws:elasticloadbalancing:HERE:loadbalancer/app/web/1 \
             aws:requesttag/a=b aws:tagkeys=a elasticloadbalancing:listenerprotocol=HTTP",
            "elasticloadbalancing:AddTags arn:aws:elasticloadbalancing:HERE:listener/app/web/1/* aws:requesttag/a=b \
             aws:tagkeys=a elasticloadbalancing:createaction=CreateListener",
        ],
    );
    let group = "elasticloadbalancing:CreateTargetGroup arn:aws:elasticloadbalancing:HERE:targetgroup/g/*";
    check(elb, "CreateTargetGroup", "{'Name':'g'}", &[group]);
    check(
        elb,
        "SetRulePriorities",
        "{'RulePriorities':[{'RuleArn':'one','Priority':1},{'RuleArn':'two','Priority':2}]}",
        &["elasticloadbalancing:SetRulePriorities one", "elasticloadbalancing:SetRulePriorities two"],
    );
    check(
        elb,
        "RemoveTags",
        "{'ResourceArns':['one'],'TagKeys':['a']}",
        &["elasticloadbalancing:RemoveTags one aws:tagkeys=a"],
    );
    check(elb, "DescribeTargetHealth", "{'TargetGroupArn':'g'}", &["elasticloadbalancing:DescribeTargetHealth *"]);
}

#[test]
fn certificates_are_judged_by_their_arns_and_requests_by_what_they_ask_for() {
    let arn = "arn:aws:acm:us-east-1:111111111111:certificate/a";
    let asked = [
        "acm:RequestCertificate * acm:certificatetransparencylogging=ENABLED acm:domainnames=a.test,b.test \
         acm:export=DISABLED acm:keyalgorithm=RSA_2048 acm:validationmethod=DNS aws:requesttag/t=w aws:tagkeys=t",
        "acm:AddTagsToCertificate arn:aws:acm:HERE:certificate/* aws:requesttag/t=w aws:tagkeys=t",
    ];
    let input = "{'DomainName':'a.test','SubjectAlternativeNames':['b.test'],'ValidationMethod':'DNS',\
                  'Tags':[{'Key':'t','Value':'w'}]}";
    check("acm", "RequestCertificate", input, &asked);
    let named = format!("{{'CertificateArn':'{arn}'}}");
    check("acm", "DeleteCertificate", &named, &["acm:DeleteCertificate arn:aws:acm:HERE:certificate/a"]);
    check("acm", "ImportCertificate", "{}", &["acm:ImportCertificate arn:aws:acm:HERE:certificate/*"]);
    check("acm", "ImportCertificate", &named, &["acm:ImportCertificate arn:aws:acm:HERE:certificate/a"]);
    check("acm", "ListCertificates", "{}", &["acm:ListCertificates *"]);
}
