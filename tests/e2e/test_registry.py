"""The registry under /v2/, by bare HTTP: the distribution specification 1.1, and hostile input."""

import base64
import concurrent.futures
import json
import random
import socket
import time
import uuid

from account import eventually, unique
from hub import CONFIG, DOCKER, EMPTY, Hub, INDEX, LAYER, MANIFEST, described, image, index, sha256, sha512, token_of
from hub import hub, token  # noqa: F401
from test_identity import ACCOUNT, root

ZEROS = "sha256:" + "0" * 64


def bytes_of(length):
    return random.randbytes(length)


# Who is who

def test_a_client_says_who_it_is_at_each_request(strict, token):
    answer = Hub(strict, "x").request("GET", "/v2/")
    assert answer.refusal == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"] == f'Basic realm="http://127.0.0.1:{strict.port}/",service="ecr.amazonaws.com"'
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    answer = Hub(strict, "x", token).request("GET", "/v2/")
    assert (answer.status, answer.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")
    user, _, secret = base64.b64decode(token).decode().partition(":")
    assert user == "AWS"
    for given in ["", "AWS", "AWS:", f"aws:{secret}", f"AWS:{secret[:-1]}", f"AWS:{secret}A", "AWS:" + "A" * 40_000]:
        coded = base64.b64encode(given.encode()).decode()
        answer = Hub(strict, "x").request("GET", "/v2/", headers={"Authorization": f"Basic {coded}"})
        assert answer.status in (401, 431), given[:50]
    for header in ["Bearer " + token, "Basic", "Basic !", "Basic " + token[:-4]]:
        assert Hub(strict, "x").request("GET", "/v2/", headers={"Authorization": header}).status == 401, header[:20]


def test_a_host_names_the_registry(strict, hub):
    hub.image("one")
    for host, status in [(f"{ACCOUNT}.dkr.ecr.us-east-1.localhost:{strict.port}", 200),
                         (f"111111111111.dkr.ecr.us-east-1.localhost:{strict.port}", 403),
                         (f"{ACCOUNT}.dkr.ecr.eu-west-1.localhost:{strict.port}", 404),
                         (f"localhost:{strict.port}", 200)]:
        assert Hub(strict, hub.name, hub.token, host)("GET", "tags/list").status == status, host
    stranger = Hub(strict, hub.name, hub.token, "registry.attacker.example")
    assert stranger.request("GET", "/v2/").status == 403


def test_where_policies_are_not_asked_the_user_names_the_account(account, simulated):
    name, client = f"team/{unique()}", simulated.client("ecr", account.id)
    client.create_repository(repositoryName=name)
    coded = base64.b64encode(f"{account.id}:anything".encode()).decode()
    manifest = Hub(simulated, name, coded).image("one")
    assert Hub(simulated, name, token_of(client))("GET", "manifests/one").body == manifest
    host = f"{account.id}.dkr.ecr.us-east-1.localhost:{simulated.port}"
    assert Hub(simulated, name, host=host)("GET", "manifests/one").body == manifest
    assert Hub(simulated, name)("GET", "manifests/one").refusal == (404, "NAME_UNKNOWN")


# Blobs

def test_a_blob_is_pushed_at_once_and_read_in_parts(hub):
    data = bytes_of(1_000_003)
    answer = hub("POST", f"blobs/uploads/?digest={sha256(data)}", data)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, sha256(data))
    assert answer.headers["Location"] == f"/v2/{hub.name}/blobs/{sha256(data)}"
    path = f"blobs/{sha256(data)}"
    head = hub("HEAD", path)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "1000003", b"")
    assert head.headers["Docker-Content-Digest"] == sha256(data) and head.headers["Accept-Ranges"] == "bytes"
    assert hub("GET", path).body == data
    for asked, first, last in [("0-0", 0, 0), ("10-19", 10, 19), ("999999-", 999_999, 1_000_002),
                               ("-3", 1_000_000, 1_000_002), ("5-9999999", 5, 1_000_002)]:
        answer = hub("GET", path, Range=f"bytes={asked}")
        assert (answer.status, answer.body) == (206, data[first:last + 1]), asked
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/1000003"
    for asked in ["1000003-", "-0"]:
        answer = hub("GET", path, Range=f"bytes={asked}")
        assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */1000003"), asked
    assert hub("GET", path, Range="lines=1-2").body == data
    assert hub("GET", f"blobs/{ZEROS}").refusal == (404, "BLOB_UNKNOWN")
    assert hub("HEAD", f"blobs/{ZEROS}").status == 404


