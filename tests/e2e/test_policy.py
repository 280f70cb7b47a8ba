"""What policies that name resources, tags and roles allow, and how a refusal reads."""

import json

import pytest
from account import container, fargate, unique
from test_identity import ACCOUNT, TASKS, allow, role, root, user

HERE = f"us-east-1:{ACCOUNT}"
IMAGE = {"name": "app", "image": "example.test/app:1", "memory": 128}


def refusal(bearer, action, resource, why=None):
    """The sentence that denies."""
    why = why or f"because no identity-based policy allows the {action} action"
    arn = bearer.client("sts").get_caller_identity()["Arn"]
    return f"User: {arn} is not authorized to perform: {action} on resource: {resource} {why}"


def test_a_statement_holds_for_the_resources_it_names(strict):
    mine, other = unique(), unique()
    _, bearer = user(strict, allow("ecs:*", resource=f"arn:aws:ecs:{HERE}:cluster/{mine}"))
    ecs = bearer.client("ecs")
    assert ecs.create_cluster(clusterName=mine)["cluster"]["clusterName"] == mine
    code, status, told = bearer.refused("ecs", "create_cluster", clusterName=other)
    assert (code, status) == ("AccessDeniedException", 400)
    assert told == refusal(bearer, "ecs:CreateCluster", f"arn:aws:ecs:{HERE}:cluster/{other}")
    arn = f"arn:aws:ecs:{HERE}:cluster/{mine}"
    assert ecs.describe_clusters(clusters=[mine])["clusters"] == ecs.describe_clusters(clusters=[arn])["clusters"]
    assert bearer.refused("ecs", "describe_clusters", clusters=[mine, other])[0] == "AccessDeniedException"
    assert bearer.refused("ecs", "list_clusters")[2] == refusal(bearer, "ecs:ListClusters", "*")


def test_groups_and_streams_are_named_as_in_awss_guide(strict):
    mine, other = f"/e2e/{unique()}", f"/e2e/{unique()}"
    _, bearer = user(strict, allow("logs:*", resource=f"arn:aws:logs:{HERE}:log-group:{mine}:*"))
    logs = bearer.client("logs")
    logs.create_log_group(logGroupName=mine)
    logs.create_log_stream(logGroupName=mine, logStreamName="s")
    assert logs.describe_log_streams(logGroupName=mine)["logStreams"][0]["logStreamName"] == "s"
    told = bearer.refused("logs", "create_log_group", logGroupName=other)[2]
    assert told == refusal(bearer, "logs:CreateLogGroup", f"arn:aws:logs:{HERE}:log-group:{other}:log-stream:")


