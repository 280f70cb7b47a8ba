"""Replication between the registries of two instances: what is pushed to one is found in the other, whatever happens on the way."""

import json
import random
import re

import boto3
import botocore.exceptions
import pytest
from account import eventually, unique
from conftest import Instance
from disk import files, size
from ecr import host, skopeo, token
from hub import Hub, INDEX, MANIFEST, described, index, sha256, token_of
from picture import entry, layer, write

SOURCE, TARGET = "111111111111", "222222222222"
HERE, THERE = "us-east-1", "eu-west-1"
DENIED = "DESTINATION_REGISTRY_ACCESS_DENIED"
HEADER = "x-longshore-replication"

BRINGS = ["ecr:GetAuthorizationToken", "ecr:ReplicateImage", "ecr:CreateRepository"]

# Bytes of a layer that takes a while.
LARGE = 200_000_000


def key(instance, *actions):
    """An access key of a new user that may do this, and the user's name."""
    iam, name = instance.client("iam"), unique()
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
    iam.put_user_policy(UserName=name, PolicyName="it", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return name, made["AccessKeyId"], made["SecretAccessKey"]


def caller(instance, region, access_key, secret):
    """A client of the registry with a key."""
    return boto3.client("ecr", endpoint_url=instance.endpoint, region_name=region, aws_access_key_id=access_key,
                        aws_secret_access_key=secret)


def befriend(instance, registry, region, peer, access_key, secret):
    """Tell an instance where a registry is, from its next start on."""
    path = instance.data_dir / "registry-peers.json"
    known = {"url": peer.endpoint, "accessKeyId": access_key, "secretAccessKey": secret}
    path.write_text(json.dumps({f"{registry}/{region}": known}))
    path.chmod(0o600)


class Pair:
    """A registry and the one that its images go to, each of an instance and an account of its own."""

    def __init__(self):
        self.source = Instance("--engine", "simulated", "--account-id", SOURCE, "--region", HERE).start()
        self.target = Instance("--engine", "simulated", "--account-id", TARGET, "--region", THERE).start()
        rights = [*BRINGS, "ecr:GetDownloadUrlForLayer"]
        self.bringer, *there = key(self.target, *rights)
        _, *here = key(self.source, *rights)
        befriend(self.source, TARGET, THERE, self.target, *there)
        befriend(self.target, SOURCE, HERE, self.source, *here)
        for instance in (self.source, self.target):
            instance.stop()
            instance.start()
        self.near, self.far = self.source.client("ecr"), self.target.client("ecr")
        self.let("ecr:ReplicateImage", "ecr:CreateRepository")

    def remove(self):
        self.source.remove()
        self.target.remove()

    def let(self, *actions, source=SOURCE):
        """Let an account bring copies to the target."""
        policy = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{source}:root"}, "Action": list(actions),
            "Resource": f"arn:aws:ecr:{THERE}:{TARGET}:repository/*"}]}
        self.far.put_registry_policy(policyText=json.dumps(policy))

    def follow(self, *prefixes):
        """What begins with these goes to the target; everything, if nothing is said."""
        rule = {"destinations": [{"region": THERE, "registryId": TARGET}]}
        if prefixes:
            rule["repositoryFilters"] = [{"filter": prefix, "filterType": "PREFIX_MATCH"} for prefix in prefixes]
        self.near.put_replication_configuration(replicationConfiguration={"rules": [rule]})
        return rule

    def hub(self, name=None):
        """A new repository of the source, whose images are replicated."""
        name = name or f"team/{unique()}"
        self.follow(name)
        return self.quiet(name)

    def quiet(self, name=None):
        """A new repository of the source."""
        name = name or f"team/{unique()}"
        self.near.create_repository(repositoryName=name)
        return Hub(self.source, name, token_of(self.near))

    def far_hub(self, name, **options):
        return Hub(self.target, name, token_of(self.far), **options)

    def statuses(self, name, digest):
        found = self.near.describe_image_replication_status(repositoryName=name, imageId={"imageDigest": digest})
        return found["replicationStatuses"]

    def ended(self, name, digest):
        """How the replication of an image ended."""
        def look():
            [status] = self.statuses(name, digest)
            return status if status["status"] != "IN_PROGRESS" else None

        return eventually(look)

    def complete(self, name, manifest):
        ended = self.ended(name, sha256(manifest))
        assert ended == {"region": THERE, "registryId": TARGET, "status": "COMPLETE"}

    def tags(self, name):
        """Digests by tags, as the target has them."""
        pages = self.far.get_paginator("list_images").paginate(repositoryName=name)
        return {one["imageTag"]: one["imageDigest"] for page in pages for one in page["imageIds"] if "imageTag" in one}

    def coming(self):
        """Bytes of uploads that the target has and that are not finished."""
        return sum(map(size, files(self.target.data_dir / "registry" / "uploads")))

    def uploads(self, name):
        """Records of the uploads that were begun in a repository of the target."""
        named = [{"AttributeKey": "EventName", "AttributeValue": "InitiateLayerUpload"}]
        pages = self.target.client("cloudtrail").get_paginator("lookup_events").paginate(LookupAttributes=named)
        events = [json.loads(one["CloudTrailEvent"]) for page in pages for one in page["Events"]]
        return [one for one in events if one["requestParameters"]["repositoryName"] == name]

    def digests(self, name):
        pages = self.far.get_paginator("list_images").paginate(repositoryName=name)
        return {one["imageDigest"] for page in pages for one in page["imageIds"]}


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.remove()


