"""Two accounts of one installation: who of the one may push to the other's repositories and pull from them. Policies on both
sides are asked, on both faces of the registry alike.
"""

import json
import os

import botocore.exceptions
import pytest
from account import unique
from conftest import Instance
from hub import Hub, image, sha256, token_of
from test_identity import ACCOUNT, Bearer, allow, root, role, trusting

PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
PUSH = [*PULL, "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"]
EVERYTHING, LOGIN = allow("ecr:*"), allow("ecr:GetAuthorizationToken")
OTHER = "222222222222"


@pytest.fixture(scope="module")
def both():
    """An instance, and somebody who may do everything in its other account: that account is of a time when an access key id
    named one."""
    instance = Instance("--engine", "simulated", "--auth", "permissive").start()
    try:
        iam = instance.client("iam", OTHER)
        iam.create_user(UserName="admin")
        iam.attach_user_policy(UserName="admin", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
        key = iam.create_access_key(UserName="admin")["AccessKey"]
        instance.stop()
        instance.flags = ["--engine", "simulated"]
        instance.start()
        yield instance, Bearer(instance, key["AccessKeyId"], key["SecretAccessKey"])
    finally:
        instance.remove()


class Guest:
    """A user of the other account, and a repository as it sees it."""

    def __init__(self, both, repository, *policies, account=ACCOUNT):
        instance, admin = both
        iam, self.name, self.repository, self.account = admin.client("iam"), unique(), repository, account
        self.arn = iam.create_user(UserName=self.name)["User"]["Arn"]
        for policy in policies:
            iam.put_user_policy(UserName=self.name, PolicyName=unique(), PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=self.name)["AccessKey"]
        self.see(Bearer(instance, key["AccessKeyId"], key["SecretAccessKey"]))

    def see(self, bearer):
        host = f"{self.account}.dkr.ecr.us-east-1.localhost:{bearer.instance.port}"
        self.bearer, self.ecr = bearer, bearer.client("ecr")
        self.hub = Hub(bearer.instance, self.repository, token_of(self.ecr), host)
        self.which = {"registryId": self.account, "repositoryName": self.repository}
        return self

    def allowed(self, operation, **members):
        """Whether ECR's API lets it; what else it says is a failure."""
        try:
            return getattr(self.ecr, operation)(**self.which, **members)
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException", error
            assert f"is not authorized to perform: ecr:{error.operation_name}" in str(error), error
            return None

    def pulls(self, manifest):
        """Whether it may pull; both faces and all their requests must agree."""
        layer = json.loads(manifest)["layers"][0]["digest"]
        seen = {self.hub(method, path).status for method, path in [
            ("GET", f"manifests/{sha256(manifest)}"), ("HEAD", f"manifests/{sha256(manifest)}"), ("GET", f"blobs/{layer}"),
            ("HEAD", f"blobs/{layer}")]}
        assert seen in ({200}, {403}), seen
        told = [self.allowed("batch_get_image", imageIds=[{"imageDigest": sha256(manifest)}]),
                self.allowed("get_download_url_for_layer", layerDigest=layer),
                self.allowed("batch_check_layer_availability", layerDigests=[layer])]
        assert all(told) == any(told) == (seen == {200}), told
        if told[0]:
            assert told[0]["images"][0]["imageManifest"].encode() == manifest
            assert told[2]["layers"][0]["layerAvailability"] == "AVAILABLE"
        return seen == {200}

    def pushes(self):
        """Whether it may push; both faces must agree. What is pushed is there for the repository's owner."""
        config, layer = json.dumps({"at": unique()}).encode(), os.urandom(300)
        manifest = image(config, layer)
        begun, upload = self.hub("POST", "blobs/uploads/", b""), self.allowed("initiate_layer_upload")
        assert begun.status in (202, 403) and bool(upload) == (begun.status == 202), begun.body
        if not upload:
            assert begun.code == "DENIED" and "is not authorized to perform: ecr:InitiateLayerUpload" in begun.body.decode()
            assert self.hub.put(manifest, "new").refusal == (403, "DENIED")
            assert self.allowed("put_image", imageManifest=manifest.decode(), imageTag="new") is None
            return False
        assert self.hub.request("PUT", f"{begun.headers['Location']}?digest={sha256(config)}", config).status == 201
        identity = {"uploadId": upload["uploadId"]}
        assert self.allowed("upload_layer_part", **identity, partFirstByte=0, partLastByte=len(layer) - 1, layerPartBlob=layer)
        assert self.allowed("complete_layer_upload", **identity, layerDigests=[sha256(layer)])
        assert self.hub.put(manifest, "hub").status == 201
        assert self.allowed("put_image", imageManifest=manifest.decode(), imageTag="api")
        told = root(self.bearer.instance).client("ecr").describe_images(
            repositoryName=self.repository, imageIds=[{"imageDigest": sha256(manifest)}])
        assert sorted(told["imageDetails"][0]["imageTags"]) == ["api", "hub"]
        return True


class Owned:
    """A repository of the configured account, with one image."""

    def __init__(self, instance):
        self.instance, self.name, self.ecr = instance, f"team/{unique()}", root(instance).client("ecr")
        self.ecr.create_repository(repositoryName=self.name)
        self.hub = Hub(instance, self.name, token_of(self.ecr))
        self.manifest = self.hub.image("one")
        self.arn = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{self.name}"

    def let(self, *statements):
        text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        self.ecr.set_repository_policy(repositoryName=self.name, policyText=text)


@pytest.fixture
def owned(both):
    return Owned(both[0])


def statement(effect, actions, *principals, **more):
    principal = {"AWS": list(principals)} if principals else "*"
    return {"Effect": effect, "Principal": principal, "Action": actions} | more


def test_nobody_of_another_account_is_let_in_without_the_repositorys_policy(both, owned):
    guest, admin = Guest(both, owned.name, EVERYTHING), Guest(both, owned.name, allow("*"))
    for one in (guest, admin):
        assert (one.pulls(owned.manifest), one.pushes()) == (False, False)
        # Whether there is such a repository is not told either.
        assert one.hub.of("team/none")("GET", "manifests/one").refusal == (403, "DENIED")
        # At an address without an account it is the guest's own registry, which has none of that name.
        assert Hub(both[0], owned.name, one.hub.token)("GET", "manifests/one").refusal == (404, "NAME_UNKNOWN")


def test_both_sides_must_allow(both, owned):
    able, unable = Guest(both, owned.name, EVERYTHING), Guest(both, owned.name, LOGIN)
    owned.let(statement("Allow", PULL, f"arn:aws:iam::{OTHER}:root"))
    assert (able.pulls(owned.manifest), able.pushes()) == (True, False)
    assert (unable.pulls(owned.manifest), unable.pushes()) == (False, False)
    # Its own policies decide what of the other account's it may.
    narrow = Guest(both, owned.name, LOGIN, allow(*PULL, resource=owned.arn))
    elsewhere = Guest(both, owned.name, LOGIN, allow(*PULL, resource=f"arn:aws:ecr:us-east-1:{OTHER}:repository/*"))
    assert (narrow.pulls(owned.manifest), elsewhere.pulls(owned.manifest)) == (True, False)
    owned.let(statement("Allow", PUSH))
    assert (able.pulls(owned.manifest), able.pushes(), narrow.pushes()) == (True, True, False)
    owned.ecr.delete_repository_policy(repositoryName=owned.name)
    assert (able.pulls(owned.manifest), able.pushes()) == (False, False)


def test_a_policy_may_name_one_user_of_another_account(both, owned):
    named, others = Guest(both, owned.name, EVERYTHING), Guest(both, owned.name, EVERYTHING)
    owned.let(statement("Allow", PUSH, named.arn))
    assert (named.pulls(owned.manifest), named.pushes()) == (True, True)
    assert (others.pulls(owned.manifest), others.pushes()) == (False, False)
    # Nothing but what it says: the owner's settings and deletions are not in it.
    assert named.allowed("batch_delete_image", imageIds=[{"imageTag": "one"}]) is None
    assert named.hub("DELETE", "manifests/one").refusal == (403, "DENIED")
    assert named.allowed("delete_repository", force=True) is None
    assert named.allowed("set_repository_policy", policyText=json.dumps(allow("ecr:*"))) is None


def test_a_denial_weighs_more_than_what_allows(both, owned):
    guest, spared = Guest(both, owned.name, EVERYTHING), Guest(both, owned.name, EVERYTHING)
    let_in = statement("Allow", PUSH, f"arn:aws:iam::{OTHER}:root")
    owned.let(let_in, statement("Deny", "ecr:*", guest.arn))
    assert (guest.pulls(owned.manifest), guest.pushes()) == (False, False)
    assert (spared.pulls(owned.manifest), spared.pushes()) == (True, True)
    owned.let(let_in, statement("Deny", PUSH, Condition={"StringEquals": {"aws:PrincipalAccount": OTHER}}))
    assert (spared.pulls(owned.manifest), spared.pushes()) == (False, False)
    owned.let(let_in)
    assert guest.pulls(owned.manifest)
    denying = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "ecr:PutImage", "Resource": "*"}]}
    held = Guest(both, owned.name, EVERYTHING, denying)
    assert held.pulls(owned.manifest)
    assert held.hub.put(owned.manifest, "new").refusal == (403, "DENIED")
    assert held.allowed("put_image", imageManifest=owned.manifest.decode(), imageTag="new") is None