def test_a_role_is_passed_by_those_who_may(strict):
    mine, other = role(strict, TASKS), role(strict, TASKS)
    passing = {"Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}}
    _, bearer = user(strict, allow("ecs:*"), allow("iam:PassRole", resource=mine, **passing))
    family = unique()
    ecs = bearer.client("ecs")
    ecs.register_task_definition(family=family, taskRoleArn=mine, containerDefinitions=[IMAGE])
    asked = {"family": family, "taskRoleArn": other, "containerDefinitions": [IMAGE]}
    assert bearer.refused("ecs", "register_task_definition", **asked)[2] == refusal(bearer, "iam:PassRole", other)
    root(strict).client("ecs").register_task_definition(**asked)
    told = bearer.refused("ecs", "run_task", taskDefinition=family)[2]
    assert told == refusal(bearer, "iam:PassRole", other)
    told = bearer.refused("ecs", "run_task", taskDefinition=f"{family}:1", overrides={"executionRoleArn": other})[2]
    assert told == refusal(bearer, "iam:PassRole", other)
    told = bearer.refused("ecs", "create_service", serviceName="s", taskDefinition=family, desiredCount=0)[2]
    assert told == refusal(bearer, "iam:PassRole", other)


def test_a_service_passes_the_roles_of_what_it_is_told_to_run(strict):
    mine, other, family, name = role(strict, TASKS), role(strict, TASKS), unique(), unique()
    admin = root(strict).client("ecs")
    for given in (mine, other):
        admin.register_task_definition(**fargate(container(), family=family, taskRoleArn=given))
    admin.create_cluster(clusterName="default")
    made = {"serviceName": name, "desiredCount": 0, "launchType": "FARGATE", "networkConfiguration": strict.network()}

    def passing(service):
        condition = {"Condition": {"StringEquals": {"iam:PassedToService": service}}}
        return user(strict, allow("ecs:*"), allow("iam:PassRole", resource=mine, **condition))[1]

    bearer, stranger = passing("ecs-tasks.amazonaws.com"), passing("ec2.amazonaws.com")
    to_tasks = refusal(stranger, "iam:PassRole", mine)
    assert stranger.refused("ecs", "create_service", taskDefinition=f"{family}:1", **made)[2] == to_tasks
    # A role of the service's own is passed to ECS, not to its tasks.
    told = bearer.refused("ecs", "create_service", taskDefinition=f"{family}:1", role=mine, **made)[2]
    assert told == refusal(bearer, "iam:PassRole", mine)
    ecs = bearer.client("ecs")
    ecs.create_service(taskDefinition=f"{family}:1", **made)
    for revision in (family, f"{family}:2"):
        told = bearer.refused("ecs", "update_service", service=name, taskDefinition=revision)[2]
        assert told == refusal(bearer, "iam:PassRole", other)
    assert stranger.refused("ecs", "update_service", service=name, taskDefinition=f"{family}:1")[2] == to_tasks
    assert ecs.update_service(service=name, taskDefinition=f"{family}:1")["service"]["serviceName"] == name
    # What it runs by already is passed by nobody.
    stranger.client("ecs").update_service(service=name, forceNewDeployment=True)
    definition = admin.describe_services(services=[name])["services"][0]["taskDefinition"]
    assert definition.endswith(f"{family}:1")


def test_tags_of_a_request_and_of_a_resource_decide(strict):
    tagged = {"Condition": {"StringEquals": {"aws:RequestTag/team": "web"},
                            "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}}
    owned = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team, 'web'}"}}}
    _, bearer = user(strict, allow("ecs:CreateCluster", "ecs:TagResource", **tagged), allow("ecs:DeleteCluster", **owned))
    ecs, name = bearer.client("ecs"), unique()
    assert bearer.refused("ecs", "create_cluster", clusterName=name)[0] == "AccessDeniedException"
    more = [{"key": "team", "value": "web"}, {"key": "cost", "value": "1"}]
    assert bearer.refused("ecs", "create_cluster", clusterName=name, tags=more)[0] == "AccessDeniedException"
    ecs.create_cluster(clusterName=name, tags=more[:1])
    foreign = unique()
    root(strict).client("ecs").create_cluster(clusterName=foreign, tags=[{"key": "team", "value": "db"}])
    assert bearer.refused("ecs", "delete_cluster", cluster=foreign)[0] == "AccessDeniedException"
    ecs.delete_cluster(cluster=name)


def test_an_explicit_deny_says_where_it_stands(strict):
    deny = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "iam:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iam:*", "Resource": f"arn:aws:iam::{ACCOUNT}:user/locked/*"}]}
    locked, _ = user(strict, path="/locked/")
    free, _ = user(strict)
    _, bearer = user(strict, deny)
    assert bearer.client("iam").get_user(UserName=free)["User"]["UserName"] == free
    why = "with an explicit deny in an identity-based policy"
    code, status, told = bearer.refused("iam", "get_user", UserName=locked)
    assert (code, status) == ("AccessDenied", 403)
    assert told == refusal(bearer, "iam:GetUser", f"arn:aws:iam::{ACCOUNT}:user/locked/{locked}", why)
    moved = bearer.refused("iam", "update_user", UserName=free, NewPath="/locked/")
    assert moved[2] == refusal(bearer, "iam:UpdateUser", f"arn:aws:iam::{ACCOUNT}:user/locked/{free}", why)


def test_a_policy_that_is_not_understood_is_refused_in_awss_words(strict):
    iam, name = root(strict).client("iam"), user(strict)[0]
    for change, wanted in [
        ({"Version": "2012-10-18"}, "Policy document must be version 2012-10-17 or greater."),
        ({"Principal": "*"}, "Policy document should not specify a principal."),
        ({"Action": "RunTask"}, "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."),
        ({"Resource": "prod"}, 'Resource prod must be in ARN format or "*".'),
        ({"Condition": {"StringSame": {"aws:username": "x"}}}, "Syntax errors in policy."),
    ]:
        version = change.pop("Version", "2012-10-17")
        statement = {"Effect": "Allow", "Action": "ecs:*", "Resource": "*"} | change
        document = json.dumps({"Version": version, "Statement": statement})
        with pytest.raises(iam.exceptions.MalformedPolicyDocumentException, match=wanted.replace("*", ".")):
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
