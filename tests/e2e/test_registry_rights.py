"""Who may push and pull: policies of callers and of repositories, at each request, on both faces of the registry alike."""

import json
import os

from account import eventually, unique
from disk import content, files
from hub import Hub, image, sha256, token_of
from hub import hub, token  # noqa: F401
from test_full_disk import fill, small  # noqa: F401
from test_identity import ACCOUNT, allow, role, root, trusting, user

PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
PUSH = ["ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage"]
LOGIN = allow("ecr:GetAuthorizationToken")


def arn(hub):
    return f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{hub.name}"


def seen_by(hub, *policies):
    """The repository as a new user with these policies sees it."""
    name, bearer = user(hub.instance, LOGIN, *policies)
    return name, Hub(hub.instance, hub.name, token_of(bearer.client("ecr")))


def pulled(hub, manifest):
    """The statuses of a pull, and of a push's requests."""
    layer = json.loads(manifest)["layers"][0]["digest"]
    asked = [("GET", f"manifests/{sha256(manifest)}"), ("HEAD", f"manifests/{sha256(manifest)}"), ("GET", f"blobs/{layer}"),
             ("HEAD", f"blobs/{layer}")]
    return {hub(method, path).status for method, path in asked}


def pushed(hub, manifest):
    asked = [("POST", "blobs/uploads/", b""), ("PUT", "manifests/new", manifest), ("DELETE", f"manifests/{sha256(manifest)}", None)]
    return [hub(method, path, body).status for method, path, body in asked]


def test_who_may_pull_may_not_push(hub):
    manifest = hub.image("one")
    _, puller = seen_by(hub, allow(*PULL, resource=arn(hub)))
    assert pulled(puller, manifest) == {200}
    assert pushed(puller, manifest) == [403, 403, 403]
    answer = puller("POST", "blobs/uploads/", b"")
    assert answer.code == "DENIED" and "is not authorized to perform: ecr:InitiateLayerUpload on resource: " + arn(hub) in answer.body.decode()
    assert puller("GET", "tags/list").refusal == (403, "DENIED")
    assert puller("GET", f"referrers/{sha256(manifest)}").refusal == (403, "DENIED")
    place = hub.begin()
    for method, path in [("PATCH", place), ("PUT", f"{place}?digest={sha256(b'x')}"), ("GET", place), ("DELETE", place)]:
        assert puller.request(method, path, b"x").refusal == (403, "DENIED"), method
    assert hub.request("PUT", f"{place}?digest={sha256(b'x')}", b"x").status == 201
    # Whether there is another repository is not told.
    assert pulled(puller.of("team/none"), manifest) == {403}


def test_who_may_push_may_not_pull(hub):
    manifest = hub.image("one")
    _, pusher = seen_by(hub, allow(*PUSH, resource=arn(hub)))
    assert pulled(pusher, manifest) == {403}
    pusher.image("two")
    assert pusher("DELETE", "manifests/two").refusal == (403, "DENIED")


def test_who_may_not_complete_an_upload_does_not_use_it_up(hub):
    data = os.urandom(5000)
    _, half = seen_by(hub, allow("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", resource=arn(hub)))
    place = half.begin()
    assert half.request("PATCH", place, data[:3000]).status == 202
    answer = half.request("PUT", f"{place}?digest={sha256(data)}", data[3000:])
    assert answer.refusal == (403, "DENIED") and b"ecr:CompleteLayerUpload" in answer.body
    assert half.request("GET", place).headers["Range"] == "0-2999"
    assert hub.request("PUT", f"{place}?digest={sha256(data)}", data[3000:]).status == 201


