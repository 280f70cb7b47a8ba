"""Scanning of images: on demand, on push, without a database, in pages."""

import contextlib
import gzip
import hashlib
import io
import json
import tarfile

import botocore.exceptions
import pytest

from account import eventually
from conftest import SIMULATED
from test_scan_db import advisory

STATUS = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"
DEBIAN = 'ID=debian\nVERSION_ID="12"\n'
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def instance(fresh):
    return fresh(*SIMULATED)


@pytest.fixture
def ecr(instance):
    return instance.client("ecr")


def import_advisories(instance, *advisories):
    source = instance.directory / "advisories"
    source.mkdir(exist_ok=True)
    for number, one in enumerate(advisories):
        (source / f"{number}.json").write_text(json.dumps(one))
    done = instance.command("scan-db", "import", source)
    assert done.returncode == 0, done.stderr


def scan_of(ecr, repository, tag="latest"):
    """What came of an image's scan, once it has ended."""
    def check():
        found = ecr.describe_image_scan_findings(repositoryName=repository, imageId={"imageTag": tag})
        return found["imageScanStatus"]["status"] not in ("PENDING", "IN_PROGRESS") and found
    return eventually(check)


def debian(packages):
    status = "".join(STATUS.format(*package) for package in packages)
    return {"etc/os-release": DEBIAN, "var/lib/dpkg/status": status}


def layer(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(out.getvalue(), mtime=0)


def upload(ecr, repository, content):
    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=repository, uploadId=upload, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content
    )
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    with contextlib.suppress(ecr.exceptions.LayerAlreadyExistsException):
        ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[digest])
    return {"digest": digest, "size": len(content)}


def push(ecr, repository, *layers, tag="latest"):
    """An image of layers of files; its digest."""
    config = upload(ecr, repository, json.dumps({"architecture": "amd64", "os": "linux", "at": tag}).encode())
    kind = "application/vnd.oci.image.layer.v1.tar+gzip"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json"} | config,
        "layers": [{"mediaType": kind} | upload(ecr, repository, layer(files)) for files in layers],
    }
    image = ecr.put_image(repositoryName=repository, imageManifest=json.dumps(manifest), imageTag=tag)["image"]
    return image["imageId"]["imageDigest"]


