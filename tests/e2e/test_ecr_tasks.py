"""Tasks that run images of ECR: pulled as the execution role, by every name that the registry goes by, and kept from it where a
policy says so.
"""

import json

import pytest
from account import container, short, unique, why
from conftest import IMAGES
from ecr import HOST, digest, host, push, repository, set_policy, skopeo, token
from picture import busybox, entry, layer, write
from test_cloudtrail import look_up
from test_identity import ACCOUNT, allow, root
from test_images import digests, remade
from test_injection import in_clear
from test_task_roles import lending

PULL = ["ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
NOT_RESOLVED = "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "


@pytest.fixture(scope="module")
def puller(real):
    """A role that may pull what there is."""
    return lending(real, allow(*PULL))


@pytest.fixture(scope="module")
def account(real):
    return real.account()


def own(real, tmp_path, name=None, **fields):
    """`repository:1` with an image that no node has seen, and its digest."""
    name = f"{repository(real, name, **fields)}:1"
    archive = write(tmp_path / "own.tar", [layer(*busybox(), entry("mark", content=unique().encode()))], {})
    return name, push(real, archive, name)


def ended(account, image, execution_role, **fields):
    """A task of the image, once it has ended."""
    cluster = account.cluster()
    definition = account.define(
        container(image=image, command=["true"], **fields), **({"executionRoleArn": execution_role} if execution_role else {}))
    return account.until(cluster, account.run(cluster, definition)[0]["taskArn"], "STOPPED")


def refused(account, image, execution_role):
    """Why a task of the image was not started."""
    task = ended(account, image, execution_role)
    assert task["stopCode"] == "TaskFailedToStart" and "exitCode" not in task["containers"][0], why(task)
    assert task["containers"][0]["reason"] == task["stoppedReason"]
    return task["stoppedReason"]


def test_an_image_is_pulled_by_every_name_of_the_registry(real, account, puller, tmp_path):
    name, digest = own(real, tmp_path)
    plain = name.split(":")[0]
    uri = root(real).client("ecr").describe_repositories(repositoryNames=[plain])["repositories"][0]["repositoryUri"]
    images = [f"{HOST}.localhost:{real.port}/{name}", f"{HOST}.localhost/{name}", f"{HOST}.amazonaws.com/{name}",
              f"{host(real)}/{name}", f"127.0.0.1:{real.port}/{name}", f"{uri}:1", f"{uri}@{digest}"]
    for image in images:
        task = ended(account, image, puller)
        one = task["containers"][0]
        assert (one.get("exitCode"), one.get("imageDigest"), one["image"]) == (0, digest, image), why(task)


@pytest.fixture
def keeper(account):
    """A function that runs a task of an image for as long as the test does."""
    running = []

    def keep(image, execution_role):
        cluster = account.cluster()
        sleeper = container(image=image, command=["sleep", "600"], stopTimeout=2)
        running.append((cluster, account.run(cluster, account.define(sleeper, executionRoleArn=execution_role))[0]["taskArn"]))
        account.until(*running[-1], "RUNNING")

    yield keep
    for cluster, arn in running:
        account.ecs.stop_task(cluster=cluster, task=arn)


def logins(real, execution_role):
    """How often a role has signed in."""
    events = [event["Full"]["userIdentity"]["arn"] for event in look_up(real, EventName="GetAuthorizationToken")]
    return len([arn for arn in events if f"/{short(execution_role)}/" in arn])


def test_a_role_signs_in_once_for_its_tasks_while_the_first_of_them_runs(real, account, keeper, tmp_path):
    name, _ = own(real, tmp_path)
    lent = lending(real, allow(*PULL))
    keeper(f"{host(real)}/{name}", lent)
    for _ in range(3):
        assert ended(account, f"{host(real)}/{name}", lent)["containers"][0]["exitCode"] == 0
    assert logins(real, lent) == 1


def test_a_token_ends_with_its_task_and_the_next_one_signs_in_again(real, account, tmp_path):
    name, _ = own(real, tmp_path)
    lent = lending(real, allow(*PULL))
    for number in range(3):
        assert ended(account, f"{host(real)}/{name}", lent)["containers"][0]["exitCode"] == 0
        assert logins(real, lent) == number + 1


def test_what_a_role_may_is_asked_at_each_pull(real, account, keeper, tmp_path):
    name, _ = own(real, tmp_path)
    lent, iam = lending(real, allow(*PULL)), root(real).client("iam")
    image = f"{host(real)}/{name}"
    keeper(image, lent)
    assert ended(account, image, lent)["containers"][0]["exitCode"] == 0
    # The token is good still.
    iam.put_role_policy(RoleName=short(lent), PolicyName="p0", PolicyDocument=json.dumps(allow("ecr:GetAuthorizationToken")))
    assert "is not authorized to perform: ecr:BatchGetImage" in refused(account, image, lent)
    # A role made anew has none.
    iam.delete_role_policy(RoleName=short(lent), PolicyName="p0")
    document = iam.get_role(RoleName=short(lent))["Role"]["AssumeRolePolicyDocument"]
    iam.delete_role(RoleName=short(lent))
    iam.create_role(RoleName=short(lent), AssumeRolePolicyDocument=json.dumps(document))
    iam.put_role_policy(RoleName=short(lent), PolicyName="p0", PolicyDocument=json.dumps(allow(*PULL)))
    task = ended(account, image, lent)
    assert task["containers"][0].get("exitCode") == 0, why(task)


def test_a_token_is_in_no_file(real, account, puller, tmp_path):
    name, _ = own(real, tmp_path)
    assert ended(account, f"{host(real)}/{name}", puller)["containers"][0]["exitCode"] == 0
    known = token(root(real).client("ecr")).removeprefix("AWS:")
    assert in_clear(real, known) == []


def test_a_pull_that_is_not_allowed_says_what_is_missing(real, account, tmp_path):
    name, _ = own(real, tmp_path)
    image = f"{HOST}.localhost:{real.port}/{name}"
    said = refused(account, image, lending(real, allow("ecr:BatchGetImage")))
    assert said.startswith("CannotPullContainerError: unable to retrieve ecr registry auth: service call has been retried 1 "
                           f"time(s): AccessDeniedException: User: arn:aws:sts::{ACCOUNT}:assumed-role/"), said
    assert "is not authorized to perform: ecr:GetAuthorizationToken on resource: *" in said
    said = refused(account, image, lending(real, allow("ecr:GetAuthorizationToken")))
    assert said.startswith(f"{NOT_RESOLVED}{image}: pull access denied, repository does not exist or may require "
                           "authorization: server message: denied: "), said
    resource = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name.split(':')[0]}"
    assert f"is not authorized to perform: ecr:BatchGetImage on resource: {resource}" in said
    said = refused(account, image, lending(real, allow("ecr:GetAuthorizationToken", "ecr:BatchGetImage")))
    assert said.startswith("CannotPullContainerError: ref pull has been retried 1 time(s): pull access denied"), said
    assert f"is not authorized to perform: ecr:GetDownloadUrlForLayer on resource: {resource}" in said