def test_the_registrys_policy_lets_another_account_in_and_keeps_it_out(both, owned):
    guest, closed = Guest(both, owned.name, EVERYTHING), Owned(both[0])
    outside = Guest(both, closed.name, EVERYTHING)
    other = f"arn:aws:iam::{OTHER}:root"

    def let(*statements):
        owned.ecr.put_registry_policy(policyText=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))

    try:
        let(statement("Allow", PUSH, other, Resource=owned.arn))
        assert (guest.pulls(owned.manifest), guest.pushes()) == (True, True)
        assert (outside.pulls(closed.manifest), outside.pushes()) == (False, False)
        owned.let(statement("Deny", PUSH, other))
        assert (guest.pulls(owned.manifest), guest.pushes()) == (False, False)
        # The other way round: the repository lets it in, the registry does not.
        let(statement("Deny", "ecr:PutImage", other, Resource=f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/*"))
        owned.let(statement("Allow", PUSH, other))
        assert guest.pulls(owned.manifest)
        assert guest.hub.put(owned.manifest, "new").refusal == (403, "DENIED")
        assert guest.allowed("put_image", imageManifest=owned.manifest.decode(), imageTag="new") is None
    finally:
        owned.ecr.delete_registry_policy()


def test_a_layer_is_mounted_only_from_where_it_may_be_read(both, owned):
    closed = Owned(both[0])
    guest = Guest(both, owned.name, EVERYTHING)
    owned.let(statement("Allow", PUSH, guest.arn))
    layer = json.loads(closed.manifest)["layers"][0]["digest"]
    mount = f"blobs/uploads/?mount={layer}&from={closed.name}"
    answer = guest.hub("POST", mount, b"")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (202, None)
    assert guest.hub("HEAD", f"blobs/{layer}").status == 404
    closed.let(statement("Allow", PULL, guest.arn))
    assert guest.hub("POST", mount, b"").status == 201
    assert guest.hub("HEAD", f"blobs/{layer}").status == 200


def test_who_takes_a_role_of_the_other_account_is_of_that_account(both, owned):
    guest = Guest(both, owned.name, LOGIN, allow("sts:AssumeRole"))
    assert not guest.pulls(owned.manifest)
    lent = role(both[0], trusting({"AWS": guest.arn}), "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly")
    guest.see(guest.bearer.assume(lent))
    assert (guest.pulls(owned.manifest), guest.pushes()) == (True, False)


def test_accounts_have_repositories_of_the_same_name(both, owned):
    instance, admin = both
    admin.client("ecr").create_repository(repositoryName=owned.name)
    own = Guest(both, owned.name, EVERYTHING, account=OTHER)
    manifest = own.hub.image("one")
    assert own.pulls(manifest)
    assert owned.hub("GET", f"manifests/{sha256(manifest)}").refusal == (404, "MANIFEST_UNKNOWN")
    assert owned.hub("GET", "manifests/one").body == owned.manifest
    layer = json.loads(owned.manifest)["layers"][0]["digest"]
    assert own.hub("HEAD", f"blobs/{layer}").status == 404