def test_a_blob_comes_in_chunks_and_can_be_resumed(hub):
    data = bytes_of(300_000)
    place = hub.begin()
    assert hub.request("GET", place).headers["Range"] == "0-0"
    first = hub.request("PATCH", place, data[:100_000], {"Content-Range": "0-99999"})
    assert (first.status, first.headers["Range"]) == (202, "0-99999")
    assert first.headers["Docker-Upload-UUID"] == place.rsplit("/", 1)[1] and first.headers["Location"] == place
    # Without a range it goes on where it is.
    assert hub.request("PATCH", place, data[100_000:200_000]).headers["Range"] == "0-199999"
    status = hub.request("GET", place)
    assert (status.status, status.headers["Range"], status.headers["Location"]) == (204, "0-199999", place)
    assert hub("HEAD", f"blobs/{sha256(data)}").status == 404
    last = hub.request("PUT", f"{place}?digest={sha256(data)}", data[200_000:], {"Content-Range": "200000-299999"})
    assert (last.status, last.headers["Docker-Content-Digest"]) == (201, sha256(data))
    assert hub("GET", f"blobs/{sha256(data)}").body == data
    assert hub.request("PATCH", place, b"more").refusal == (404, "BLOB_UPLOAD_UNKNOWN")
    assert hub.request("GET", place).refusal == (404, "BLOB_UPLOAD_UNKNOWN")


def test_chunks_out_of_order_are_refused_and_cost_nothing(hub):
    data = bytes_of(3000)
    place = hub.begin()
    assert hub.request("PATCH", place, data[:1000], {"Content-Range": "0-999"}).status == 202
    for given in ["0-999", "500-1499", "2000-2999", "1001-2000"]:
        answer = hub.request("PATCH", place, data[1000:2000], {"Content-Range": given})
        assert answer.status == 416, given
        assert (answer.headers["Range"], answer.headers["Location"]) == ("0-999", place)
    assert hub.request("PATCH", place, data[1000:2000], {"Content-Range": "1000-1500"}).refusal == (400, "SIZE_INVALID")
    for given in ["x", "5", "9-3", "-", "1000-99999999999999999999"]:
        answer = hub.request("PATCH", place, data[1000:2000], {"Content-Range": given})
        assert answer.refusal == (400, "BLOB_UPLOAD_INVALID"), given
    assert hub.request("PUT", f"{place}?digest={sha256(data)}", data[2000:], {"Content-Range": "2000-2999"}).status == 416
    assert hub.request("PATCH", place, data[1000:], {"Content-Range": "1000-2999"}).status == 202
    assert hub.request("PATCH", place, b"").headers["Range"] == "0-2999"
    assert hub.request("PUT", f"{place}?digest={sha256(data)}").status == 201


def test_of_two_who_write_at_once_one_does(hub):
    place = hub.begin()
    data = bytes_of(4_000_000)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        writes = [pool.submit(hub.of(hub.name).request, "PATCH", place, data, {"Content-Range": "0-3999999"})
                  for _ in range(6)]
        statuses = sorted(write.result().status for write in writes)
    assert statuses.count(202) == 1 and set(statuses[1:]) <= {409, 416}, statuses
    assert hub.request("PUT", f"{place}?digest={sha256(data)}").status == 201