def test_who_has_no_execution_role_pulls_nothing(real, account, tmp_path):
    name, _ = own(real, tmp_path)
    said = refused(account, f"{host(real)}/{name}", None)
    assert said == ("CannotPullContainerError: unable to retrieve ecr registry auth: the execution role does not exist")
    with pytest.raises(account.ecs.exceptions.ClientException, match="to support ECR images"):
        account.define(container(image=f"{HOST}.localhost:{real.port}/{name}"))


def test_what_is_not_there_is_not_found(real, account, puller, tmp_path):
    name, _ = own(real, tmp_path)
    missing = name.split(":")[0]
    for image in (f"{host(real)}/{missing}:nowhere", f"{host(real)}/nobody/{unique()}:1",
                  f"{host(real)}/{missing}@sha256:{'0' * 64}"):
        assert refused(account, image, puller) == f"{NOT_RESOLVED}{image}: {image}: not found"
    foreign = f"999999999999.dkr.ecr.us-east-1.localhost:{real.port}/{name}"
    assert refused(account, foreign, puller).startswith(f"{NOT_RESOLVED}{foreign}: ")


def test_what_one_role_has_pulled_another_does_not_get(real, account, puller, tmp_path):
    name, digest = own(real, tmp_path)
    image = f"{host(real)}/{name}"
    pinned = f"{host(real)}/{name.split(':')[0]}@{digest}"
    assert ended(account, image, puller)["containers"][0]["exitCode"] == 0
    poor = lending(real, allow("ecr:GetAuthorizationToken"))
    for wanted in (image, pinned):
        assert "ecr:BatchGetImage" in refused(account, wanted, poor)
    assert ended(account, pinned, puller)["containers"][0]["exitCode"] == 0


