"""ECR's API, by boto3 and the AWS CLI: repositories, images in parts, policies that are asked, lifecycle policies that act."""

import base64
import hashlib
import json
import urllib.error
import urllib.request

import pytest
from account import eventually, unique
from refusal import check_refused
from test_identity import ACCOUNT, allow, root, user

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def upload(ecr, name, data, part=None):
    """A layer in parts of so many bytes; its descriptor."""
    part = part or len(data)
    begun = ecr.initiate_layer_upload(repositoryName=name)["uploadId"]
    for first in range(0, len(data), part):
        chunk = data[first:first + part]
        sent = ecr.upload_layer_part(repositoryName=name, uploadId=begun, partFirstByte=first,
                                     partLastByte=first + len(chunk) - 1, layerPartBlob=chunk)
        assert sent["lastByteReceived"] == first + len(chunk) - 1
    done = ecr.complete_layer_upload(repositoryName=name, uploadId=begun, layerDigests=[sha256(data)])
    assert done["layerDigest"] == sha256(data)
    return {"mediaType": LAYER, "digest": sha256(data), "size": len(data)}


def push(ecr, name, *tags, note="", layers=()):
    """An image, by the API alone; its digest."""
    config = f'{{"architecture":"amd64","os":"linux","note":"{note}"}}'.encode()
    config = upload(ecr, name, config) | {"mediaType": CONFIG}
    text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": list(layers)})
    for tag in tags or [None]:
        more = {"imageTag": tag} if tag else {}
        put = ecr.put_image(repositoryName=name, imageManifest=text, **more)["image"]
    assert put["imageId"]["imageDigest"] == sha256(text.encode())
    return put["imageId"]["imageDigest"]


def tags_of(ecr, name):
    found = ecr.get_paginator("list_images").paginate(repositoryName=name, filter={"tagStatus": "TAGGED"})
    return sorted(one["imageTag"] for page in found for one in page["imageIds"])


def test_the_command_line_leads_a_repository_through_its_life(strict, ecr):
    def aws(*words, **options):
        return strict.aws("ecr", *words, **options)

    name = f"shop/{unique()}"
    made = aws("create-repository", "--repository-name", name, "--image-scanning-configuration", "scanOnPush=true",
               "--tags", "Key=team,Value=web")["repository"]
    assert made["repositoryArn"] == f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{name}"
    assert made["repositoryUri"] == f"{ACCOUNT}.dkr.ecr.us-east-1.localhost:{strict.port}/{name}"
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    found = aws("describe-repositories", "--repository-names", name)["repositories"]
    assert found == [made]
    assert aws("list-tags-for-resource", "--resource-arn", made["repositoryArn"])["tags"] == [{"Key": "team", "Value": "web"}]
    aws("put-image-tag-mutability", "--repository-name", name, "--image-tag-mutability", "IMMUTABLE")
    digest = push(ecr, name, "v1")
    shown = aws("describe-images", "--repository-name", name, "--image-ids", "imageTag=v1")["imageDetails"]
    assert [(one["imageDigest"], one["imageTags"]) for one in shown] == [(digest, ["v1"])]
    refused = aws("delete-repository", "--repository-name", name, check=False)
    assert "RepositoryNotEmptyException" in refused.stderr
    deleted = aws("batch-delete-image", "--repository-name", name, "--image-ids", "imageTag=v1")
    assert deleted == {"imageIds": [{"imageDigest": digest, "imageTag": "v1"}], "failures": []}
    aws("delete-repository", "--repository-name", name)
    refused = aws("describe-repositories", "--repository-names", name, check=False)
    assert "RepositoryNotFoundException" in refused.stderr


def test_the_command_line_logs_in(strict):
    password = strict.aws("ecr", "get-login-password").strip()
    data = root(strict).client("ecr").get_authorization_token()["authorizationData"][0]
    user_name, _, secret = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    assert user_name == "AWS" and len(secret) > 100 and len(password) > 100 and "\n" not in password
    assert data["proxyEndpoint"] == f"http://{ACCOUNT}.dkr.ecr.us-east-1.localhost:{strict.port}"