def test_digests_have_one_form(hub):
    data = b"some bytes"
    hexes = sha256(data)[7:]
    for wrong in ["", hexes, f"sha256:{hexes.upper()}", f"sha256:{hexes[1:]}", f"sha256:{hexes}0", f"md5:{hexes[:32]}",
                  f"sha512:{hexes}", f"sha256:../../{hexes[6:]}", f"SHA256:{hexes}", "sha256:", "sha256"]:
        answer = hub("POST", f"blobs/uploads/?digest={wrong}", data)
        assert answer.refusal == (400, "DIGEST_INVALID"), wrong
        place = hub.begin()
        assert hub.request("PUT", f"{place}?digest={wrong}", data).refusal == (400, "DIGEST_INVALID"), wrong
        assert hub("GET", f"blobs/{wrong or 'x'}").status in (400, 404), wrong
    for other in [sha256(b"other"), sha512(b"other")]:
        assert hub("POST", f"blobs/uploads/?digest={other}", data).refusal == (400, "DIGEST_INVALID")
        place = hub.begin()
        assert hub.request("PUT", f"{place}?digest={other}", data).refusal == (400, "DIGEST_INVALID")
        assert hub.request("GET", place).status == 404
    assert hub.request("PUT", hub.begin(), data).refusal == (400, "DIGEST_INVALID")
    assert hub("HEAD", f"blobs/{sha256(data)}").status == 404


def test_sha512_names_content_too(hub):
    config, layer = json.dumps({"id": unique()}).encode(), bytes_of(50_000)
    assert hub.push(config, sha512).startswith("sha512:")
    place = hub.begin()
    assert hub.request("PATCH", place, layer[:20_000]).status == 202
    assert hub.request("PUT", f"{place}?digest={sha512(layer)}", layer[20_000:]).status == 201
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": described(config, CONFIG, sha512),
                           "layers": [described(layer, LAYER, sha512)]}).encode()
    answer = hub.put(manifest, sha512(manifest))
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, sha512(manifest))
    assert hub("GET", f"manifests/{sha512(manifest)}").body == manifest
    assert hub("GET", f"blobs/{sha512(layer)}").body == layer
    assert hub("GET", f"manifests/{sha256(manifest)}").refusal == (404, "MANIFEST_UNKNOWN")
    assert hub.put(manifest, sha512(b"other")).refusal == (400, "DIGEST_INVALID")


def test_an_upload_is_its_repositorys_and_may_be_cancelled(strict, hub):
    place = hub.begin()
    other = f"team/{unique()}"
    root(strict).client("ecr").create_repository(repositoryName=other)
    foreign = place.replace(hub.name, other)
    for method, path in [("GET", foreign), ("PATCH", foreign), ("PUT", f"{foreign}?digest={sha256(b'')}"), ("DELETE", foreign)]:
        assert hub.request(method, path, b"").refusal == (404, "BLOB_UPLOAD_UNKNOWN"), method
    for wrong in ["x", "..", str(uuid.uuid4()), place.rsplit("/", 1)[1].upper()]:
        assert hub("PATCH", f"blobs/uploads/{wrong}", b"x").refusal == (404, "BLOB_UPLOAD_UNKNOWN"), wrong
    assert hub.request("DELETE", place).status == 204
    assert hub.request("DELETE", place).refusal == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_empty_blob_is_one(hub):
    assert hub("POST", f"blobs/uploads/?digest={sha256(b'')}", b"").status == 201
    answer = hub("GET", f"blobs/{sha256(b'')}")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    assert hub("GET", f"blobs/{sha256(b'')}", Range="bytes=0-").status == 416


def test_more_than_a_layer_may_have_is_refused_before_it_is_sent(strict, hub):
    place = hub.begin()
    for method, path in [("PATCH", place), ("PUT", f"{place}?digest={ZEROS}"), ("POST", f"/v2/{hub.name}/blobs/uploads/?digest={ZEROS}")]:
        with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as line:
            line.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {hub.token}\r\n"
                         f"Content-Length: {100 * 2**30}\r\n\r\n".encode())
            assert b" 413 " in line.recv(4096).split(b"\r\n")[0], method


def test_a_body_that_breaks_off_leaves_what_came(strict, hub):
    data = bytes_of(500_000)
    place = hub.begin()
    with socket.create_connection(("127.0.0.1", strict.port), timeout=30) as line:
        line.sendall(f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {hub.token}\r\n"
                     f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:200_000])
    def resumed():
        """Sends what is missing; nothing while the server still writes what came before."""
        came = hub.request("GET", place).headers.get("Range")
        if came is None:
            return None
        came = int(came.split("-")[1]) + 1
        assert came <= 200_000
        rest = {"Content-Range": f"{came}-{len(data) - 1}"}
        answer = hub.request("PUT", f"{place}?digest={sha256(data)}", data[came:], rest)
        return None if answer.status in (409, 416) else answer
    last = eventually(resumed)
    assert last.status == 201, last.body
    assert hub("GET", f"blobs/{sha256(data)}").body == data