def code(call, **members):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**members)
    return error.value.response["Error"]["Code"]


def test_what_is_pushed_to_one_registry_is_pulled_from_the_other(pair, tmp_path):
    name = f"team/{unique()}"
    rule = pair.follow("other/", name)
    assert pair.near.describe_registry()["replicationConfiguration"] == {"rules": [rule]}
    pair.near.create_repository(repositoryName=name)
    archive = write(tmp_path / "image.tar", [layer(entry("mark", content=unique().encode()))], {})
    skopeo("copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", token(pair.near), f"oci-archive:{archive}",
           f"docker://{host(pair.source)}/{name}:v1")
    pushed = pair.near.describe_images(repositoryName=name, imageIds=[{"imageTag": "v1"}])["imageDetails"][0]
    assert pair.ended(name, pushed["imageDigest"])["status"] == "COMPLETE"
    found = pair.far.describe_images(repositoryName=name, imageIds=[{"imageTag": "v1"}])["imageDetails"][0]
    for member in ("imageDigest", "imageSizeInBytes", "imageManifestMediaType", "artifactMediaType", "imageTags"):
        assert found[member] == pushed[member], member
    described = pair.far.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert (described["registryId"], described["imageTagMutability"]) == (TARGET, "MUTABLE")
    for instance, client in [(pair.source, pair.near), (pair.target, pair.far)]:
        skopeo("copy", "--quiet", "--src-tls-verify=false", "--src-creds", token(client),
               f"docker://{host(instance)}/{name}:v1", f"dir:{tmp_path}/{instance.port}")
    near, far = (tmp_path / str(instance.port) for instance in (pair.source, pair.target))
    assert {one.name: one.read_bytes() for one in near.iterdir()} == {one.name: one.read_bytes() for one in far.iterdir()}
    by_tag = pair.near.describe_image_replication_status(repositoryName=name, imageId={"imageTag": "v1"})
    assert by_tag["imageId"] == {"imageDigest": pushed["imageDigest"], "imageTag": "v1"}


def test_only_what_is_pushed_after_its_rule_goes(pair):
    pair.follow("nothing/")
    hub = pair.quiet()
    before = hub.image("before")
    other = pair.quiet()
    pair.follow(hub.name)
    after, elsewhere = hub.image("after"), other.image("one")
    pair.complete(hub.name, after)
    assert pair.tags(hub.name) == {"after": sha256(after)} and pair.digests(hub.name) == {sha256(after)}
    assert pair.statuses(hub.name, sha256(before)) == pair.statuses(other.name, sha256(elsewhere)) == []
    assert code(pair.far.describe_repositories, repositoryNames=[other.name]) == "RepositoryNotFoundException"


def test_a_tag_that_is_moved_moves_there_and_deletions_stay(pair):
    hub = pair.hub()
    first = hub.image("latest")
    pair.complete(hub.name, first)
    second = hub.image("latest")
    pair.complete(hub.name, second)
    assert pair.tags(hub.name) == {"latest": sha256(second)}
    assert hub.put(first, "latest").status == 201 and hub.put(first, "old").status == 201
    pair.complete(hub.name, first)
    assert pair.tags(hub.name) == {"latest": sha256(first), "old": sha256(first)}
    pair.near.batch_delete_image(repositoryName=hub.name, imageIds=[{"imageDigest": sha256(first)}])
    third = hub.image("third")
    pair.complete(hub.name, third)
    assert pair.tags(hub.name) == {"latest": sha256(first), "old": sha256(first), "third": sha256(third)}