def test_an_image_is_pushed_by_the_api_and_its_layers_are_downloaded_without_credentials(ecr, repository):
    data = bytes(range(256)) * 20_000
    layer = upload(ecr, repository, data, part=2_000_000)
    digest = push(ecr, repository, "v1", "latest", layers=[layer])
    found = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "latest"}, {"imageTag": "none"}])
    assert found["images"][0]["imageId"] == {"imageDigest": digest, "imageTag": "latest"}
    assert sha256(found["images"][0]["imageManifest"].encode()) == digest
    assert [one["failureCode"] for one in found["failures"]] == ["ImageNotFound"]
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=layer["digest"])["downloadUrl"]
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == data
    for bad in [url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace(layer["digest"], digest), url.split("?")[0]]:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(bad)
        assert refused.value.code in (401, 403, 404), bad


def test_an_immutable_tag_stays_where_it_is(ecr, repository):
    push(ecr, repository, "v1", "dev-1", note="one")
    ecr.put_image_tag_mutability(
        repositoryName=repository, imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev-*"}])
    second = push(ecr, repository, "dev-1", note="two")
    check_refused("ImageTagAlreadyExistsException", "the tag is immutable", push, ecr, repository, "v1", note="three")
    shown = ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": "dev-1"}])["imageDetails"][0]
    assert shown["imageDigest"] == second


def test_hostile_manifests_are_refused(ecr, repository):
    config = upload(ecr, repository, b"{}") | {"mediaType": CONFIG}
    good = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    for text in ["", "x", "[" * 100_000, json.dumps(good | {"manifests": []}), json.dumps(good | {"Layers": []}),
                 json.dumps(good)[:-1] + ',"layers":[]}', json.dumps(good | {"schemaVersion": 1}),
                 json.dumps(good | {"config": config | {"size": -1}}),
                 json.dumps(good | {"config": config | {"size": 2**63}}),
                 json.dumps(good | {"config": config | {"digest": "sha256:../../etc/passwd"}})]:
        if text:
            check_refused("InvalidParameterException", "ImageManifest", ecr.put_image, repositoryName=repository,
                          imageManifest=text, imageTag="bad")
    missing = config | {"digest": "sha256:" + "0" * 64}
    check_refused("LayersNotFoundException", "0000", ecr.put_image, repositoryName=repository,
                  imageManifest=json.dumps(good | {"config": missing}))
    assert tags_of(ecr, repository) == []


def test_a_user_may_do_what_its_policies_and_the_repositorys_say(strict, ecr, repository):
    push(ecr, repository, "v1")
    arn = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{repository}"
    name, bearer = user(strict, allow("ecr:DescribeImages", resource=arn))
    own = bearer.client("ecr")
    own.describe_images(repositoryName=repository)
    read = {"repositoryName": repository, "imageIds": [{"imageTag": "v1"}]}
    check_refused("AccessDeniedException", f"is not authorized to perform: ecr:BatchGetImage on resource: {arn}",
                  own.batch_get_image, **read)
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{name}"}, "Action": "ecr:BatchGetImage"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    ecr.set_repository_policy(repositoryName=repository, policyText=json.dumps(policy))
    assert own.batch_get_image(**read)["images"]
    statement["Effect"] = "Deny"
    statement["Action"] = "ecr:DescribeImages"
    ecr.set_repository_policy(repositoryName=repository, policyText=json.dumps(policy))
    check_refused("AccessDeniedException", "explicit deny in a resource-based policy", own.describe_images,
                  repositoryName=repository)
    ecr.delete_repository_policy(repositoryName=repository)
    own.describe_images(repositoryName=repository)
    tagged = allow("ecr:CreateRepository", "ecr:TagResource", Condition={"StringEquals": {"aws:RequestTag/team": "web"}})
    maker = user(strict, tagged)[1].client("ecr")
    wanted = f"made/{unique()}"
    check_refused("AccessDeniedException", "ecr:CreateRepository", maker.create_repository, repositoryName=wanted)
    maker.create_repository(repositoryName=wanted, tags=[{"Key": "team", "Value": "web"}])


def test_a_lifecycle_policy_is_tried_out_and_then_acts(ecr, repository):
    digests = [push(ecr, repository, f"v{number}", note=number) for number in range(4)]
    policy = json.dumps({"rules": [{
        "rulePriority": 1, "description": "keep two", "action": {"type": "expire"},
        "selection": {"tagStatus": "tagged", "tagPrefixList": ["v"], "countType": "imageCountMoreThan", "countNumber": 2},
    }]})
    ecr.start_lifecycle_policy_preview(repositoryName=repository, lifecyclePolicyText=policy)
    ecr.get_waiter("lifecycle_policy_preview_complete").wait(repositoryName=repository)
    preview = ecr.get_lifecycle_policy_preview(repositoryName=repository)
    assert sorted(one["imageDigest"] for one in preview["previewResults"]) == sorted(digests[:2])
    assert tags_of(ecr, repository) == ["v0", "v1", "v2", "v3"]
    ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=policy)
    eventually(lambda: tags_of(ecr, repository) == ["v2", "v3"])
    eventually(lambda: "lastEvaluatedAt" in ecr.get_lifecycle_policy(repositoryName=repository))
    bad = policy.replace('"countNumber": 2', '"countNumber": 0')
    check_refused("InvalidParameterException", "countNumber must be 1 or more", ecr.put_lifecycle_policy,
                  repositoryName=repository, lifecyclePolicyText=bad)