def test_a_mount_tells_nothing_of_a_repository_that_is_closed(strict, hub):
    secret = os.urandom(5000)
    hub.push(secret)
    target = f"team/{unique()}"
    root(strict).client("ecr").create_repository(repositoryName=target)
    _, pusher = seen_by(hub.of(target), allow(*PUSH, resource=f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{target}"))
    _, reader = seen_by(hub.of(target), allow(*PUSH, resource=f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{target}"), allow(*PULL, resource=arn(hub)))
    known, unknown = f"blobs/uploads/?mount={sha256(secret)}&from={hub.name}", f"blobs/uploads/?mount={sha256(b'none')}&from={hub.name}"
    for path in (known, unknown):
        answer = pusher("POST", path, b"")
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (202, None)
    assert hub.of(target)("HEAD", f"blobs/{sha256(secret)}").status == 404
    # Nor does a manifest that names it.
    config = pusher.push(b"{}") and b"{}"
    assert pusher.put(image(config, secret), "stolen").refusal == (400, "MANIFEST_BLOB_UNKNOWN")
    assert reader("POST", known, b"").status == 201
    assert hub.of(target)("GET", f"blobs/{sha256(secret)}").body == secret


def test_what_is_taken_from_a_user_is_taken_from_its_token(strict, hub):
    manifest = hub.image("one")
    iam = root(strict).client("iam")
    name, puller = seen_by(hub)
    assert pulled(puller, manifest) == {403}
    iam.put_user_policy(UserName=name, PolicyName="pull", PolicyDocument=json.dumps(allow(*PULL)))
    assert pulled(puller, manifest) == {200}
    iam.delete_user_policy(UserName=name, PolicyName="pull")
    assert pulled(puller, manifest) == {403}
    for policy in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy)
    [key] = [key["AccessKeyId"] for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]]
    for status, wanted in [("Inactive", (401, "UNAUTHORIZED")), ("Active", (403, "DENIED"))]:
        iam.update_access_key(UserName=name, AccessKeyId=key, Status=status)
        assert puller("GET", "manifests/one").refusal == wanted, status
    iam.delete_access_key(UserName=name, AccessKeyId=key)
    assert puller("GET", "manifests/one").refusal == (401, "UNAUTHORIZED")
    iam.delete_user(UserName=name)
    assert puller("GET", "manifests/one").refusal == (401, "UNAUTHORIZED")
    iam.create_user(UserName=name)
    assert puller("GET", "manifests/one").refusal == (401, "UNAUTHORIZED")


def test_a_repositorys_policy_counts_at_each_request(strict, hub):
    manifest = hub.image("one")
    client = root(strict).client("ecr")
    name, guest = seen_by(hub)
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": PULL}
    def let(*statements):
        text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        client.set_repository_policy(repositoryName=hub.name, policyText=text)
    assert pulled(guest, manifest) == {403}
    let(statement)
    assert pulled(guest, manifest) == {200} and pushed(guest, manifest) == [403, 403, 403]
    let(statement, {"Effect": "Deny", "Principal": "*", "Action": "ecr:GetDownloadUrlForLayer"})
    layer = json.loads(manifest)["layers"][0]["digest"]
    assert (guest("GET", "manifests/one").status, guest("GET", f"blobs/{layer}").status) == (200, 403)
    assert hub("GET", f"blobs/{layer}").status == 403, "it binds the root too"
    client.delete_repository_policy(repositoryName=hub.name)
    assert pulled(guest, manifest) == {403}


def test_the_registrys_policy_counts_for_all_its_repositories(strict, hub):
    manifest = hub.image("one")
    client = root(strict).client("ecr")
    name, guest = seen_by(hub)
    principal = {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": PULL, "Resource": arn(hub)}
    client.put_registry_policy(policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    try:
        assert pulled(guest, manifest) == {200} and pushed(guest, manifest) == [403, 403, 403]
        deny = {"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}
        client.set_repository_policy(repositoryName=hub.name, policyText=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
        assert guest("GET", "manifests/one").status == 403, "what either denies is denied"
    finally:
        client.delete_registry_policy()
    client.delete_repository_policy(repositoryName=hub.name)
    assert pulled(guest, manifest) == {403}


def test_a_roles_session_gets_a_token_of_the_role(strict, hub):
    manifest = hub.image("one")
    trust = trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    puller = role(strict, trust, "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly")
    _, someone = user(strict, allow("sts:AssumeRole"))
    session = someone.assume(puller)
    seen = Hub(strict, hub.name, token_of(session.client("ecr")))
    assert pulled(seen, manifest) == {200} and pushed(seen, manifest) == [403, 403, 403]


def test_a_url_of_a_layer_works_for_that_layer_alone(strict, hub):
    manifest = hub.image("one", [os.urandom(4000), os.urandom(4000)])
    one, two = (layer["digest"] for layer in json.loads(manifest)["layers"])
    url = root(strict).client("ecr").get_download_url_for_layer(repositoryName=hub.name, layerDigest=one)["downloadUrl"]
    path = url.split(str(strict.port), 1)[1]
    stranger = Hub(strict, hub.name)
    got = stranger.request("GET", path)
    assert (got.status, sha256(got.body)) == (200, one)
    assert stranger.request("GET", path, headers={"Range": "bytes=1-2"}).body == got.body[1:3]
    assert stranger.request("GET", path.replace(one, two)).refusal == (403, "DENIED")
    assert stranger.request("GET", path[:-1] + ("0" if path[-1] != "0" else "1")).refusal == (403, "DENIED")
    assert stranger.request("GET", path.split("?")[0]).refusal == (401, "UNAUTHORIZED")
    assert stranger.request("PUT", path, b"").status == 401


def test_both_faces_show_the_same(strict, hub):
    manifest = hub.image("pushed")
    client = root(strict).client("ecr")
    got = client.batch_get_image(repositoryName=hub.name, imageIds=[{"imageTag": "pushed"}])["images"][0]
    assert (got["imageManifest"].encode(), got["imageId"]["imageDigest"]) == (manifest, sha256(manifest))
    client.put_image(repositoryName=hub.name, imageManifest=manifest.decode(), imageTag="again")
    assert hub("GET", "tags/list").json()["tags"] == ["again", "pushed"]
    # An upload that was begun by the one may be ended by the other.
    data = os.urandom(50_000)
    upload = client.initiate_layer_upload(repositoryName=hub.name)["uploadId"]
    assert hub("PATCH", f"blobs/uploads/{upload}", data[:20_000]).headers["Range"] == "0-19999"
    client.upload_layer_part(repositoryName=hub.name, uploadId=upload, partFirstByte=20_000, partLastByte=49_999,
                             layerPartBlob=data[20_000:])
    client.complete_layer_upload(repositoryName=hub.name, uploadId=upload, layerDigests=[sha256(data)])
    assert hub("GET", f"blobs/{sha256(data)}").body == data


def test_a_tag_that_may_not_move_does_not(strict, hub):
    client = root(strict).client("ecr")
    client.put_image_tag_mutability(repositoryName=hub.name, imageTagMutability="IMMUTABLE")
    manifest = hub.image("v1")
    assert hub.put(manifest, "v1").status == 201
    other = hub.image()
    answer = hub.put(other, "v1")
    assert answer.refusal == (400, "TAG_INVALID") and "immutable" in answer.body.decode()
    assert hub("GET", "manifests/v1").body == manifest


def test_a_deleted_repository_takes_everything_with_it(strict, hub):
    manifest = hub.image("one")
    layer = json.loads(manifest)["layers"][0]["digest"]
    place = hub.begin()
    client = root(strict).client("ecr")
    client.delete_repository(repositoryName=hub.name, force=True)
    for method, path in [("GET", "manifests/one"), ("GET", f"blobs/{layer}"), ("GET", "tags/list")]:
        assert hub(method, path).refusal == (404, "NAME_UNKNOWN"), path
    assert hub.request("PATCH", place, b"x").status == 404
    client.create_repository(repositoryName=hub.name)
    assert hub("GET", f"blobs/{layer}").refusal == (404, "BLOB_UNKNOWN")
    assert hub("GET", "tags/list").json()["tags"] == []


def test_a_full_disk_refuses_pushes_and_serves_pulls(small):  # noqa: F811
    client = root(small).client("ecr")
    client.create_repository(repositoryName="full")
    hub = Hub(small, "full", token_of(client))
    manifest = hub.image("before")
    fill(small.data_dir, leave=6 * 2**20)
    data = os.urandom(8 * 2**20)
    statuses = [hub("POST", f"blobs/uploads/?digest={sha256(data)}", data).refusal for _ in range(3)]
    assert set(statuses) == {(503, "UNAVAILABLE")}
    place = hub("POST", "blobs/uploads/", b"")
    if place.status == 202:
        assert hub.request("PATCH", place.headers["Location"], data).refusal == (503, "UNAVAILABLE")
    assert [path for path in files(small.data_dir / "registry" / "uploads") if content(path)] == []
    assert hub("GET", "manifests/before").body == manifest
    os.unlink(small.data_dir / "filler")
    eventually(lambda: hub("POST", f"blobs/uploads/?digest={sha256(data)}", data).status == 201)
    assert hub("GET", f"blobs/{sha256(data)}").body == data
