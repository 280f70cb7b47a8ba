"""Who calls and what they may do: keys, signatures, policies, roles, by the AWS CLI and boto3."""

import datetime
import json

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import pytest
from account import eventually, unique
from disk import holding

ACCOUNT = "000000000000"
READER = "arn:aws:iam::aws:policy/CloudWatchLogsReadOnlyAccess"
TASKS = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


class Bearer:
    """Clients with one set of credentials."""

    def __init__(self, instance, key, secret, token=None):
        self.instance, self.key, self.secret, self.token = instance, key, secret, token

    def client(self, service, region="us-east-1"):
        config = botocore.config.Config(retries={"total_max_attempts": 1})
        return boto3.client(
            service, endpoint_url=self.instance.endpoint, region_name=region, config=config, aws_access_key_id=self.key,
            aws_secret_access_key=self.secret, aws_session_token=self.token)

    def refused(self, service, operation, /, region="us-east-1", **members):
        """Code, status and message of a call that must fail."""
        with pytest.raises(botocore.exceptions.ClientError) as error:
            getattr(self.client(service, region), operation)(**members)
        answer = error.value.response
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        return answer["Error"]["Code"], status, answer["Error"].get("Message", "")

    def assume(self, role, **members):
        given = {"RoleArn": role, "RoleSessionName": "one"} | members
        return bearer_of(self.instance, self.client("sts").assume_role(**given)["Credentials"])


def bearer_of(instance, credentials):
    return Bearer(instance, credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])


def root(instance):
    env = instance.environment()
    return Bearer(instance, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])


def user(instance, *policies, path="/"):
    """The name and the bearer of a new user."""
    iam, name = root(instance).client("iam"), unique()
    iam.create_user(UserName=name, Path=path)
    for policy in policies:
        iam.put_user_policy(UserName=name, PolicyName=unique(), PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return name, Bearer(instance, key["AccessKeyId"], key["SecretAccessKey"])


def allow(*actions, resource="*", **more):
    return {"Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": resource} | more]}


def trusting(principal, **more):
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"} | more
    return {"Version": "2012-10-17", "Statement": [statement]}


def role(instance, trust, *policies, **members):
    """The ARN of a new role."""
    iam, name = root(instance).client("iam"), unique()
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), **members)["Role"]
    for policy in policies:
        iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    return made["Arn"]