def test_a_template_makes_the_repository_that_is_pushed_to(ecr):
    prefix = unique()
    ecr.create_repository_creation_template(
        prefix=prefix, appliedFor=["CREATE_ON_PUSH"], imageTagMutability="IMMUTABLE",
        resourceTags=[{"Key": "made", "Value": "by-push"}])
    check_refused("TemplateAlreadyExistsException", prefix, ecr.create_repository_creation_template, prefix=prefix,
                  appliedFor=["CREATE_ON_PUSH"])
    push(ecr, f"{prefix}/web", "v1")
    made = ecr.describe_repositories(repositoryNames=[f"{prefix}/web"])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "made", "Value": "by-push"}]
    ecr.delete_repository_creation_template(prefix=prefix)
    check_refused("RepositoryNotFoundException", "other", push, ecr, f"{prefix}/other", "v1")


def test_pages_and_what_is_not_built(ecr, repository):
    push(ecr, repository, *[f"t{number}" for number in range(12)])
    assert len(tags_of(ecr, repository)) == 12
    pages = ecr.get_paginator("list_images").paginate(repositoryName=repository, PaginationConfig={"PageSize": 5})
    assert [len(page["imageIds"]) for page in pages] == [5, 5, 2]
    check_refused("UnsupportedOperationException", "does not implement", ecr.get_signing_configuration)


def test_what_was_answered_survives_a_kill(fresh):
    instance = fresh("--engine", "simulated")
    ecr = root(instance).client("ecr")
    ecr.create_repository(repositoryName="team/web")
    layer = upload(ecr, "team/web", b"x" * 100_000)
    digest = push(ecr, "team/web", "v1", layers=[layer])
    instance.kill()
    instance.start()
    ecr = root(instance).client("ecr")
    found = ecr.batch_get_image(repositoryName="team/web", imageIds=[{"imageTag": "v1"}])["images"][0]
    assert found["imageId"]["imageDigest"] == digest
    again = ecr.batch_check_layer_availability(repositoryName="team/web", layerDigests=[layer["digest"]])["layers"]
    assert [one["layerAvailability"] for one in again] == ["AVAILABLE"]


def test_a_login_and_an_upload_are_recorded_and_not_what_they_carried(strict, ecr, repository):
    trail = root(strict).client("cloudtrail")

    def recorded(name):
        wanted = [{"AttributeKey": "EventName", "AttributeValue": name}]
        return eventually(lambda: [one["CloudTrailEvent"] for one in trail.lookup_events(LookupAttributes=wanted)["Events"]])

    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    assert all(token not in event for event in recorded("GetAuthorizationToken"))
    upload(ecr, repository, b"planted in a layer")
    coded = base64.b64encode(b"planted in a layer").decode()
    events = recorded("UploadLayerPart")
    assert all(coded not in event for event in events) and any("HIDDEN" in event for event in events)
