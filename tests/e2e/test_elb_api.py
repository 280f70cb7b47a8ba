"""Elastic Load Balancing's control side, by boto3 and the AWS CLI: from nothing to a load balancer with rules and back."""

import json
import re

import botocore.exceptions
import pytest

from account import eventually, unique
from test_identity import ACCOUNT, allow, root, user

HERE = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def elb(strict):
    return root(strict).client("elbv2")


@pytest.fixture(scope="module")
def subnets(strict):
    found = root(strict).client("ec2").describe_subnets()["Subnets"]
    return sorted(found, key=lambda subnet: subnet["AvailabilityZone"])


def made(elb, subnets):
    """A load balancer with a listener that forwards to a group."""
    name = unique()
    balancer = elb.create_load_balancer(Name=name, Subnets=[subnet["SubnetId"] for subnet in subnets])["LoadBalancers"][0]
    group = elb.create_target_group(
        Name=name, Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"], TargetType="ip", HealthCheckPath="/actuator/status",
    )["TargetGroups"][0]
    listener = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )["Listeners"][0]
    return balancer, group, listener


def states(elb, group):
    health = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"]["Reason"]) for one in health}


def refused(call, **request):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"]


def test_the_guides_walk_by_the_cli(strict, subnets):
    def aws(*words):
        return strict.aws("elbv2", *words)

    name, ids = unique(), [subnet["SubnetId"] for subnet in subnets]
    balancer = aws("create-load-balancer", "--name", name, "--subnets", *ids, "--tags", "Key=team,Value=web")["LoadBalancers"][0]
    arn = balancer["LoadBalancerArn"]
    assert re.fullmatch(f"{HERE}:loadbalancer/app/{name}/[0-9a-f]{{16}}", arn)
    number = arn.rsplit("/", 1)[1]
    assert balancer["DNSName"] == f"{name}-{number}.us-east-1.elb.localhost"
    assert balancer["Scheme"] == "internet-facing" and balancer["Type"] == "application"
    assert balancer["IpAddressType"] == "ipv4" and len(balancer["AvailabilityZones"]) == len(subnets)
    for waiter in ("load-balancer-exists", "load-balancer-available"):
        aws("wait", waiter, "--load-balancer-arns", arn)
    group = aws(
        "create-target-group", "--name", name, "--protocol", "HTTP", "--port", "80", "--vpc-id", subnets[0]["VpcId"],
        "--target-type", "ip", "--health-check-path", "/actuator/status",
    )["TargetGroups"][0]["TargetGroupArn"]
    address = subnets[0]["CidrBlock"].split("/")[0].rsplit(".", 1)[0] + ".200"
    aws("register-targets", "--target-group-arn", group, "--targets", f"Id={address},Port=8080")
    listener = aws(
        "create-listener", "--load-balancer-arn", arn, "--protocol", "HTTP", "--port", "80",
        "--default-actions", f"Type=forward,TargetGroupArn={group}",
    )["Listeners"][0]["ListenerArn"]
    rule = aws(
        "create-rule", "--listener-arn", listener, "--priority", "10",
        "--conditions", "Field=path-pattern,Values=/old/*",
        "--actions", json.dumps([{"Type": "redirect", "RedirectConfig": {"Path": "/new", "StatusCode": "HTTP_301"}}]),
    )["Rules"][0]
    assert rule["Actions"][0]["RedirectConfig"]["Host"] == "#{host}"
    rules = aws("describe-rules", "--listener-arn", listener)["Rules"]
    assert [one["Priority"] for one in rules] == ["10", "default"] and rules[1]["IsDefault"]
    aws("wait", "target-in-service", "--target-group-arn", group)
    health = aws("describe-target-health", "--target-group-arn", group)["TargetHealthDescriptions"]
    assert health == [{
        "Target": {"Id": address, "Port": 8080, "AvailabilityZone": subnets[0]["AvailabilityZone"]},
        "HealthCheckPort": "8080",
        "TargetHealth": {"State": "healthy"},
    }]
    tags = aws("describe-tags", "--resource-arns", arn)["TagDescriptions"]
    assert tags == [{"ResourceArn": arn, "Tags": [{"Key": "team", "Value": "web"}]}]
    used = strict.aws("elbv2", "delete-target-group", "--target-group-arn", group, check=False)
    assert used.returncode != 0 and "(ResourceInUse)" in used.stderr
    attributes = "Key=deregistration_delay.timeout_seconds,Value=1"
    aws("modify-target-group-attributes", "--target-group-arn", group, "--attributes", attributes)
    aws("deregister-targets", "--target-group-arn", group, "--targets", f"Id={address},Port=8080")
    aws("wait", "target-deregistered", "--target-group-arn", group, "--targets", f"Id={address},Port=8080")
    aws("delete-rule", "--rule-arn", rule["RuleArn"])
    aws("delete-load-balancer", "--load-balancer-arn", arn)
    aws("wait", "load-balancers-deleted", "--load-balancer-arns", arn)
    aws("delete-target-group", "--target-group-arn", group)