def test_an_image_is_scanned_on_demand_and_its_findings_are_paged(instance, ecr):
    import_advisories(
        instance,
        advisory("CVE-2024-1", "bash", "5.2-2", database_specific={"severity": "HIGH"}),
        advisory("CVE-2024-2", "bash", "5.1-1", database_specific={"severity": "CRITICAL"}),
        *[advisory(f"CVE-2023-{number}", "zlib", "9", database_specific={"severity": "LOW"}) for number in range(250)],
    )
    ecr.create_repository(repositoryName="web")
    digest = push(ecr, "web", debian([("bash", "5.2-1"), ("zlib", "1.2")]))
    with pytest.raises(ecr.exceptions.ScanNotFoundException):
        ecr.describe_image_scan_findings(repositoryName="web", imageId={"imageTag": "latest"})
    started = ecr.start_image_scan(repositoryName="web", imageId={"imageTag": "latest"})
    assert started["imageId"] == {"imageDigest": digest, "imageTag": "latest"}
    assert started["imageScanStatus"]["status"] == "PENDING"
    instance.aws("ecr", "wait", "image-scan-complete", "--repository-name", "web", "--image-id", "imageTag=latest")

    pages = ecr.get_paginator("describe_image_scan_findings").paginate(
        repositoryName="web", imageId={"imageDigest": digest}, PaginationConfig={"PageSize": 60}
    )
    pages = list(pages)
    assert len(pages) == 5
    found = [finding for page in pages for finding in page["imageScanFindings"]["findings"]]
    assert len(found) == 251
    assert found[0] == {
        "name": "CVE-2024-1",
        "description": "bash is broken",
        "uri": "https://security-tracker.debian.org/tracker/CVE-2024-1",
        "severity": "HIGH",
        "attributes": [
            {"key": "package_version", "value": "5.2-1"},
            {"key": "package_name", "value": "bash"},
            {"key": "fixed_version", "value": "5.2-2"},
        ],
    }
    assert pages[0]["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1, "LOW": 250}
    assert pages[0]["imageScanFindings"]["vulnerabilitySourceUpdatedAt"].isoformat().startswith("2024-01-02T")


def test_without_a_database_a_scan_fails_and_says_what_to_do(instance, ecr):
    ecr.create_repository(repositoryName="web", imageScanningConfiguration={"scanOnPush": True})
    push(ecr, "web", debian([("bash", "5.2-1")]))
    failed = scan_of(ecr, "web")
    assert failed["imageScanStatus"]["status"] == "FAILED"
    assert "no vulnerability database has been imported" in failed["imageScanStatus"]["description"]
    assert "longshore scan-db import" in failed["imageScanStatus"]["description"]
    assert "imageScanFindings" not in failed

    # Once there is one, the image is scanned again when somebody asks; one that holds nothing of Debian 12 does not do.
    other = advisory("CVE-2024-1", "zsh", "2")
    other["affected"][0]["package"]["ecosystem"] = "Debian:11"
    import_advisories(instance, other)
    ecr.start_image_scan(repositoryName="web", imageId={"imageTag": "latest"})
    failed = scan_of(ecr, "web")["imageScanStatus"]
    assert failed["status"] == "FAILED" and "holds nothing for Debian:12" in failed["description"], failed

    import_advisories(instance, advisory("CVE-2024-1", "zsh", "2"))
    ecr.start_image_scan(repositoryName="web", imageId={"imageTag": "latest"})
    complete = scan_of(ecr, "web")
    assert complete["imageScanStatus"]["status"] == "COMPLETE"
    assert complete["imageScanFindings"]["findings"] == []


def test_a_push_starts_a_scan_by_the_registrys_rules(instance, ecr):
    import_advisories(instance, advisory("CVE-2024-1", "bash", "5.2-2"))
    rule = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "team/*", "filterType": "WILDCARD"}]}
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[rule])
    assert ecr.get_registry_scanning_configuration()["scanningConfiguration"] == {"scanType": "BASIC", "rules": [rule]}
    for name in ("team/web", "other"):
        ecr.create_repository(repositoryName=name)
        push(ecr, name, debian([("bash", "5.2-1")]), {"var/lib/dpkg/.wh.status": ""})
        push(ecr, name, debian([("bash", "5.2-1")]), tag="second")
    assert scan_of(ecr, "team/web", "second")["imageScanFindings"]["findings"][0]["name"] == "CVE-2024-1"
    # A later layer took the list of packages away.
    assert scan_of(ecr, "team/web")["imageScanStatus"]["status"] == "UNSUPPORTED_IMAGE"
    with pytest.raises(ecr.exceptions.ScanNotFoundException):
        ecr.describe_image_scan_findings(repositoryName="other", imageId={"imageTag": "latest"})
    told = ecr.batch_get_repository_scanning_configuration(repositoryNames=["team/web", "other", "none"])
    assert [one["scanOnPush"] for one in told["scanningConfigurations"]] == [True, False]
    assert told["failures"][0]["failureCode"] == "REPOSITORY_NOT_FOUND"
    with pytest.raises(botocore.exceptions.ClientError, match="Enhanced scanning is not available here"):
        ecr.put_registry_scanning_configuration(scanType="ENHANCED")


def test_hostile_layers_fail_their_scan_and_nothing_else(instance, ecr):
    import_advisories(instance, advisory("CVE-2024-1", "bash", "5.2-2"))
    ecr.create_repository(repositoryName="web", imageScanningConfiguration={"scanOnPush": True})
    push(ecr, "web", {"zeros": "\0" * (200 << 20)}, tag="bomb")
    push(ecr, "web", debian([("bash", "5.2-1")]), tag="good")
    bomb = scan_of(ecr, "web", "bomb")["imageScanStatus"]
    assert bomb["status"] == "FAILED" and "swells to more than 200 times its size" in bomb["description"]
    assert scan_of(ecr, "web", "good")["imageScanFindings"]["findingSeverityCounts"] == {"UNDEFINED": 1}
    ecr.batch_delete_image(repositoryName="web", imageIds=[{"imageTag": "good"}])
    with pytest.raises(ecr.exceptions.ImageNotFoundException):
        ecr.describe_image_scan_findings(repositoryName="web", imageId={"imageTag": "good"})