def test_the_command_line_makes_a_user_who_signs_in_and_takes_a_role(strict):
    aws = strict.aws
    assert aws("iam", "create-user", "--user-name", "alice")["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    key = aws("iam", "create-access-key", "--user-name", "alice")["AccessKey"]
    assert key["Status"] == "Active" and key["UserName"] == "alice"
    alice = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    who = aws("sts", "get-caller-identity", **alice)
    assert who["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice" and who["UserId"].startswith("AIDA")
    denied = aws("ecs", "list-clusters", check=False, **alice)
    assert "AccessDeniedException" in denied.stderr and "is not authorized to perform: ecs:ListClusters" in denied.stderr
    trust = json.dumps(trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:user/alice"}))
    made = aws("iam", "create-role", "--role-name", "reader", "--assume-role-policy-document", trust)["Role"]
    assert made["AssumeRolePolicyDocument"] == json.loads(trust)
    aws("iam", "attach-role-policy", "--role-name", "reader", "--policy-arn", READER)
    answer = aws("sts", "assume-role", "--role-arn", made["Arn"], "--role-session-name", "desk", **alice)
    session = answer["Credentials"]
    assert session["AccessKeyId"].startswith("ASIA")
    reader = {"AWS_ACCESS_KEY_ID": session["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
              "AWS_SESSION_TOKEN": session["SessionToken"]}
    who = aws("sts", "get-caller-identity", **reader)
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/desk" == answer["AssumedRoleUser"]["Arn"]
    assert aws("logs", "describe-log-groups", **reader) == {"logGroups": []}
    denied = aws("logs", "create-log-group", "--log-group-name", "x", check=False, **reader)
    assert "assumed-role/reader/desk is not authorized to perform: logs:CreateLogGroup" in denied.stderr


def test_each_protocol_refuses_in_its_own_words(strict):
    key, secret = root(strict).key, root(strict).secret
    unknown, wrong = Bearer(strict, "AKIAUNKNOWNUNKNOWN77", secret), Bearer(strict, key, "x" * 40)
    foreign = Bearer(strict, key, secret, "bm8gdG9rZW4gb2Ygb3Vycw")
    json_codes = ("UnrecognizedClientException", 400), ("InvalidSignatureException", 400)
    query_codes = ("InvalidClientTokenId", 403), ("SignatureDoesNotMatch", 403)
    ec2_codes = ("AuthFailure", 401), ("AuthFailure", 401)
    calls = [("ecs", "list_clusters", json_codes), ("iam", "list_users", query_codes), ("ec2", "describe_vpcs", ec2_codes)]
    for service, operation, (of_unknown, of_wrong) in calls:
        assert unknown.refused(service, operation)[:2] == of_unknown
        assert foreign.refused(service, operation)[:2] == of_unknown
        assert wrong.refused(service, operation)[:2] == of_wrong
    code, _, message = root(strict).refused("ecs", "list_clusters", region="eu-west-1")
    assert (code, message) == ("InvalidSignatureException", "Credential should be scoped to a valid region, not 'eu-west-1'.")
    status, body, _ = strict.http("/", "POST", b"Action=ListUsers&Version=2010-05-08",
                                  {"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 403 and b"<Code>MissingAuthenticationToken</Code>" in body


def signed(bearer, when=None, service="ecs", **changes):
    """Status and body of a ListClusters call, signed at `when` and then changed."""
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonEC2ContainerServiceV20141113.ListClusters"}
    request = botocore.awsrequest.AWSRequest("POST", bearer.instance.endpoint + "/", headers, "{}")
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(bearer.key, bearer.secret, bearer.token), service, "us-east-1")
    if when is not None:
        stamp = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=when)).strftime("%Y%m%dT%H%M%SZ")
        original = botocore.auth.get_current_datetime
        botocore.auth.get_current_datetime = lambda *_: datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
        try:
            signer.add_auth(request)
        finally:
            botocore.auth.get_current_datetime = original
    else:
        signer.add_auth(request)
    headers = {**dict(request.headers), **changes.get("headers", {})}
    return bearer.instance.http("/", "POST", changes.get("body", b"{}"), headers)[:2]


def test_what_is_signed_is_what_is_meant_and_now(strict):
    bearer = root(strict)
    assert signed(bearer)[0] == 200
    assert signed(bearer, when=-14)[0] == 200 and signed(bearer, when=14)[0] == 200
    assert b"Signature expired: " in signed(bearer, when=-16)[1]
    assert b"Signature not yet current: " in signed(bearer, when=16)[1]
    assert b"correct service: 'ecs'" in signed(bearer, service="iam")[1]
    assert signed(bearer, body=b"{} ")[0] == 400
    assert b"InvalidSignature" in signed(bearer, headers={"x-amz-target": "AmazonEC2ContainerServiceV20141113.ListServices"})[1]
    assert b"'x-amz-extra' must be a 'SignedHeader'" in signed(bearer, headers={"x-amz-extra": "1"})[1]


def test_a_presigned_request_is_taken_until_it_expires(strict):
    bearer = root(strict)
    url = bearer.client("sts").generate_presigned_url("get_caller_identity", ExpiresIn=2, HttpMethod="GET")
    path = url.removeprefix(strict.endpoint)
    assert b":root</Arn>" in strict.http(path)[1]
    assert strict.http(path + "&Extra=1")[0] == 403
    assert eventually(lambda: b"Signature expired" in strict.http(path)[1], seconds=10)


def test_keys_are_made_stopped_and_deleted_and_a_user_has_two(strict):
    iam = root(strict).client("iam")
    name, bearer = user(strict, allow("iam:*AccessKey*", "ecs:ListClusters"))
    second = bearer.client("iam").create_access_key()["AccessKey"]
    assert second["UserName"] == name
    assert bearer.refused("iam", "create_access_key")[:2] == ("LimitExceeded", 409)
    listed = bearer.client("iam").list_access_keys()["AccessKeyMetadata"]
    assert {key["AccessKeyId"] for key in listed} == {bearer.key, second["AccessKeyId"]}
    assert all("SecretAccessKey" not in key for key in listed)
    iam.update_access_key(UserName=name, AccessKeyId=bearer.key, Status="Inactive")
    assert bearer.refused("ecs", "list_clusters")[0] == "UnrecognizedClientException"
    iam.update_access_key(UserName=name, AccessKeyId=bearer.key, Status="Active")
    assert bearer.client("ecs").list_clusters()["clusterArns"] == []
    assert root(strict).refused("iam", "delete_user", UserName=name)[0] == "DeleteConflict"
    for key in listed:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    assert bearer.refused("sts", "get_caller_identity")[:2] == ("InvalidClientTokenId", 403)


def test_policies_come_by_user_group_boundary_and_version(strict):
    iam = root(strict).client("iam")
    name, bearer = user(strict)
    group, ecs = unique(), lambda: bearer.client("ecs").list_clusters()
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=name)
    assert bearer.refused("ecs", "list_clusters")[0] == "AccessDeniedException"
    policy = iam.create_policy(PolicyName=unique(), PolicyDocument=json.dumps(allow("ecs:List*")))["Policy"]["Arn"]
    iam.attach_group_policy(GroupName=group, PolicyArn=policy)
    ecs()
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=json.dumps(allow("ecs:Describe*")), SetAsDefault=True)
    assert bearer.refused("ecs", "list_clusters")[0] == "AccessDeniedException"
    iam.set_default_policy_version(PolicyArn=policy, VersionId="v1")
    ecs()
    boundary = iam.create_policy(PolicyName=unique(), PolicyDocument=json.dumps(allow("iam:*")))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
    assert "permissions boundary" in bearer.refused("ecs", "list_clusters")[2]
    iam.delete_user_permissions_boundary(UserName=name)
    ecs()
    deny = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ecs:ListClusters", "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="no", PolicyDocument=json.dumps(deny))
    assert "explicit deny" in bearer.refused("ecs", "list_clusters")[2]
    assert root(strict).refused("iam", "delete_policy", PolicyArn=policy)[0] == "DeleteConflict"
    assert [one["GroupName"] for one in iam.list_entities_for_policy(PolicyArn=policy)["PolicyGroups"]] == [group]
    assert iam.get_user_policy(UserName=name, PolicyName="no")["PolicyDocument"] == deny


