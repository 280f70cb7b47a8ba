"""ECR as its clients see it: repositories, logins, and pushes by skopeo."""

import base64
import json
import subprocess

from account import unique
from test_identity import ACCOUNT, root

HOST = f"{ACCOUNT}.dkr.ecr.us-east-1"


def host(instance):
    """The registry as whoever is beside the control plane calls it, which needs no resolver."""
    return f"localhost:{instance.port}"


def token(client):
    """What opens the registry, as `user:password`."""
    data = client.get_authorization_token()["authorizationData"][0]
    return base64.b64decode(data["authorizationToken"]).decode()


def repository(instance, name=None, **fields):
    """The name of a new repository."""
    name = name or f"team/{unique()}"
    root(instance).client("ecr").create_repository(repositoryName=name, **fields)
    return name


def skopeo(*words, check=True):
    done = subprocess.run(["skopeo", "--insecure-policy", *words], text=True, capture_output=True, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


def push(instance, archive, name, login=None):
    """Push an archive's image as `repository:tag`; its digest."""
    login = login or token(root(instance).client("ecr"))
    skopeo("copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", login, f"oci-archive:{archive}",
           f"docker://{host(instance)}/{name}")
    return digest(instance, name)


def digest(instance, name):
    repository, tag = name.split(":")
    found = root(instance).client("ecr").describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    return found["imageDetails"][0]["imageDigest"]


def set_policy(instance, name, *statements):
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    root(instance).client("ecr").set_repository_policy(repositoryName=name, policyText=text)
