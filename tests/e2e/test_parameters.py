"""The Parameter Store: parameters by the AWS CLI and boto3, who may read them, and what lies on disk."""

import datetime

import botocore.exceptions
import pytest
from account import eventually, unique
from disk import files, holding
from test_identity import ACCOUNT, allow, root, user
from test_policy import refusal

SECRET = "planted-8d1f03b2c7"
HERE = f"us-east-1:{ACCOUNT}"


@pytest.fixture
def ssm(strict):
    return root(strict).client("ssm")


def code(call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**members)
    return error.value.response["Error"]["Code"]


def test_the_command_line_walks_through_a_hierarchy(strict):
    aws, path = strict.aws, f"/{unique()}"
    for name, kind, value in [("url", "String", "db:5432"), ("list", "StringList", "a,b"), ("password", "SecureString", SECRET)]:
        made = aws("ssm", "put-parameter", "--name", f"{path}/db/{name}", "--type", kind, "--value", value)
        assert made == {"Version": 1, "Tier": "Standard"}
    one = aws("ssm", "get-parameter", "--name", f"{path}/db/password", "--with-decryption")["Parameter"]
    assert one["Value"] == SECRET and one["ARN"] == f"arn:aws:ssm:{HERE}:parameter{path}/db/password"
    assert aws("ssm", "get-parameter", "--name", f"{path}/db/password")["Parameter"]["Value"] != SECRET
    below = aws("ssm", "get-parameters-by-path", "--path", path, "--recursive", "--with-decryption")["Parameters"]
    assert [row["Value"] for row in below] == ["a,b", SECRET, "db:5432"]
    assert aws("ssm", "get-parameters-by-path", "--path", path)["Parameters"] == []
    aws("ssm", "put-parameter", "--name", f"{path}/db/url", "--value", "db:5433", "--overwrite")
    aws("ssm", "label-parameter-version", "--name", f"{path}/db/url", "--parameter-version", "1", "--labels", "old")
    assert aws("ssm", "get-parameter", "--name", f"{path}/db/url:old")["Parameter"]["Value"] == "db:5432"
    history = aws("ssm", "get-parameter-history", "--name", f"{path}/db/url")["Parameters"]
    assert [(row["Version"], row["Labels"]) for row in history] == [(1, ["old"]), (2, [])]
    refused = aws("ssm", "put-parameter", "--name", f"{path}/db/url", "--value", "x", "--type", "String", check=False)
    assert "(ParameterAlreadyExists)" in refused.stderr and "set the overwrite option" in refused.stderr
    missing = aws("ssm", "get-parameter", "--name", f"{path}/none", check=False)
    assert "(ParameterNotFound) when calling the GetParameter operation" in missing.stderr
    names = [f"{path}/db/{name}" for name in ("url", "list", "password")]
    assert sorted(aws("ssm", "delete-parameters", "--names", *names)["DeletedParameters"]) == sorted(names)


def test_pages_and_filters_by_paginators(ssm):
    path = f"/{unique()}"
    names = [f"{path}/{number:02}" for number in range(23)]
    for name in names:
        ssm.put_parameter(Name=name, Type="String", Value="v", Tags=[{"Key": "room", "Value": path}])
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path)
    assert [row["Name"] for page in pages for row in page["Parameters"]] == names
    tagged = [{"Key": "tag:room", "Values": [path]}]
    pages = ssm.get_paginator("describe_parameters").paginate(ParameterFilters=tagged, PaginationConfig={"PageSize": 7})
    assert [row["Name"] for page in pages for row in page["Parameters"]] == names


def test_a_policy_for_a_path_holds_for_what_is_below_it(strict, ssm):
    path, other = f"/{unique()}", f"/{unique()}"
    ssm.put_parameter(Name=f"{path}/a", Type="SecureString", Value=SECRET)
    ssm.put_parameter(Name=f"{other}/a", Type="String", Value="v")
    reads = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"]
    _, bearer = user(strict, allow(*reads, resource=f"arn:aws:ssm:{HERE}:parameter{path}*"))
    mine = bearer.client("ssm")
    assert mine.get_parameter(Name=f"{path}/a", WithDecryption=True)["Parameter"]["Value"] == SECRET
    assert mine.get_parameter(Name=f"arn:aws:ssm:{HERE}:parameter{path}/a:1")["Parameter"]["Selector"] == ":1"
    assert len(mine.get_parameters_by_path(Path=path)["Parameters"]) == 1
    refused = bearer.refused("ssm", "get_parameter", Name=f"{other}/a")
    assert refused[:2] == ("AccessDeniedException", 400)
    assert refused[2] == refusal(bearer, "ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter{other}/a")
    for operation, members in [
        ("get_parameters", {"Names": [f"{path}/a", f"{other}/a"]}),
        ("get_parameters_by_path", {"Path": "/"}),
        ("put_parameter", {"Name": f"{path}/a", "Value": "x", "Overwrite": True}),
        ("describe_parameters", {}),
        ("delete_parameter", {"Name": f"{path}/a"}),
    ]:
        assert bearer.refused("ssm", operation, **members)[0] == "AccessDeniedException", operation


def test_a_parameter_ends_when_its_policy_says(ssm):
    name = f"/{unique()}/short"
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=3)
    policy = f'[{{"Type":"Expiration","Version":"1.0","Attributes":{{"Timestamp":"{end.isoformat()}"}}}}]'
    ssm.put_parameter(Name=name, Type="String", Value="v", Tier="Advanced", Policies=policy)
    assert ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])["Parameters"][0]["Policies"]
    eventually(lambda: ssm.get_parameters(Names=[name])["InvalidParameters"] == [name])
    assert code(ssm.get_parameter, Name=name) == "ParameterNotFound"


def test_a_secure_string_survives_a_restart_and_lies_nowhere_in_clear(fresh):
    instance = fresh("--engine", "simulated")
    ssm, name = root(instance).client("ssm"), f"/{unique()}/password"
    ssm.put_parameter(Name=name, Type="SecureString", Value=SECRET)
    code(ssm.put_parameter, Name=name, Type="SecureString", Value=SECRET, AllowedPattern="x", Overwrite=True)
    code(ssm.put_parameter, Name=f"{name}:", Type="SecureString", Value=SECRET)
    ssm.get_parameter(Name=name, WithDecryption=True)
    instance.kill()
    instance.start()
    ssm = root(instance).client("ssm")
    assert ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == SECRET
    assert "state.db" in {path.name for path in files(instance.directory)}
    assert holding([SECRET.encode()], instance.directory) == []