def test_many_moves_of_a_tag_end_where_the_last_one_did(pair):
    hub = pair.hub()
    images = [hub.image("latest") for _ in range(5)]
    for turn in range(15):
        assert hub.put(images[turn % 5], "latest").status == 201
    last = hub.image("latest")
    for manifest in [*images, last]:
        pair.complete(hub.name, manifest)
    assert pair.tags(hub.name) == {"latest": sha256(last)}
    assert pair.digests(hub.name) == {sha256(manifest) for manifest in [*images, last]}


def test_an_index_goes_with_its_images(pair):
    pair.follow("nothing/")
    hub = pair.quiet()
    children = [hub.image() for _ in range(3)]
    inner = index(*children[:2])
    assert hub.put(inner, media_type=INDEX).status == 201
    pair.follow(hub.name)
    outer = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        described(inner, INDEX), described(children[2], MANIFEST)]}).encode()
    assert hub.put(outer, "all", INDEX).status == 201
    pair.complete(hub.name, outer)
    assert pair.tags(hub.name) == {"all": sha256(outer)}
    assert pair.digests(hub.name) == {sha256(one) for one in [outer, inner, *children]}
    there = pair.far_hub(hub.name)
    for manifest in children:
        assert there("GET", f"manifests/{sha256(manifest)}").body == manifest
        for part in json.loads(manifest)["layers"]:
            assert len(there("GET", f"blobs/{part['digest']}").body) == part["size"]


def test_a_layer_that_is_there_is_not_sent_again(pair):
    shared = random.randbytes(3_000_000)
    first = pair.hub()
    one = first.image("one", [shared])
    pair.complete(first.name, one)
    again = first.image("two", [shared])
    pair.complete(first.name, again)
    name = first.name + "-more"
    second = pair.hub(name)
    pair.complete(name, second.image("one", [shared]))
    assert pair.far_hub(name)("GET", f"blobs/{sha256(shared)}").body == shared
    # Its configuration alone was uploaded: the layer was mounted.
    assert len(pair.uploads(name)) == 1


def test_a_peer_that_was_away_gets_what_it_missed(pair):
    hub = pair.hub()
    pair.target.stop()
    manifests = [hub.image(f"v{number}") for number in range(3)]
    # The log names the image of each try that fails.
    eventually(lambda: sha256(manifests[0]) in pair.source.log_text())
    for manifest in manifests:
        assert pair.statuses(hub.name, sha256(manifest))[0]["status"] == "IN_PROGRESS"
    pair.source.stop()
    pair.source.start()
    pair.target.start()
    for manifest in manifests:
        pair.complete(hub.name, manifest)
    assert pair.tags(hub.name) == {f"v{number}": sha256(manifest) for number, manifest in enumerate(manifests)}


def test_what_no_rule_asks_for_any_more_does_not_go(pair):
    hub = pair.hub()
    pair.target.stop()
    manifest = hub.image("one")
    eventually(lambda: sha256(manifest) in pair.source.log_text())
    pair.follow(f"{hub.name}/other")
    pair.target.start()
    eventually(lambda: pair.statuses(hub.name, sha256(manifest)) == [])
    assert not repository_is_there(pair, hub.name)
    pair.follow(hub.name)
    pair.complete(hub.name, hub.image("two"))
    assert set(pair.tags(hub.name)) == {"two"}


def test_a_source_that_is_killed_on_the_way_goes_on(pair):
    hub = pair.hub()
    data, before = random.randbytes(LARGE), pair.coming()
    manifest = hub.image("large", [data])
    eventually(lambda: pair.coming() > before, every=0.002)
    pair.source.kill()
    assert sha256(manifest) not in (pair.digests(hub.name) if repository_is_there(pair, hub.name) else set())
    pair.source.start()
    pair.complete(hub.name, manifest)
    answer = pair.far_hub(hub.name)("GET", f"blobs/{sha256(data)}")
    assert sha256(answer.body) == sha256(data)
    assert pair.tags(hub.name) == {"large": sha256(manifest)}


def repository_is_there(pair, name):
    try:
        return bool(pair.far.describe_repositories(repositoryNames=[name]))
    except pair.far.exceptions.RepositoryNotFoundException:
        return False


def test_a_target_that_is_killed_on_the_way_gets_it_all(pair):
    hub = pair.hub()
    data, before = random.randbytes(LARGE), pair.coming()
    manifest = hub.image("large", [data])
    eventually(lambda: pair.coming() > before, every=0.002)
    pair.target.kill()
    pair.target.start()
    pair.complete(hub.name, manifest)
    answer = pair.far_hub(hub.name)("GET", f"blobs/{sha256(data)}")
    assert sha256(answer.body) == sha256(data)