def test_what_was_answered_survives_a_kill(fresh):
    instance = fresh("--engine", "simulated")
    elb = root(instance).client("elbv2")
    subnets = root(instance).client("ec2").describe_subnets()["Subnets"]
    balancer, group, listener = made(elb, subnets)
    rule = elb.create_rule(
        ListenerArn=listener["ListenerArn"], Priority=3,
        Conditions=[
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}},
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}]}},
        ],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503", "MessageBody": "later"}}],
    )["Rules"][0]
    address = subnets[0]["CidrBlock"].split("/")[0].rsplit(".", 1)[0] + ".200"
    elb.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": address}])
    elb.deregister_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": address}])
    instance.kill()
    instance.start()
    elb = root(instance).client("elbv2")
    assert elb.describe_load_balancers()["LoadBalancers"] == [balancer]
    assert elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"] == [listener]
    assert elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"][0] == rule
    known = elb.describe_target_groups()["TargetGroups"]
    assert known == [group | {"LoadBalancerArns": [balancer["LoadBalancerArn"]]}]
    assert states(elb, group["TargetGroupArn"]) == {address: ("draining", "Target.DeregistrationInProgress")}
    # The address of the one that was there is not given to another.
    other = elb.create_load_balancer(Name=unique(), Subnets=[one["SubnetId"] for one in subnets])["LoadBalancers"][0]
    addresses = {one["AvailabilityZones"][0]["LoadBalancerAddresses"][0]["IpAddress"] for one in (balancer, other)}
    assert len(addresses) == 2


def test_a_drained_target_goes_by_itself(elb, subnets):
    _, group, _ = made(elb, subnets)
    group = group["TargetGroupArn"]
    address = subnets[1]["CidrBlock"].split("/")[0].rsplit(".", 1)[0] + ".200"
    delay = [{"Key": "deregistration_delay.timeout_seconds", "Value": "1"}]
    elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=delay)
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": address}])
    elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": address}])
    assert eventually(lambda: states(elb, group) == {})


def test_pages_of_every_list(elb, subnets):
    balancer, group, listener = made(elb, subnets)
    for port in range(81, 85):
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=port,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
        )
    for priority in range(1, 6):
        elb.create_rule(
            ListenerArn=listener["ListenerArn"], Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [f"/{priority}"]}],
            Actions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )
    of = {"LoadBalancerArn": balancer["LoadBalancerArn"]}
    for operation, key, request, least in (
        ("describe_load_balancers", "LoadBalancers", {}, 1),
        ("describe_target_groups", "TargetGroups", {}, 1),
        ("describe_listeners", "Listeners", of, 5),
        ("describe_rules", "Rules", {"ListenerArn": listener["ListenerArn"]}, 6),
        ("describe_ssl_policies", "SslPolicies", {}, 10),
        ("describe_account_limits", "Limits", {}, 10),
    ):
        call = getattr(elb, operation)
        whole, rows, marker = call(**request)[key], [], {}
        while True:
            page = call(PageSize=2, **request, **marker)
            assert len(page[key]) <= 2
            rows += page[key]
            if "NextMarker" not in page:
                break
            marker = {"Marker": page["NextMarker"]}
        assert rows == whole and len(whole) >= least, operation
        assert refused(call, Marker="AAAA", **request) == "ValidationError", operation