def test_a_mount_takes_a_blob_from_a_repository_that_the_caller_may_read(strict, hub):
    data = bytes_of(10_000)
    hub.push(data)
    target = hub.of(f"team/{unique()}")
    root(strict).client("ecr").create_repository(repositoryName=target.name)
    assert target("HEAD", f"blobs/{sha256(data)}").status == 404
    mounted = target("POST", f"blobs/uploads/?mount={sha256(data)}&from={hub.name}", b"")
    assert (mounted.status, mounted.headers["Docker-Content-Digest"]) == (201, sha256(data))
    assert target("GET", f"blobs/{sha256(data)}").body == data
    for digest, source in [(ZEROS, hub.name), (sha256(data), "team/none"), (sha256(data), f"{hub.name}x"), (sha256(data), "../x")]:
        answer = target("POST", f"blobs/uploads/?mount={digest}&from={source}", b"")
        assert answer.status == 202 and "/blobs/uploads/" in answer.headers["Location"], (digest, source)
    assert target("POST", f"blobs/uploads/?mount={sha256(data)}", b"").status == 202
    assert target("POST", f"blobs/uploads/?mount=x&from={hub.name}", b"").refusal == (400, "DIGEST_INVALID")


def test_a_mount_makes_the_repository_that_a_template_is_for(strict, hub):
    data, prefix = bytes_of(1000), unique()
    hub.push(data)
    ecr = root(strict).client("ecr")
    ecr.create_repository_creation_template(prefix=prefix, appliedFor=["CREATE_ON_PUSH"])
    target = hub.of(f"{prefix}/mounted")
    assert target("POST", f"blobs/uploads/?mount={sha256(data)}&from={hub.name}", b"").status == 201
    assert target("GET", f"blobs/{sha256(data)}").body == data
    other = hub.of(f"{prefix}-other/mounted")
    assert other("POST", f"blobs/uploads/?mount={sha256(data)}&from={hub.name}", b"").refusal == (404, "NAME_UNKNOWN")
    ecr.delete_repository_creation_template(prefix=prefix)


def test_a_blob_that_an_image_needs_stays(hub):
    layer = bytes_of(1000)
    manifest = hub.image("one", [layer])
    assert hub("DELETE", f"blobs/{sha256(layer)}").refusal == (403, "DENIED")
    assert hub("DELETE", f"manifests/{sha256(manifest)}").status == 202
    assert hub("DELETE", f"blobs/{sha256(layer)}").status == 202
    assert hub("GET", f"blobs/{sha256(layer)}").refusal == (404, "BLOB_UNKNOWN")
    assert hub("DELETE", f"blobs/{sha256(layer)}").refusal == (404, "BLOB_UNKNOWN")


# Manifests

def test_a_manifest_is_put_by_its_tag_and_got_by_either(hub):
    manifest = hub.image("v1")
    for reference in ["v1", sha256(manifest)]:
        answer = hub("GET", f"manifests/{reference}", Accept=f"{INDEX}, {MANIFEST}")
        assert (answer.status, answer.body) == (200, manifest)
        assert answer.headers["Content-Type"] == MANIFEST
        assert answer.headers["Docker-Content-Digest"] == sha256(manifest)
        head = hub("HEAD", f"manifests/{reference}")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(manifest)))
    assert hub("GET", "manifests/v1").status == 200
    assert hub("GET", "manifests/v1", Accept=DOCKER).refusal == (404, "MANIFEST_UNKNOWN")
    for missing in ["v2", ZEROS, ".v1", "a" * 129, "-"]:
        assert hub("GET", f"manifests/{missing}").refusal == (404, "MANIFEST_UNKNOWN"), missing
        assert hub("HEAD", f"manifests/{missing}").status == 404
    again = hub.put(manifest, "v1")
    assert (again.status, again.headers["Location"]) == (201, f"/v2/{hub.name}/manifests/{sha256(manifest)}")
    for wrong in [".v1", "-v1", "a" * 129, "a%20b"]:
        assert hub.put(manifest, wrong).status == 400, wrong