def test_a_role_is_taken_by_whom_it_trusts_alone(strict):
    name, bearer = user(strict)
    _, other = user(strict, allow("sts:AssumeRole"))
    arn = f"arn:aws:iam::{ACCOUNT}:user/{name}"
    with_id = {"Condition": {"StringEquals": {"sts:ExternalId": "42"}}}
    desk = role(strict, trusting({"AWS": arn}, **with_id), READER)
    assert bearer.refused("sts", "assume_role", RoleArn=desk, RoleSessionName="one")[:2] == ("AccessDenied", 403)
    session = bearer.assume(desk, ExternalId="42")
    assert session.client("logs").describe_log_groups()["logGroups"] == []
    for arn in (desk, f"arn:aws:iam::{ACCOUNT}:role/none"):
        code, status, message = other.refused("sts", "assume_role", RoleArn=arn, RoleSessionName="one", ExternalId="42")
        assert (code, status) == ("AccessDenied", 403) and message.endswith(f"to perform: sts:AssumeRole on resource: {arn}")
    assert root(strict).refused("sts", "assume_role", RoleArn=desk, RoleSessionName="one")[2].startswith("Roles may not be")
    tasks = role(strict, TASKS)
    assert other.refused("sts", "assume_role", RoleArn=tasks, RoleSessionName="one")[0] == "AccessDenied"