def test_the_policy_of_a_repository_gives_and_takes(real, account, puller, tmp_path):
    name, _ = own(real, tmp_path)
    image, plain = f"{host(real)}/{name}", name.split(":")[0]
    poor = lending(real, allow("ecr:GetAuthorizationToken"))
    assert "not authorized" in refused(account, image, poor)
    given = {"Sid": "give", "Effect": "Allow", "Principal": {"AWS": poor}, "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}
    set_policy(real, plain, given)
    assert ended(account, image, poor)["containers"][0]["exitCode"] == 0
    taken = {"Sid": "take", "Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage",
             "Condition": {"StringLike": {"aws:PrincipalArn": f"*{short(puller)}*"}}}
    set_policy(real, plain, given, taken)
    assert "explicit deny" in refused(account, image, puller)
    assert ended(account, image, poor)["containers"][0]["exitCode"] == 0


@pytest.mark.parametrize("consistency", ["enabled", "disabled"])
def test_a_tag_that_moves_does_not_change_what_a_deployment_runs(real, account, puller, tmp_path, consistency):
    name = f"{repository(real)}:latest"
    image = f"{HOST}.localhost:{real.port}/{name}"
    first = push(real, IMAGES / "busybox.tar", name)
    cluster = account.cluster()
    sleeper = container(image=image, command=["sleep", "600"], stopTimeout=2, versionConsistency=consistency)
    service = account.serve(cluster, account.define(sleeper, executionRoleArn=puller))
    account.until_steady(cluster, service)
    second = push(real, remade("busybox.tar", tmp_path / "second.tar", unique()), name)
    before = digests(account, cluster, service)
    assert list(before.values()) == [first] and second != first
    account.ecs.update_service(cluster=cluster, service=service, desiredCount=2)
    account.until_steady(cluster, service)
    after = digests(account, cluster, service)
    added = [digest for arn, digest in after.items() if arn not in before]
    assert added == [first if consistency == "enabled" else second]
    account.ecs.delete_service(cluster=cluster, service=service, force=True)


def test_skopeo_takes_away_what_it_brought(real, tmp_path):
    """The bytes of an image go round, whole, by tag and by digest, and no further for who has no token."""
    name, pushed = own(real, tmp_path)
    login = token(root(real).client("ecr"))
    for number, reference in enumerate([name, f"{name.split(':')[0]}@{pushed}"]):
        skopeo("copy", "--quiet", "--src-tls-verify=false", "--src-creds", login, f"docker://{host(real)}/{reference}",
               f"oci:{tmp_path}/back{number}:it")
    one, other = (sorted(path.name for path in (tmp_path / back / "blobs" / "sha256").iterdir()) for back in ("back0", "back1"))
    assert one == other and pushed.split(":")[1] in one and digest(real, name) == pushed
    for creds in ([], ["--creds", "AWS:planted"]):
        nobody = skopeo("inspect", "--tls-verify=false", *creds, f"docker://{host(real)}/{name}", check=False)
        assert nobody.returncode != 0 and "authori" in nobody.stderr.lower(), nobody.stderr
