"""A client that pushes images until the server goes, and then wants everything back that was acknowledged."""

import contextlib
import http.client
import random

from hub import Hub, sha256, token_of
from test_identity import root


class Pusher:
    """`work` ends when the server does; what `check`s wants a server. `shared` are layers that others push as well."""

    def __init__(self, instance, own, seed, shared):
        self.instance, self.own, self.shared = instance, own, shared
        self.chance = random.Random(f"{seed}/{own}")
        self.blobs, self.manifests = {}, {}
        self.client.create_repository(repositoryName=own)

    @property
    def client(self):
        return root(self.instance).client("ecr")

    def work(self):
        """How many images were acknowledged."""
        hub, before = Hub(self.instance, self.own, token_of(self.client)), len(self.manifests)
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                self.push(hub)
        return len(self.manifests) - before

    def push(self, hub):
        large = self.chance.random() < 0.05
        data = self.chance.randbytes(self.chance.randrange(9_000_000, 10_000_000) if large else self.chance.randrange(1, 200_000))
        place, half = hub.begin(), len(data) // 2
        assert hub.request("PATCH", place, data[:half]).status == 202
        assert hub.request("PUT", f"{place}?digest={sha256(data)}", data[half:]).status == 201
        self.blobs[sha256(data)] = data
        shared = self.chance.choice(self.shared)
        self.blobs[hub.push(shared)] = shared
        manifest = hub.image(f"t{self.chance.randrange(5)}", [data, shared])
        self.manifests[sha256(manifest)] = manifest

    def check(self):
        hub = Hub(self.instance, self.own, token_of(self.client))
        for kind, kept in (("blobs", self.blobs), ("manifests", self.manifests)):
            for digest, data in kept.items():
                answer = hub("GET", f"{kind}/{digest}")
                assert (answer.status, answer.body == data) == (200, True), (kind, digest, answer.status, len(answer.body))