def test_a_session_is_narrowed_ends_with_its_role_and_a_chain_lasts_an_hour(strict):
    iam = root(strict).client("iam")
    _, bearer = user(strict, allow("sts:*"))
    account = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    second = role(strict, trusting(account), READER)
    first = role(strict, trusting(account), READER, MaxSessionDuration=7200)
    iam.put_role_policy(RoleName=first.rsplit("/")[-1], PolicyName="on", PolicyDocument=json.dumps(allow("sts:AssumeRole", "ecs:*")))
    narrow = bearer.assume(first, Policy=json.dumps(allow("ecs:ListClusters")), DurationSeconds=7200)
    narrow.client("ecs").list_clusters()
    assert "session policy" in narrow.refused("logs", "describe_log_groups")[2]
    wide = bearer.assume(first)
    assert wide.assume(second).client("logs").describe_log_groups()
    asked = {"RoleArn": second, "RoleSessionName": "two"}
    assert wide.refused("sts", "assume_role", DurationSeconds=3601, **asked)[0] == "ValidationError"
    assert bearer.refused("sts", "assume_role", DurationSeconds=7200, **asked)[0] == "ValidationError"
    assert wide.refused("sts", "get_session_token")[0] == "AccessDenied"
    for policy in iam.list_attached_role_policies(RoleName=second.rsplit("/")[-1])["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=second.rsplit("/")[-1], PolicyArn=policy["PolicyArn"])
    session = bearer.assume(second)
    iam.delete_role(RoleName=second.rsplit("/")[-1])
    assert session.refused("sts", "get_caller_identity")[0] == "InvalidClientTokenId"
    iam.create_role(RoleName=second.rsplit("/")[-1], AssumeRolePolicyDocument=json.dumps(trusting(account)))
    assert session.refused("sts", "get_caller_identity")[0] == "InvalidClientTokenId", "a role made anew is another"


def test_tags_of_a_session_are_seen_by_conditions_and_go_along_a_chain(strict):
    _, bearer = user(strict, allow("sts:*"))
    account = trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Action=["sts:AssumeRole", "sts:TagSession"])
    desk = role(strict, account)
    iam = root(strict).client("iam")
    tagged = allow("ecs:ListClusters", "sts:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}})
    iam.put_role_policy(RoleName=desk.rsplit("/")[-1], PolicyName="tagged", PolicyDocument=json.dumps(tagged))
    blue = [{"Key": "team", "Value": "blue"}]
    bearer.assume(desk, Tags=blue).client("ecs").list_clusters()
    assert bearer.assume(desk).refused("ecs", "list_clusters")[0] == "AccessDeniedException"
    plain = role(strict, trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}))
    assert "sts:TagSession" in bearer.refused("sts", "assume_role", RoleArn=plain, RoleSessionName="one", Tags=blue)[2]
    chained = bearer.assume(desk, Tags=blue, TransitiveTagKeys=["team"]).assume(desk)
    chained.client("ecs").list_clusters()


def test_a_session_token_of_a_user_is_the_user(strict):
    name, bearer = user(strict, allow("ecs:ListClusters", "iam:*"))
    session = bearer_of(strict, bearer.client("sts").get_session_token()["Credentials"])
    assert session.client("sts").get_caller_identity()["Arn"].endswith(f":user/{name}")
    session.client("ecs").list_clusters()
    assert session.refused("iam", "list_users")[0] == "AccessDenied"
    half = Bearer(strict, session.key, session.secret)
    assert half.refused("ecs", "list_clusters")[0] == "UnrecognizedClientException", "no token"
    for at in range(0, len(session.token), 17):
        letter = "A" if session.token[at] != "A" else "B"
        forged = Bearer(strict, session.key, session.secret, session.token[:at] + letter + session.token[at + 1:])
        assert forged.refused("ecs", "list_clusters")[0] == "UnrecognizedClientException"


