"""A client of the registry that says exactly what it is told to: raw HTTP, one connection."""

import base64
import concurrent.futures
import hashlib
import http.client
import json
import random
import uuid

import pytest
from account import unique
from test_identity import root

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha512(data):
    return "sha512:" + hashlib.sha512(data).hexdigest()


def described(data, media_type, name=sha256, **fields):
    return {"mediaType": media_type, "digest": name(data), "size": len(data)} | fields


def image(config, *layers, **fields):
    """The bytes of a manifest."""
    return json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": described(config, CONFIG),
        "layers": [described(layer, LAYER) for layer in layers]} | fields).encode()


def index(*manifests, **fields):
    return json.dumps({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [described(one, MANIFEST) for one in manifests]} | fields).encode()


class Answer:
    def __init__(self, answer):
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The specification's code of a refusal."""
        return self.json()["errors"][0]["code"]

    @property
    def refusal(self):
        return self.status, self.code


class Hub:
    """One repository of an instance's registry, as one caller sees it."""

    def __init__(self, instance, name, token=None, host=None):
        self.instance, self.name, self.host = instance, name, host
        self.token = token
        self.line = None

    def of(self, name):
        """Another repository, for the same caller."""
        return Hub(self.instance, name, self.token, self.host)

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if self.token is not None and "Authorization" not in headers:
            headers["Authorization"] = "Basic " + self.token
        if self.host:
            headers["Host"] = self.host
        for attempt in range(2):
            line = self.line or http.client.HTTPConnection("127.0.0.1", self.instance.port, timeout=60)
            self.line = None
            try:
                line.request(method, path, body=body, headers=headers)
                answer = Answer(line.getresponse())
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                line.close()
                if attempt or method not in ("GET", "HEAD"):
                    raise
                continue
            # A refusal may come before the body was sent.
            if answer.status < 400 and not answer.headers.get("Connection") == "close":
                self.line = line
            else:
                line.close()
            return answer

    def __call__(self, method, path, body=None, **headers):
        """A request below the repository's path."""
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.request(method, f"/v2/{self.name}/{path}", body, headers)

    def begin(self):
        """Where an upload goes."""
        answer = self("POST", "blobs/uploads/", b"")
        assert answer.status == 202, answer.body
        return answer.headers["Location"]

    def push(self, data, name=sha256):
        """A blob, at once."""
        answer = self("POST", f"blobs/uploads/?digest={name(data)}", data)
        assert answer.status == 201, answer.body
        return name(data)

    def put(self, manifest, reference=None, media_type=MANIFEST):
        return self("PUT", f"manifests/{reference or sha256(manifest)}", manifest, Content_Type=media_type)

    def image(self, tag=None, layers=None, **fields):
        """The bytes of the manifest of an image that was pushed."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "id": uuid.uuid4().hex}).encode()
        layers = [uuid.uuid4().bytes * 64] if layers is None else layers
        for data in [config, *layers]:
            self.push(data)
        manifest = image(config, *layers, **fields)
        answer = self.put(manifest, tag)
        assert answer.status == 201, answer.body
        return manifest


def churn(hubs, shared, rounds=12):
    """Pushes to all at once images that share bytes, pulls them whole and deletes most: none lacks what another let go."""
    def work(one, dice):
        for _ in range(rounds):
            manifest = one.image(f"c{dice.randrange(3)}", [*dice.sample(shared, 2), dice.randbytes(500)])
            layers = [layer["digest"] for layer in json.loads(manifest)["layers"]]
            for layer in layers:
                got = one("GET", f"blobs/{layer}")
                assert sha256(got.body) == layer, got.body[:200]
            assert one("GET", f"manifests/{sha256(manifest)}").body == manifest
            if dice.random() < 0.7:
                assert one("DELETE", f"manifests/{sha256(manifest)}").status == 202
                assert {one("DELETE", f"blobs/{layer}").status for layer in layers} <= {202, 403}

    with concurrent.futures.ThreadPoolExecutor(len(hubs)) as pool:
        for done in [pool.submit(work, one, random.Random(number)) for number, one in enumerate(hubs)]:
            done.result()


def token_of(client):
    """What GetAuthorizationToken gives: base64 of AWS:PASSWORD."""
    return client.get_authorization_token()["authorizationData"][0]["authorizationToken"]


def password(token):
    return base64.b64decode(token).decode().split(":", 1)[1]


@pytest.fixture(scope="module")
def token(strict):
    return token_of(root(strict).client("ecr"))


@pytest.fixture
def hub(strict, token):
    """A repository of its own, as the root sees it."""
    name = f"team/{unique()}"
    root(strict).client("ecr").create_repository(repositoryName=name)
    return Hub(strict, name, token)
