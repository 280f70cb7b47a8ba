"""`longshore sbom`: what an image of the registry is made of, as CycloneDX has it."""

import json
import re
import subprocess
import uuid
from datetime import datetime
from urllib.parse import unquote

from conftest import BARE, LONGSHORE
from hub import EMPTY, INDEX, Hub, described, index
from hub import token  # noqa: F401
from test_identity import allow, user
from test_scan import debian, push

READ = ["ecr:DescribeImages", "ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
PURL = re.compile(r"pkg:[a-z]+(/[^/@?#]+)+@[^/@?#]+(\?[a-z]+=[^&?#]+(&[a-z]+=[^&?#]+)*)?")


def check(bill):
    """What the specification asks of a document; the references of its parts."""
    assert set(bill) <= {"bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies", "compositions"}
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    prefix, number = bill["serialNumber"].rsplit(":", 1)
    assert prefix == "urn:uuid" and str(uuid.UUID(number)) == number
    assert datetime.fromisoformat(bill["metadata"]["timestamp"]).tzinfo
    subject = bill["metadata"]["component"]
    parts = [subject, *bill["components"]]
    references = [part["bom-ref"] for part in parts]
    assert len(set(references)) == len(references) and all(references)
    for part in parts:
        assert part["type"] in ("container", "operating-system", "library") and part["name"] and part.get("version", "x"), part
        for occurrence in part.get("evidence", {}).get("occurrences", []):
            assert occurrence["location"]
        assert all(one["name"] and isinstance(one["value"], str) for one in part.get("properties", []))
    for part in bill["components"]:
        if part["type"] == "library":
            assert PURL.fullmatch(part["purl"]), part["purl"]
            assert unquote(part["purl"]).split("?")[0].endswith(f"{part['name']}@{part['version']}".lower()), part
    for dependency in bill["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= set(references)
        assert len(set(dependency["dependsOn"])) == len(dependency["dependsOn"])
    for composition in bill.get("compositions", []):
        assert composition["aggregate"] in ("incomplete", "unknown") and set(composition["assemblies"]) <= set(references)
    return references


def bill_of(instance, *words):
    done = instance.command("sbom", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_images_bill_is_what_its_layers_hold(strict, ecr, repository):
    lock = {"name": "web", "lockfileVersion": 3, "packages": {
        "": {"name": "web"}, "node_modules/@scope/left": {"version": "1.2.3"}, "node_modules/right": {"version": "2.0.0"}}}
    below = debian([("bash", "5.2-1"), ("libssl3", "3:3.0+dfsg~1")])
    above = {"app/package-lock.json": json.dumps(lock), "app/requirements.txt": "Flask==1.0\n"}
    digest = push(ecr, repository, below, above, tag="1")
    done = strict.command("sbom", f"{repository}:1")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    bill = json.loads(done.stdout)
    references = check(bill)
    assert bill["metadata"]["component"] == {
        "type": "container", "bom-ref": f"image:{repository}@{digest}", "name": repository, "version": digest}
    assert references[1:] == [
        "os:debian 12",
        "pkg:deb/debian/bash@5.2-1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libssl3@3:3.0%2Bdfsg~1?arch=amd64&distro=debian-12",
        "pkg:npm/%40scope/left@1.2.3",
        "pkg:npm/right@2.0.0",
        "pkg:pypi/flask@1.0",
    ]
    # It is the same each time, whichever of its names the image goes by.
    host = f"localhost:{strict.port}"
    account = f"{ecr.describe_registry()['registryId']}.dkr.ecr.us-east-1.localhost:{strict.port}"
    for one in (f"{repository}:1", f"{repository}@{digest}", f"{host}/{repository}:1", f"{account}/{repository}:1"):
        assert strict.command("sbom", one).stdout == done.stdout, one
    # Another image has another number.
    push(ecr, repository, below, tag="2")
    other = bill_of(strict, f"{repository}:2")
    check(other)
    assert other["serialNumber"] != bill["serialNumber"] and len(other["components"]) == 3


def test_what_is_not_known_is_said(strict, ecr, repository):
    push(ecr, repository, {"bin/true": "x"}, tag="bare")
    bare = bill_of(strict, f"{repository}:bare")
    check(bare)
    assert (bare["components"], bare["compositions"][0]["aggregate"]) == ([], "unknown")
    push(ecr, repository, {"app/package-lock.json": "{", "app/requirements.txt": "flask==1.0\n"}, tag="torn")
    torn = bill_of(strict, f"{repository}:torn")
    check(torn)
    assert torn["compositions"][0]["aggregate"] == "incomplete"
    assert torn["metadata"]["properties"][0]["value"].startswith("app/package-lock.json: ")


def test_of_several_platforms_one_is_chosen(strict, ecr, repository, token):  # noqa: F811
    hub, entries = Hub(strict, repository, token), []
    for architecture in ("amd64", "arm64"):
        push(ecr, repository, debian([(f"only-{architecture}", "1")]), tag=architecture)
        manifest = hub("GET", f"manifests/{architecture}").body
        platform = {"architecture": architecture, "os": "linux"}
        entries.append(json.loads(index(manifest))["manifests"][0] | {"platform": platform})
    listing = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    assert hub.put(listing, "latest", INDEX).status == 201
    for architecture, entry in zip(("amd64", "arm64"), entries):
        done = strict.command("sbom", "--platform", f"linux/{architecture}", repository)
        bill = json.loads(done.stdout)
        check(bill)
        assert bill["metadata"]["component"]["version"] == entry["digest"] and entry["digest"] in done.stderr
        assert [part["name"] for part in bill["components"]] == ["debian", f"only-{architecture}"]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[subprocess.check_output(["uname", "-m"], text=True).strip()]
    assert bill_of(strict, repository)["components"][1]["name"] == f"only-{machine}"
    for platform, words in [("linux/riscv64", "matching platform 'linux/riscv64'"), ("amd64", "named like linux/arm64")]:
        done = strict.command("sbom", "--platform", platform, repository)
        assert done.returncode != 0 and words in done.stderr and done.stdout == "", done.stderr


def test_what_is_not_there_or_no_image_is_refused(strict, ecr, repository, token):  # noqa: F811
    push(ecr, repository, {"zeros": "\0" * (200 << 20)}, tag="bomb")
    hub = Hub(strict, repository, token)
    for data in (b"{}", b"not a tar archive" * 100):
        hub.push(data)
    artifact = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "text/plain",
                "config": described(b"{}", EMPTY), "layers": [described(b"{}", "text/plain")]}
    assert hub.put(json.dumps(artifact).encode(), "artifact").status == 201
    layer = described(b"not a tar archive" * 100, "application/vnd.oci.image.layer.v1.tar")
    torn = artifact | {"config": described(b"{}", "application/vnd.oci.image.config.v1+json"), "layers": [layer]}
    del torn["artifactType"]
    assert hub.put(json.dumps(torn).encode(), "torn").status == 201
    absent = "sha256:" + "0" * 64
    for reference, words in [
        ("team/none:1", "RepositoryNotFoundException: The repository with name 'team/none' does not exist"),
        (f"{repository}:none", "ImageNotFoundException"),
        (f"{repository}@{absent}", "ImageNotFoundException"),
        (f"{repository}:bomb", "swells to more than 200 times its size"),
        (f"{repository}:artifact", "what packages it has cannot be read: malformed config: media type"),
        (f"{repository}:torn", "layer 0 cannot be read"),
        ("Team/Web", "invalid reference format"),
        (f"{repository}@sha256:00", "invalid reference format"),
        ("../web", "invalid reference format"),
    ]:
        done = strict.command("sbom", reference)
        assert (done.returncode, done.stdout) == (1, "") and words in done.stderr, done.stderr


def test_who_has_no_root_key_reads_what_he_may(strict, ecr, repository, tmp_path):
    push(ecr, repository, debian([("bash", "5.2-1")]), tag="1")
    (_, reading), (_, nobody) = user(strict, allow(*READ)), user(strict, allow("ecr:GetAuthorizationToken"))

    def bill(bearer):
        environment = BARE | {"AWS_ACCESS_KEY_ID": bearer.key, "AWS_SECRET_ACCESS_KEY": bearer.secret}
        words = [LONGSHORE, "--data-dir", tmp_path, "--listen", f"127.0.0.1:{strict.port}", "sbom", f"{repository}:1"]
        return subprocess.run(words, env=environment, text=True, capture_output=True, timeout=60)

    assert bill(reading).stdout == strict.command("sbom", f"{repository}:1").stdout != ""
    denied = bill(nobody)
    assert denied.returncode == 1 and "is not authorized to perform: ecr:DescribeImages" in denied.stderr, denied.stderr
    words = [LONGSHORE, "--data-dir", tmp_path, "--listen", "127.0.0.1:1", "sbom", repository]
    alone = subprocess.run(words, env=BARE, text=True, capture_output=True, timeout=60)
    assert alone.returncode == 1 and "there is no root key here" in alone.stderr
