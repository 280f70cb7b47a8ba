"""Registries that a pull-through cache fetches from: one in this process, which does what a test wants and counts what it is
asked."""

import base64
import collections
import http.server
import json
import threading
import uuid

from hub import INDEX, MANIFEST, described, image, sha256

USER, TOKEN = "puller", "planted-upstream-7c1e"


class Upstream:
    """`blobs` and `manifests` are by digest, `tags` by `repository:tag`. `closed` lets in by a token alone, which it gives for
    the login above; `lie` is asked before each answer, with the path, and may answer by itself."""

    def __init__(self):
        self.blobs, self.manifests, self.tags, self.types = {}, {}, {}, {}
        self.asked = collections.Counter()
        self.closed, self.lie, self.gate = False, None, None
        self.lock = threading.Lock()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                upstream.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def flag(self):
        return f"up.test=http://127.0.0.1:{self.port}"

    def end(self):
        self.server.shutdown()
        self.server.server_close()

    def push(self, repository, tag, layers=None, size=64, architecture="amd64"):
        """The bytes of the manifest of a new image."""
        config = json.dumps({"architecture": architecture, "os": "linux", "id": uuid.uuid4().hex}).encode()
        layers = [uuid.uuid4().bytes * size] if layers is None else layers
        manifest = image(config, *layers)
        for data in [config, *layers]:
            self.blobs[sha256(data)] = data
        self.put(repository, tag, manifest)
        return manifest

    def index(self, repository, tag, *manifests):
        index = json.dumps({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": [described(one, MANIFEST) for one in manifests]}).encode()
        self.put(repository, tag, index, INDEX)
        return index

    def put(self, repository, tag, manifest, media_type=MANIFEST):
        self.manifests[sha256(manifest)], self.types[sha256(manifest)] = manifest, media_type
        if tag:
            self.tags[f"{repository}:{tag}"] = sha256(manifest)

    def answer(self, request):
        path = request.path
        with self.lock:
            self.asked[request.command, path.split("?")[0]] += 1
        if self.gate:
            self.gate.wait(60)
        if self.lie and self.lie(request, path):
            return None
        shown = request.headers.get("Authorization")
        if path.startswith("/token"):
            login = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
            return self.send(request, 200, b'{"token":"opens"}') if shown == f"Basic {login}" else self.refuse(request, 401, "UNAUTHORIZED")
        if self.closed and shown != "Bearer opens":
            realm = f'Bearer realm="http://127.0.0.1:{self.port}/token",service="up"'
            return self.send(request, 401, b"{}", {"WWW-Authenticate": realm})
        if path == "/v2/":
            return self.send(request, 200, b"{}")
        name, kind, what = path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "manifests":
            digest = self.tags.get(f"{name}:{what}", what)
            if digest in self.manifests:
                headers = {"Content-Type": self.types[digest], "Docker-Content-Digest": digest}
                return self.send(request, 200, self.manifests[digest], headers)
            return self.refuse(request, 404, "MANIFEST_UNKNOWN")
        if what in self.blobs:
            return self.send(request, 200, self.blobs[what])
        return self.refuse(request, 404, "BLOB_UNKNOWN")

    def refuse(self, request, status, code, headers=None):
        self.send(request, status, json.dumps({"errors": [{"code": code, "message": f"planted {code}"}]}).encode(), headers)

    def send(self, request, status, body, headers=None):
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)
        return True

    def fetched(self, digest):
        """How often a layer was fetched."""
        return sum(times for (method, path), times in self.asked.items() if method == "GET" and path.endswith(f"/blobs/{digest}"))

    def of(self, name):
        """How often it was asked about a repository."""
        return sum(times for (_, path), times in self.asked.items() if path.startswith(f"/v2/{name}/"))


def parts(manifest):
    """Digests of the configuration and the layers."""
    read = json.loads(manifest)
    return [read["config"]["digest"], *(layer["digest"] for layer in read["layers"])]