def test_a_right_that_is_taken_away_is_told_and_one_that_is_given_back_acts(pair):
    hub = pair.hub()
    pair.complete(hub.name, hub.image("one"))
    for actions, source in [(["ecr:CreateRepository"], SOURCE), (["ecr:*"], "333333333333")]:
        pair.let(*actions, source=source)
        manifest = hub.image("two")
        ended = pair.ended(hub.name, sha256(manifest))
        assert ended == {"region": THERE, "registryId": TARGET, "status": "FAILED", "failureCode": DENIED}
    assert f"arn:aws:iam::{SOURCE}:root is not authorized to perform: ecr:ReplicateImage" in pair.source.log_text()
    assert sha256(manifest) not in pair.digests(hub.name)
    # To make what is not there is a right of its own.
    pair.let("ecr:ReplicateImage")
    other = pair.hub()
    assert pair.ended(other.name, sha256(other.image("one")))["failureCode"] == DENIED
    assert not repository_is_there(pair, other.name)
    pair.follow(hub.name)
    third = hub.image("three")
    pair.complete(hub.name, third)
    pair.let("ecr:ReplicateImage", "ecr:CreateRepository")
    assert hub.put(manifest, "two").status == 201
    pair.complete(hub.name, manifest)
    assert pair.tags(hub.name)["two"] == sha256(manifest)


def test_the_key_that_brings_copies_must_be_let_as_well(pair):
    iam = pair.target.client("iam")
    documents = {name: iam.get_user_policy(UserName=pair.bringer, PolicyName=name)["PolicyDocument"]
                 for name in iam.list_user_policies(UserName=pair.bringer)["PolicyNames"]}
    for account, status in [("333333333333", "FAILED"), (SOURCE, "COMPLETE")]:
        narrow = json.loads(json.dumps(documents["it"]))
        narrow["Statement"] = [
            {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
            {"Effect": "Allow", "Action": ["ecr:ReplicateImage", "ecr:CreateRepository"], "Resource": "*",
             "Condition": {"StringEquals": {"aws:SourceAccount": account}}}]
        iam.put_user_policy(UserName=pair.bringer, PolicyName="it", PolicyDocument=json.dumps(narrow))
        hub = pair.hub()
        assert pair.ended(hub.name, sha256(hub.image("one")))["status"] == status, account
    iam.put_user_policy(UserName=pair.bringer, PolicyName="it", PolicyDocument=json.dumps(documents["it"]))


def test_templates_and_immutable_tags_hold_for_copies(pair):
    prefix = unique()
    pair.far.create_repository_creation_template(
        prefix=prefix, appliedFor=["REPLICATION"], imageTagMutability="IMMUTABLE",
        resourceTags=[{"Key": "made", "Value": "for copies"}])
    hub = pair.hub(f"{prefix}/web")
    first = hub.image("one")
    pair.complete(hub.name, first)
    made = pair.far.describe_repositories(repositoryNames=[hub.name])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE"
    tags = pair.far.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "made", "Value": "for copies"}]
    second = hub.image("one")
    pair.complete(hub.name, second)
    assert pair.tags(hub.name) == {"one": sha256(first)}
    assert pair.digests(hub.name) == {sha256(first), sha256(second)}


def test_copies_do_not_go_round(pair):
    near_policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{TARGET}:root"},
        "Action": ["ecr:ReplicateImage", "ecr:CreateRepository"], "Resource": "*"}]}
    pair.near.put_registry_policy(policyText=json.dumps(near_policy))
    rule = {"destinations": [{"region": HERE, "registryId": SOURCE}]}
    pair.far.put_replication_configuration(replicationConfiguration={"rules": [rule]})
    hub = pair.hub()
    manifest = hub.image("one")
    pair.complete(hub.name, manifest)
    back = pair.far.describe_image_replication_status(repositoryName=hub.name, imageId={"imageTag": "one"})
    assert back["replicationStatuses"] == []
    # What is pushed there goes here, and no further.
    own = pair.far_hub(hub.name).image("two")
    found = eventually(lambda: [one for one in pair.far.describe_image_replication_status(
        repositoryName=hub.name, imageId={"imageTag": "two"})["replicationStatuses"] if one["status"] == "COMPLETE"])
    assert found == [{"region": HERE, "registryId": SOURCE, "status": "COMPLETE"}]
    assert hub("GET", "manifests/two").body == own
    assert pair.statuses(hub.name, sha256(own)) == []
    pair.far.put_replication_configuration(replicationConfiguration={"rules": []})


