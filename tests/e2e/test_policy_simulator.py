"""The policy simulator says what happens."""

import json

from account import unique
from test_identity import ACCOUNT, READER, TASKS, allow, role, root, user

HERE = f"us-east-1:{ACCOUNT}"


def arn_of(bearer):
    return bearer.client("sts").get_caller_identity()["Arn"]


def decisions(answer):
    return {(one["EvalActionName"], one["EvalResourceName"]): one["EvalDecision"] for one in answer["EvaluationResults"]}


def test_what_is_simulated_is_what_happens(strict):
    mine, other = unique(), unique()
    cluster = f"arn:aws:ecs:{HERE}:cluster"
    _, bearer = user(strict, allow("ecs:CreateCluster", resource=f"{cluster}/{mine}"))
    answer = root(strict).client("iam").simulate_principal_policy(
        PolicySourceArn=arn_of(bearer), ActionNames=["ecs:CreateCluster"],
        ResourceArns=[f"{cluster}/{mine}", f"{cluster}/{other}"])
    assert decisions(answer) == {("ecs:CreateCluster", f"{cluster}/{mine}"): "allowed",
                                 ("ecs:CreateCluster", f"{cluster}/{other}"): "implicitDeny"}
    bearer.client("ecs").create_cluster(clusterName=mine)
    assert bearer.refused("ecs", "create_cluster", clusterName=other)[0] == "AccessDeniedException"


def test_the_command_line_shows_which_statement_of_which_policy_decides(strict):
    arn = role(strict, TASKS, READER)
    found = strict.aws("iam", "simulate-principal-policy", "--policy-source-arn", arn,
                       "--action-names", "logs:GetLogEvents", "logs:PutLogEvents")["EvaluationResults"]
    assert [one["EvalDecision"] for one in found] == ["allowed", "implicitDeny"]
    matched, = found[0]["MatchedStatements"]
    assert (matched["SourcePolicyId"], matched["SourcePolicyType"]) == (READER.split("/")[-1], "aws-managed")
    assert matched["StartPosition"]["Line"] == 1 and matched["EndPosition"]["Column"] > matched["StartPosition"]["Column"]
    text = json.dumps(allow("ecs:StopTask", Condition={"StringEquals": {"aws:SourceVpc": "vpc-1"}}))
    asked = ["iam", "simulate-custom-policy", "--policy-input-list", text, "--action-names", "ecs:StopTask"]
    one, = strict.aws(*asked)["EvaluationResults"]
    assert (one["EvalDecision"], one["MissingContextValues"]) == ("implicitDeny", ["aws:SourceVpc"])
    entry = "ContextKeyName=aws:SourceVpc,ContextKeyValues=vpc-1,ContextKeyType=string"
    one, = strict.aws(*asked, "--context-entries", entry)["EvaluationResults"]
    assert (one["EvalDecision"], one["MissingContextValues"]) == ("allowed", [])
    keys = strict.aws("iam", "get-context-keys-for-custom-policy", "--policy-input-list", text)
    assert keys == {"ContextKeyNames": ["aws:SourceVpc"]}


def test_pages_and_refusals_are_iams(strict):
    _, bearer = user(strict, allow("ecs:*"))
    arn, iam = arn_of(bearer), root(strict).client("iam")
    actions = [f"ecs:Action{number}" for number in range(25)] + ["s3:GetObject"]
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=arn, ActionNames=actions, PaginationConfig={"PageSize": 10})
    found = [one["EvalActionName"] for page in pages for one in page["EvaluationResults"]]
    assert found == actions
    keys = iam.get_context_keys_for_principal_policy(PolicySourceArn=arn)
    assert keys["ContextKeyNames"] == []
    asked = {"PolicySourceArn": arn, "ActionNames": ["ecs:RunTask"]}
    code, status, told = bearer.refused("iam", "simulate_principal_policy", **asked)
    assert (code, status) == ("AccessDenied", 403)
    assert f"iam:SimulatePrincipalPolicy on resource: {arn}" in told
    none = arn.rsplit("/", 1)[0] + "/nobody"
    refused = root(strict).refused("iam", "simulate_principal_policy", PolicySourceArn=none, ActionNames=["ecs:RunTask"])
    assert refused[:2] == ("NoSuchEntity", 404)
    refused = root(strict).refused("iam", "simulate_custom_policy", PolicyInputList=["{}"], ActionNames=["ecs:RunTask"])
    assert refused[:2] == ("InvalidInput", 400)