def test_a_tag_moves_at_once(hub):
    images = [hub.image("moving"), hub.image()]
    digests = {sha256(one) for one in images}
    ending = time.monotonic() + 2

    def read():
        seen, one = set(), hub.of(hub.name)
        while time.monotonic() < ending:
            answer = one("GET", "manifests/moving")
            assert answer.status == 200 and sha256(answer.body) == answer.headers["Docker-Content-Digest"]
            seen.add(sha256(answer.body))
        return seen

    def move(which):
        one = hub.of(hub.name)
        while time.monotonic() < ending:
            assert one.put(images[which], "moving").status == 201

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for writer in [pool.submit(move, which) for which in range(2)]:
            writer.result()
        assert set().union(*(reader.result() for reader in readers)) == digests


def test_indexes_list_what_is_there(hub):
    images = [hub.image(), hub.image()]
    listing = index(*images)
    answer = hub.put(listing, "multi", INDEX)
    assert answer.status == 201, answer.body
    got = hub("GET", "manifests/multi", Accept=INDEX)
    assert (got.body, got.headers["Content-Type"]) == (listing, INDEX)
    missing = image(b"{}", b"none")
    assert hub.put(index(missing), "bad", INDEX).refusal == (400, "MANIFEST_BLOB_UNKNOWN")
    assert hub("DELETE", f"manifests/{sha256(images[0])}").refusal == (403, "DENIED")
    assert hub("DELETE", f"manifests/{sha256(listing)}").status == 202
    assert hub("DELETE", f"manifests/{sha256(images[0])}").status == 202
    assert hub("GET", f"manifests/{sha256(images[0])}").refusal == (404, "MANIFEST_UNKNOWN")


def hostile(hub):
    """Manifests that are none, each with its media type and what is wrong with it."""
    config, layer = b"{}", bytes_of(100)
    for data in (config, layer):
        hub.push(data)
    good = json.loads(image(config, layer))
    of_layer = good["layers"][0]
    listed = {"mediaType": MANIFEST, "digest": sha256(hub.image()), "size": 1}
    deep = b'{"schemaVersion":2,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    changed = lambda **fields: json.dumps(good | fields).encode()
    yield "both", changed(manifests=[listed]), MANIFEST
    yield "both, as an index", changed(manifests=[listed], mediaType=INDEX), INDEX
    yield "another media type", json.dumps(good).encode(), INDEX
    yield "Docker's media type", json.dumps(good).encode(), DOCKER
    yield "no known type", changed(mediaType="text/plain"), "text/plain"
    yield "schema 1", changed(schemaVersion=1), MANIFEST
    yield "no config", json.dumps({key: value for key, value in good.items() if key != "config"}).encode(), MANIFEST
    yield "no JSON", b"{", MANIFEST
    yield "no object", b"[]", MANIFEST
    yield "nothing", b"", MANIFEST
    yield "not text", b"\xff\xfe", MANIFEST
    yield "deep JSON", deep, MANIFEST
    yield "a size below zero", changed(layers=[of_layer | {"size": -1}]), MANIFEST
    yield "a huge size", changed(layers=[of_layer | {"size": 2**63}]), MANIFEST
    yield "another size", changed(layers=[of_layer | {"size": 1}]), MANIFEST
    yield "a digest that is none", changed(layers=[of_layer | {"digest": "sha256:" + "G" * 64}]), MANIFEST
    yield "a path in a digest", changed(layers=[of_layer | {"digest": "sha256:../../../../etc/passwd"}]), MANIFEST
    yield "foreign URLs", changed(layers=[of_layer | {"urls": ["http://169.254.169.254/"]}]), MANIFEST
    yield "10,000 layers", changed(layers=[{"mediaType": LAYER, "digest": sha256(str(one).encode()), "size": 1}
                                           for one in range(10_000)]), MANIFEST
    yield "a member twice", image(config, layer)[:-1] + b',"layers":[]}', MANIFEST
    yield "missing layers", image(config, b"not pushed"), MANIFEST