def test_who_says_to_bring_a_copy_gets_nothing_by_it(pair):
    hub = pair.hub()
    manifest = hub.image("one")
    pair.complete(hub.name, manifest)
    brought = f"{SOURCE} {TARGET}/{THERE}"
    there = pair.far_hub(hub.name)
    layer = json.loads(manifest)["layers"][0]["digest"]
    # Not even the root reads or deletes as one that brings.
    for method, path in [("GET", f"manifests/{sha256(manifest)}"), ("GET", f"blobs/{layer}"), ("GET", "tags/list"),
                         ("DELETE", "manifests/one"), ("DELETE", f"blobs/{layer}")]:
        answer = there.request(method, f"/v2/{hub.name}/{path}", headers={HEADER: brought})
        assert answer.refusal == (403, "DENIED"), (method, path)
    put = lambda value: there.request("PUT", f"/v2/{hub.name}/manifests/x", manifest, {HEADER: value, "Content-Type": MANIFEST})
    assert put(brought).status == 201
    for value, refusal in [("", (403, "DENIED")), (SOURCE, (403, "DENIED")), (f"x {TARGET}/{THERE}", (403, "DENIED")),
                           (f"{SOURCE} {TARGET}/{HERE}", (404, "NAME_UNKNOWN")), (f"444444444444 {TARGET}/{THERE}", (403, "DENIED"))]:
        assert put(value).refusal == refusal, value
    # Not even by a mount, if it may not read as who it is.
    _, *bringer = key(pair.target, *BRINGS)
    bringer = Hub(pair.target, f"{hub.name}/other", token_of(caller(pair.target, THERE, *bringer)))
    begin = f"/v2/{bringer.name}/blobs/uploads/"
    for query in ("", f"?mount={layer}&from={hub.name}"):
        assert bringer.request("POST", f"{begin}{query}", b"", {HEADER: brought}).status == 202, query
    _, *pusher = key(pair.target, "ecr:GetAuthorizationToken", "ecr:PutImage", "ecr:BatchCheckLayerAvailability")
    pusher = Hub(pair.target, hub.name, token_of(caller(pair.target, THERE, *pusher)))
    assert pusher.put(manifest, "y").status == 201
    answer = pusher.request("PUT", f"/v2/{hub.name}/manifests/z", manifest, {HEADER: brought, "Content-Type": MANIFEST})
    assert answer.refusal == (403, "DENIED") and b"ecr:ReplicateImage" in answer.body


def test_rules_that_cannot_be_followed_are_refused(pair):
    def refused(*destinations, **more):
        rule = {"destinations": [{"region": region, "registryId": registry} for registry, region in destinations]} | more
        return code(pair.near.put_replication_configuration, replicationConfiguration={"rules": [rule]})

    assert refused((SOURCE, HERE)) == "InvalidParameterException"
    assert refused((TARGET, "ap-south-1")) == "ValidationException"
    assert refused(("333333333333", THERE)) == "ValidationException"


def test_another_account_of_the_same_installation_is_a_peer_too():
    instance = Instance("--engine", "simulated", "--auth", "permissive").start()
    try:
        instance.stop()
        befriend(instance, TARGET, HERE, instance, TARGET, "anything")
        instance.start()
        near, far, name = instance.client("ecr", SOURCE), instance.client("ecr", TARGET), unique()
        rule = {"destinations": [{"region": HERE, "registryId": TARGET}]}
        near.put_replication_configuration(replicationConfiguration={"rules": [rule]})
        near.create_repository(repositoryName=name)
        manifest = Hub(instance, name, token_of(near)).image("one")
        eventually(lambda: near.describe_image_replication_status(
            repositoryName=name, imageId={"imageTag": "one"})["replicationStatuses"][0]["status"] == "COMPLETE")
        assert Hub(instance, name, token_of(far))("GET", "manifests/one").body == manifest
    finally:
        instance.remove()


def test_a_file_of_peers_that_others_may_read_stops_the_start(tmp_path):
    path = tmp_path / "peers.json"
    path.write_text("{}")
    path.chmod(0o644)
    instance = Instance("--engine", "simulated", "--registry-peers", str(path))
    try:
        with pytest.raises(RuntimeError) as error:
            instance.start()
        assert re.search(r"peers.json: others may have access to it \(mode 0644\); chmod 600 it", str(error.value))
    finally:
        instance.remove()