def test_entities_list_by_path_in_pages_and_names_have_no_case(strict):
    iam, path = root(strict).client("iam"), f"/{unique()}/"
    names = sorted(unique() for _ in range(7))
    for name in names:
        iam.create_user(UserName=name, Path=path)
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 3}))
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    assert [one["UserName"] for page in pages for one in page["Users"]] == names
    assert root(strict).refused("iam", "create_user", UserName=names[0].upper())[:2] == ("EntityAlreadyExists", 409)
    assert iam.get_user(UserName=names[0].upper())["User"]["UserName"] == names[0]
    assert root(strict).refused("iam", "list_users", Marker="bm9uZQ")[0] == "InvalidInput"
    iam.update_user(UserName=names[0], NewUserName=names[0] + "-new", NewPath="/moved/")
    assert iam.get_user(UserName=names[0] + "-new")["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/moved/{names[0]}-new"
    assert root(strict).refused("iam", "get_user", UserName=names[0])[:2] == ("NoSuchEntity", 404)


def test_a_document_that_is_none_is_refused(strict):
    name, _ = user(strict)
    for document in ("{", "[]", json.dumps(allow("ecs:*") | {"Version": "2013-01-01"}), json.dumps(TASKS),
                     json.dumps(allow("ecs:*", Condition={"StringsEqual": {"aws:username": "a"}}))):
        refused = root(strict).refused("iam", "put_user_policy", UserName=name, PolicyName="p", PolicyDocument=document)
        assert refused[:2] == ("MalformedPolicyDocument", 400), document
    long = json.dumps(allow(*(f"ecs:List{number:05}" for number in range(200))))
    assert root(strict).refused("iam", "put_user_policy", UserName=name, PolicyName="p", PolicyDocument=long)[0] == "LimitExceeded"


def test_instance_profiles_linked_roles_alias_and_summary(strict):
    iam, name = root(strict).client("iam"), unique()
    arn = role(strict, trusting({"Service": "ec2.amazonaws.com"}))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=arn.rsplit("/")[-1])
    assert iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"][0]["Arn"] == arn
    assert root(strict).refused("iam", "delete_role", RoleName=arn.rsplit("/")[-1])[0] == "DeleteConflict"
    assert iam.list_instance_profiles_for_role(RoleName=arn.rsplit("/")[-1])["InstanceProfiles"][0]["InstanceProfileName"] == name
    linked = iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")["Role"]
    assert linked["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"
    assert root(strict).refused("iam", "delete_role", RoleName="AWSServiceRoleForECS")[0] == "UnmodifiableEntity"
    task = iam.delete_service_linked_role(RoleName="AWSServiceRoleForECS")["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    iam.create_account_alias(AccountAlias="longshore-test")
    assert iam.list_account_aliases()["AccountAliases"] == ["longshore-test"]
    assert root(strict).refused("iam", "create_account_alias", AccountAlias="a--b")[0] == "ValidationError"
    assert iam.get_account_summary()["SummaryMap"]["InstanceProfiles"] >= 1
    execution = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    assert iam.get_policy(PolicyArn=execution)["Policy"]["PolicyName"] == "AmazonECSTaskExecutionRolePolicy"
    version = iam.get_policy_version(PolicyArn=execution, VersionId="v1")["PolicyVersion"]["Document"]
    assert "logs:PutLogEvents" in version["Statement"][0]["Action"]
    assert root(strict).refused("iam", "delete_policy", PolicyArn=execution)[0] == "AccessDenied"


def test_identities_and_sessions_survive_a_kill_and_no_secret_lies_on_the_disk(fresh):
    instance = fresh("--engine", "simulated")
    name, bearer = user(instance, allow("sts:*", "ecs:ListClusters"))
    desk = role(instance, trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), READER)
    session = bearer.assume(desk)
    instance.kill()
    instance.start()
    assert bearer.client("sts").get_caller_identity()["Arn"].endswith(f":user/{name}")
    assert session.client("logs").describe_log_groups()["logGroups"] == []
    planted = [text.encode() for text in (bearer.secret, session.secret, session.token)]
    assert holding(planted, instance.directory) == []
    for file in ("root-key", "master-key", "page-key"):
        assert (instance.data_dir / file).stat().st_mode & 0o777 == 0o600