def test_hostile_manifests_are_refused(hub):
    for what, manifest, media_type in hostile(hub):
        answer = hub.put(manifest, "bad", media_type)
        assert answer.status == 400, (what, answer.status, answer.body)
        assert answer.code in ("MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN"), (what, answer.body)
    assert hub("GET", "manifests/bad").status == 404


def test_a_manifest_has_a_size(hub):
    config = b"{}"
    hub.push(config)
    manifest = image(config)
    largest = manifest[:-1] + b" " * (4 * 2**20 - len(manifest)) + b"}"
    assert hub.put(largest, "largest").status == 201
    assert hub("GET", "manifests/largest").body == largest
    assert hub.put(largest[:-1] + b" }", "larger").refusal == (413, "MANIFEST_INVALID")


def test_indexes_are_not_deep(hub):
    below = hub.image()
    depth = 0
    while depth < 100:
        listing = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": MANIFEST if depth == 0 else INDEX, "digest": sha256(below), "size": len(below)}]}).encode()
        answer = hub.put(listing, media_type=INDEX)
        if answer.status != 201:
            break
        below, depth = listing, depth + 1
    assert 1 < depth < 10 and answer.refusal == (400, "MANIFEST_INVALID")


# Lists

def test_tags_are_listed_by_pages(hub):
    manifest = hub.image()
    assert hub("GET", "tags/list").json() == {"name": hub.name, "tags": []}
    tags = sorted(f"t{number}" for number in range(25))
    for tag in tags:
        assert hub.put(manifest, tag).status == 201
    assert hub("GET", "tags/list").json() == {"name": hub.name, "tags": tags}
    seen, path = [], "tags/list?n=10"
    while path:
        answer = hub("GET", path)
        seen.append(answer.json()["tags"])
        link = answer.headers["Link"]
        path = link and link.split("<", 1)[1].split(">", 1)[0].removeprefix(f"/v2/{hub.name}/")
        assert not link or link.endswith('; rel="next"')
    assert [len(page) for page in seen] == [10, 10, 5] and sum(seen, []) == tags
    assert hub("GET", "tags/list?n=3&last=t22").json()["tags"] == tags[tags.index("t22") + 1:][:3]
    assert hub("GET", "tags/list?n=0").json()["tags"] == []
    assert hub("GET", "tags/list?last=zzz").json()["tags"] == []
    for wrong in ["n=x", "n=-1", "n=1.5"]:
        assert hub("GET", f"tags/list?{wrong}").status == 400, wrong
    assert hub.of("team/none")("GET", "tags/list").refusal == (404, "NAME_UNKNOWN")


def artifact(subject, of, annotations=None, subject_type=MANIFEST):
    return json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": of, "config": described(b"{}", EMPTY),
        "layers": [described(b"{}", EMPTY)], "subject": described(subject, subject_type),
        "annotations": annotations or {}}).encode()


def test_what_refers_to_an_image_is_found(hub):
    subject = hub.image("one")
    hub.push(b"{}")
    empty = hub("GET", f"referrers/{sha256(subject)}")
    assert empty.json() == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    assert empty.headers["Content-Type"] == INDEX
    signature = artifact(subject, "application/x.signature", {"by": "ann"})
    bill = artifact(subject, "application/x.bill")
    for one in (signature, bill):
        answer = hub.put(one)
        assert (answer.status, answer.headers["OCI-Subject"]) == (201, sha256(subject))
        assert hub("GET", f"manifests/{sha256(one)}").body == one, "a pull is noted"
    found = hub("GET", f"referrers/{sha256(subject)}").json()["manifests"]
    assert {one["digest"] for one in found} == {sha256(signature), sha256(bill)}
    only = hub("GET", f"referrers/{sha256(subject)}?artifactType=application/x.signature")
    assert only.headers["OCI-Filters-Applied"] == "artifactType"
    assert only.json()["manifests"] == [
        described(signature, MANIFEST, artifactType="application/x.signature", annotations={"by": "ann"})]
    # The subject may come later, or never.
    absent = image(b"{}", b"never pushed")
    assert hub.put(artifact(absent, "application/x.bill")).status == 201
    assert len(hub("GET", f"referrers/{sha256(absent)}").json()["manifests"]) == 1
    for number in range(60):
        assert hub.put(artifact(subject, "application/x.note", {"number": str(number)})).status == 201
    pages, path = [], f"referrers/{sha256(subject)}?artifactType=application/x.note"
    while path:
        answer = hub("GET", path)
        pages += [one["digest"] for one in answer.json()["manifests"]]
        link = answer.headers["Link"]
        path = link and link.split("<", 1)[1].split(">", 1)[0].removeprefix(f"/v2/{hub.name}/")
    assert len(pages) == len(set(pages)) == 60
    assert hub("DELETE", f"manifests/{sha256(signature)}").status == 202
    assert hub("GET", f"referrers/{sha256(subject)}?artifactType=application/x.signature").json()["manifests"] == []
    assert hub("GET", "referrers/x").refusal == (400, "DIGEST_INVALID")