def test_a_policy_says_which_balancers_may_be_changed(strict, elb, subnets):
    balancer, _, _ = made(elb, subnets)
    arn = balancer["LoadBalancerArn"]
    elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "team", "Value": "web"}])
    _, other = user(strict, allow(
        "elasticloadbalancing:*", Condition={"StringEquals": {"aws:ResourceTag/team": "web"}},
    ), allow("elasticloadbalancing:CreateTargetGroup", resource=f"{HERE}:targetgroup/web-*"))
    theirs = other.client("elbv2")
    theirs.set_subnets(LoadBalancerArn=arn, Subnets=[subnet["SubnetId"] for subnet in subnets[:2]])
    elb.remove_tags(ResourceArns=[arn], TagKeys=["team"])
    subnet_ids = [subnet["SubnetId"] for subnet in subnets]
    assert refused(theirs.set_subnets, LoadBalancerArn=arn, Subnets=subnet_ids) == "AccessDenied"
    assert refused(theirs.delete_load_balancer, LoadBalancerArn=arn) == "AccessDenied"
    wanted = {"Protocol": "HTTP", "Port": 80, "VpcId": subnets[0]["VpcId"], "TargetType": "ip"}
    theirs.create_target_group(Name=f"web-{unique()[:20]}", **wanted)
    assert refused(theirs.create_target_group, Name=f"db-{unique()[:20]}", **wanted) == "AccessDenied"
    tags = [{"Key": "a", "Value": "b"}]
    tagged = {"Name": f"web-{unique()[:20]}", **wanted, "Tags": tags}
    assert refused(theirs.create_target_group, **tagged) == "AccessDenied"


def test_calls_are_recorded_with_what_they_are_about(strict, elb, subnets):
    balancer, _, _ = made(elb, subnets)
    trail = root(strict).client("cloudtrail")
    asked = [{"AttributeKey": "ResourceName", "AttributeValue": balancer["LoadBalancerArn"]}]
    events = eventually(lambda: trail.lookup_events(LookupAttributes=asked)["Events"])
    assert {event["EventSource"] for event in events} == {"elasticloadbalancing.amazonaws.com"}
    assert {"CreateLoadBalancer", "CreateListener"} <= {event["EventName"] for event in events}


def test_what_is_not_built_says_so(elb, subnets):
    ids = [subnet["SubnetId"] for subnet in subnets]
    assert refused(elb.create_load_balancer, Name=unique(), Subnets=ids, Type="gateway") == "UnsupportedOperationException"
    assert refused(elb.describe_trust_stores) == "UnsupportedOperationException"
    balancer, _, _ = made(elb, subnets)
    secure = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": "HTTPS", "Port": 443,
              "DefaultActions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}]}
    gone = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/1"
    assert refused(elb.create_listener, **secure) == "ValidationError"
    assert refused(elb.create_listener, **secure, Certificates=[{"CertificateArn": gone}]) == "CertificateNotFound"


def test_a_secret_in_a_refused_request_is_in_no_record(strict, elb, subnets):
    balancer, _, _ = made(elb, subnets)
    secret = unique()
    action = {"Type": "authenticate-oidc", "AuthenticateOidcConfig": {
        "Issuer": "https://a.test", "AuthorizationEndpoint": "https://a.test", "TokenEndpoint": "https://a.test",
        "UserInfoEndpoint": "https://a.test", "ClientId": "c", "ClientSecret": secret}}
    asked = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": "HTTP", "Port": 9, "DefaultActions": [action]}
    assert refused(elb.create_listener, **asked) == "UnsupportedOperationException"
    files = list((strict.data_dir / "audit").glob("*.log"))
    assert files and not any(secret.encode() in file.read_bytes() for file in files)