def test_what_has_gone_while_referrers_are_listed_is_left_out(fresh):
    instance = fresh("--engine", "simulated")
    client = root(instance).client("ecr")
    client.create_repository(repositoryName="one")
    hub = Hub(instance, "one", token_of(client))
    subject = hub.image("it")
    hub.push(b"{}")
    here, gone = artifact(subject, "application/x.here"), artifact(subject, "application/x.gone")
    for one in (here, gone):
        assert hub.put(one).status == 201
    instance.kill()
    digest = sha256(gone)[7:]
    (instance.data_dir / "registry" / "blobs" / "sha256" / digest[:2] / digest).unlink()
    instance.start()
    hub.line = None
    listed = hub("GET", f"referrers/{sha256(subject)}").json()["manifests"]
    assert [one["digest"] for one in listed] == [sha256(here)]
    asked = client.list_image_referrers(repositoryName="one", subjectId={"imageDigest": sha256(subject)})
    assert [one["digest"] for one in asked["referrers"]] == [sha256(here)]


def test_paths_that_lead_nowhere_say_so(hub):
    long = "a" * 257
    for name in ["Team/x", "a//b", "a..b", "-a", "a_", "%61", "team%2Fx", long, "a/../b"]:
        for path in ["tags/list", "manifests/one", f"blobs/{ZEROS}"]:
            answer = hub.of(name)("GET", path)
            assert answer.refusal == (400, "NAME_INVALID"), (name, path, answer.body)
    assert hub.of("../x")("GET", "tags/list").status == 400
    for path in ["/v2/_catalog", "/v2/_catalog?n=1"]:
        assert hub.request("GET", path).refusal == (405, "UNSUPPORTED")
    for path in ["/v2//", "/v2/x", f"/v2/{hub.name}", f"/v2/{hub.name}/blobs/", "/v2/x/y/z"]:
        assert hub.request("GET", path).status in (400, 404), path
    for method, path in [("POST", "tags/list"), ("PUT", f"blobs/{ZEROS}"), ("GET", "blobs/uploads/"), ("TRACE", "manifests/x")]:
        answer = hub(method, path)
        assert answer.refusal == (405, "UNSUPPORTED") and answer.headers["Allow"], (method, path)
    nowhere = hub.of("team/none")
    for method, path, body in [("POST", "blobs/uploads/", b""), ("GET", f"blobs/{ZEROS}", None), ("GET", "manifests/x", None),
                               ("PUT", "manifests/x", image(b"{}")), ("GET", f"referrers/{ZEROS}", None)]:
        assert nowhere(method, path, body).refusal == (404, "NAME_UNKNOWN"), (method, path)


def test_what_is_pushed_and_pulled_is_recorded(strict, hub):
    manifest = hub.image("told")
    layer = json.loads(manifest)["layers"][0]["digest"]
    hub("GET", f"blobs/{layer}")
    hub("GET", "manifests/told")
    hub("DELETE", "manifests/told")
    def names():
        events = root(strict).client("cloudtrail").lookup_events(
            LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "ecr.amazonaws.com"}], MaxResults=50)["Events"]
        texts = [json.loads(event["CloudTrailEvent"]) for event in events]
        return {event["eventName"] for event in texts if (event["requestParameters"] or {}).get("repositoryName") == hub.name}
    wanted = {"InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage", "BatchGetImage",
              "GetDownloadUrlForLayer", "BatchDeleteImage"}
    eventually(lambda: wanted <= names())
    assert hub.token not in strict.log_text()
