"""The pull-through cache: rules, what a pull below one leads to, who may, and upstreams that are away, closed or hostile."""

import concurrent.futures
import contextlib
import http.client
import json
import re
import socket
import sqlite3
import threading

import pytest
from account import eventually, unique
from conftest import Instance
from disk import files, holding
from hub import INDEX, MANIFEST, Hub, described, image, sha256, token_of
from test_identity import ACCOUNT, allow, root, user
from upstream import TOKEN, USER, Upstream, parts

PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
IMPORT = "ecr:BatchImportUpstreamImage"


@pytest.fixture(scope="module")
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.end()


@pytest.fixture(scope="module")
def cached(upstream):
    """An instance that judges its callers and may fetch from `upstream`."""
    instance = Instance("--engine", "simulated", "--upstream-registry", upstream.flag).start()
    yield instance
    instance.remove()


@pytest.fixture(scope="module")
def ecr(cached):
    return root(cached).client("ecr")


@pytest.fixture(autouse=True)
def honest(upstream):
    upstream.closed, upstream.lie, upstream.gate = False, None, None
    yield
    upstream.closed, upstream.lie, upstream.gate = False, None, None


@pytest.fixture
def prefix(ecr):
    """A rule for everything below this."""
    prefix = unique()
    ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl="up.test")
    yield prefix
    ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix=prefix)


@pytest.fixture
def hub(cached, ecr, prefix):
    """A repository below it, which is not there yet; upstream it is called by what follows the prefix."""
    return Hub(cached, f"{prefix}/team/{unique()}", token_of(ecr))


def far(hub):
    """What a repository is called upstream."""
    return hub.name.split("/", 1)[1]


def known(ecr, hub):
    """Digests and tags of the images that are here."""
    try:
        images = ecr.get_paginator("describe_images").paginate(repositoryName=hub.name)
        return {one["imageDigest"]: one.get("imageTags", []) for page in images for one in page["imageDetails"]}
    except ecr.exceptions.RepositoryNotFoundException:
        return {}


def refused(call, **members):
    with pytest.raises(Exception) as error:
        call(**members)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def pulled(hub, manifest, reference):
    """Everything that a client pulls is what is upstream."""
    answer = hub("GET", f"manifests/{reference}")
    assert (answer.status, answer.body) == (200, manifest), answer.body
    assert answer.headers["Docker-Content-Digest"] == sha256(manifest)
    for digest in parts(manifest):
        layer = hub("GET", f"blobs/{digest}")
        assert layer.status == 200 and sha256(layer.body) == digest, layer.body[:300]


def test_rules_are_kept_and_shown(cached, ecr):
    prefix, up = unique(), {"upstreamRegistryUrl": "up.test"}
    made = ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRepositoryPrefix="corp", **up)
    shown = ecr.describe_pull_through_cache_rules(ecrRepositoryPrefixes=[prefix])["pullThroughCacheRules"]
    assert [(one["upstreamRegistryUrl"], one["upstreamRepositoryPrefix"], one["createdAt"]) for one in shown] == [
        ("up.test", "corp", made["createdAt"])]
    rules = ecr.get_paginator("describe_pull_through_cache_rules").paginate(PaginationConfig={"PageSize": 1})
    assert prefix in [one["ecrRepositoryPrefix"] for page in rules for one in page["pullThroughCacheRules"]]
    again = refused(ecr.create_pull_through_cache_rule, ecrRepositoryPrefix=prefix, **up)
    assert again[0] == "PullThroughCacheRuleAlreadyExistsException"
    for url in ["harbor.example.com", "127.0.0.1", "http://up.test", f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"]:
        code, _ = refused(ecr.create_pull_through_cache_rule, ecrRepositoryPrefix=unique(), upstreamRegistryUrl=url)
        assert code == "UnsupportedUpstreamRegistryException", url
    code, message = refused(
        ecr.create_pull_through_cache_rule, ecrRepositoryPrefix=unique(), upstreamRegistryUrl="registry-1.docker.io")
    assert code == "UnsupportedUpstreamRegistryException" and "requires authentication" in message
    secret = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:ecr-pullthroughcache/{unique()}-abcdef"
    lost = refused(ecr.update_pull_through_cache_rule, ecrRepositoryPrefix=prefix, credentialArn=secret)
    assert lost[0] == "SecretNotFoundException"
    ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix=prefix)
    gone = refused(ecr.delete_pull_through_cache_rule, ecrRepositoryPrefix=prefix)
    assert gone[0] == "PullThroughCacheRuleNotFoundException"
    _, nobody = user(cached)
    assert nobody.refused("ecr", "describe_pull_through_cache_rules")[0] == "AccessDeniedException"


def test_a_first_pull_makes_the_repository_and_imports_the_image(upstream, ecr, hub):
    manifest = upstream.push(far(hub), "v1", size=300_000)
    pulled(hub, manifest, "v1")
    eventually(lambda: known(ecr, hub) == {sha256(manifest): ["v1"]})
    pulled(hub, manifest, sha256(manifest))
    asked = upstream.of(far(hub))
    pulled(hub, manifest, "v1")
    assert hub("HEAD", "manifests/v1").headers["Content-Length"] == str(len(manifest))
    # Today it is not asked again.
    assert upstream.of(far(hub)) == asked
    assert [upstream.fetched(digest) for digest in parts(manifest)] == [1, 1]
    layer = parts(manifest)[1]
    assert hub("GET", f"blobs/{layer}", Range="bytes=10-19").body == upstream.blobs[layer][10:20]


def test_twenty_first_pulls_fetch_each_layer_once(upstream, ecr, hub):
    manifest = upstream.push(far(hub), "v1", layers=[unique().encode() * 100_000, b"x" * 10, unique().encode()])
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        clients = [Hub(hub.instance, hub.name, hub.token) for _ in range(20)]
        for done in [pool.submit(pulled, client, manifest, "v1") for client in clients]:
            done.result()
    assert [upstream.fetched(digest) for digest in parts(manifest)] == [1] * 4
    eventually(lambda: known(ecr, hub) == {sha256(manifest): ["v1"]})


@contextlib.contextmanager
def held(upstream, data, size):
    """The upstream sends the first bytes of a layer, and the rest when it may go on."""
    go_on = threading.Event()

    def slowly(request, path):
        if not path.endswith(f"/blobs/{sha256(data)}"):
            return False
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(data[:size])
            request.wfile.flush()
            go_on.wait(120)
            request.wfile.write(data[size:])
        return True

    upstream.lie = slowly
    try:
        yield go_on
    finally:
        go_on.set()
        upstream.lie = None


def test_a_layer_is_read_while_it_comes(upstream, hub):
    data = unique().encode() * 100_000
    manifest = upstream.push(far(hub), "v1", layers=[data])
    with held(upstream, data, 1_000_000) as go_on:
        assert hub("GET", "manifests/v1").body == manifest
        head = f"GET /v2/{hub.name}/blobs/{sha256(data)} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {hub.token}\r\n"
        with socket.create_connection(("127.0.0.1", hub.instance.port), timeout=60) as line:
            line.sendall(f"{head}Connection: close\r\n\r\n".encode())
            read = b""
            # What was not written yet, and the last that was, are held back: less than two batches of 256 KiB.
            while len(read) < 450_000:
                more = line.recv(65536)
                assert more, read[:300]
                read += more
            go_on.set()
            while more := line.recv(65536):
                read += more
        assert read.split(b"\r\n\r\n", 1)[1] == data


def test_an_index_has_its_images_as_they_are_asked_for(upstream, ecr, hub):
    one, two = (upstream.push(far(hub), None, architecture=each) for each in ("amd64", "arm64"))
    index = upstream.index(far(hub), "v1", one, two)
    answer = hub("GET", "manifests/v1")
    assert (answer.body, answer.headers["Content-Type"]) == (index, INDEX)
    eventually(lambda: known(ecr, hub) == {sha256(index): ["v1"]})
    pulled(hub, one, sha256(one))
    eventually(lambda: set(known(ecr, hub)) == {sha256(index), sha256(one)})
    assert sum(upstream.fetched(digest) for digest in parts(two)) == 0
    # What the index lists is not deleted before it.
    kept = ecr.batch_delete_image(repositoryName=hub.name, imageIds=[{"imageDigest": sha256(one)}])
    assert kept["failures"][0]["failureCode"] == "ImageReferencedByManifestList"
    pulled(hub, two, sha256(two))
    eventually(lambda: len(known(ecr, hub)) == 3)
    assert hub("GET", "manifests/v1").body == index


def aged(instance, hub):
    """As if everything had been fetched two days ago."""
    instance.stop()
    with contextlib.closing(sqlite3.connect(instance.data_dir / "state.db")) as state, state:
        rows = state.execute("SELECT rowid, value FROM records WHERE kind = 52").fetchall()
        for row, value in rows:
            text = value.decode() if isinstance(value, bytes) else value
            old = re.sub(r'"lookedAt":([0-9.e+]+)', lambda found: f'"lookedAt":{float(found[1]) - 172_800}', text)
            state.execute("UPDATE records SET value = ? WHERE rowid = ?", (old.encode() if isinstance(value, bytes) else old, row))
    instance.start()
    return Hub(instance, hub.name, token_of(root(instance).client("ecr")))


def test_a_tag_is_looked_up_again_after_a_day(upstream, cached, ecr, hub):
    first = upstream.push(far(hub), "v1")
    pulled(hub, first, "v1")
    still = upstream.push(far(hub), "same")
    pulled(hub, still, "same")
    eventually(lambda: len(known(ecr, hub)) == 2)
    hub = aged(cached, hub)
    second = upstream.push(far(hub), "v1")
    fetched = [upstream.fetched(digest) for digest in parts(still)]
    pulled(hub, still, "same")
    asked = upstream.of(far(hub))
    pulled(hub, still, "same")
    assert upstream.of(far(hub)) == asked and [upstream.fetched(digest) for digest in parts(still)] == fetched
    pulled(hub, second, "v1")
    eventually(lambda: known(root(cached).client("ecr"), hub).get(sha256(second)) == ["v1"])
    assert known(root(cached).client("ecr"), hub)[sha256(first)] == []
    # What was pushed here is not the upstream's.
    mine = hub.image("v1")
    hub = aged(cached, hub)
    assert hub("GET", "manifests/v1").body == mine
    # One that lets nobody in is asked again when it may.
    hub = aged(cached, hub)
    upstream.lie = lambda request, _: upstream.refuse(request, 403, "DENIED") or True
    assert hub("GET", "manifests/same").body == still
    upstream.lie = None
    still = upstream.push(far(hub), "same")
    pulled(hub, still, "same")
    eventually(lambda: known(root(cached).client("ecr"), hub).get(sha256(still)) == ["same"])
    # One that is away, or has nothing any more, leaves what is here.
    for lie in (lambda request, _: request.connection.close() or True, lambda request, _: upstream.refuse(request, 404, "NONE") or True):
        hub = aged(cached, hub)
        upstream.lie = lie
        assert hub("GET", "manifests/same").body == still
        upstream.lie = None


def test_what_is_pushed_while_a_tag_is_fetched_stays(upstream, ecr, hub):
    data = unique().encode() * 1000
    theirs = upstream.push(far(hub), "v1", layers=[data])
    with held(upstream, data, 5000) as go_on:
        assert hub("GET", "manifests/v1").body == theirs
        mine = hub.image("v1")
        go_on.set()
        eventually(lambda: sha256(theirs) in known(ecr, hub))
        assert known(ecr, hub) == {sha256(mine): ["v1"], sha256(theirs): []}
        assert hub("GET", "manifests/v1").body == mine


def test_tags_that_may_not_move_stay(upstream, cached, ecr, prefix):
    template = {"prefix": prefix, "appliedFor": ["PULL_THROUGH_CACHE"], "imageTagMutability": "IMMUTABLE",
                "resourceTags": [{"Key": "from", "Value": "template"}]}
    ecr.create_repository_creation_template(**template)
    hub = Hub(cached, f"{prefix}/{unique()}", token_of(ecr))
    first = upstream.push(far(hub), "v1")
    pulled(hub, first, "v1")
    eventually(lambda: known(ecr, hub))
    made = ecr.describe_repositories(repositoryNames=[hub.name])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE"
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == template["resourceTags"]
    upstream.push(far(hub), "v1")
    hub = aged(cached, hub)
    assert hub("GET", "manifests/v1").body == first


def test_who_may_not_import_gets_what_is_here(upstream, cached, ecr, hub):
    manifest = upstream.push(far(hub), "v1")
    arn = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{hub.name}"
    login = allow("ecr:GetAuthorizationToken")

    def seen_by(*actions):
        _, bearer = user(cached, login, allow(*actions, resource=arn))
        return Hub(cached, hub.name, token_of(bearer.client("ecr")))

    puller, stranger = seen_by(*PULL), seen_by("ecr:DescribeImages")
    importer, maker = seen_by(*PULL, IMPORT), seen_by(*PULL, IMPORT, "ecr:CreateRepository")
    for client, missing in [(puller, IMPORT), (stranger, "ecr:BatchGetImage"), (importer, "ecr:CreateRepository")]:
        answer = client("GET", "manifests/v1")
        assert answer.refusal == (403, "DENIED") and f"perform: {missing} on resource: {arn}" in answer.body.decode(), answer.body
    # Nobody who may not was let ask.
    assert upstream.of(far(hub)) == 0 and known(ecr, hub) == {}
    pulled(maker, manifest, "v1")
    eventually(lambda: known(ecr, hub))
    pulled(puller, manifest, "v1")
    assert puller("GET", "manifests/v2").refusal == (403, "DENIED")
    newer = upstream.push(far(hub), "v2")
    pulled(importer, newer, "v2")


def test_what_the_upstream_refuses_is_told(upstream, ecr, hub):
    answer = hub("GET", "manifests/none")
    assert answer.refusal == (404, "MANIFEST_UNKNOWN") and f"does not have {far(hub)}:none" in answer.body.decode()
    upstream.push(far(hub), "v1")
    for status, wanted in [(401, (403, "DENIED")), (403, (403, "DENIED")), (429, (429, "TOOMANYREQUESTS")),
                           (500, (503, "UNAVAILABLE")), (418, (502, "UNKNOWN"))]:
        upstream.lie = lambda request, _, status=status: upstream.refuse(request, status, "PLANTED", {"Retry-After": "7"}) or True
        answer = hub("GET", "manifests/v1")
        assert answer.refusal == wanted, answer.body
        if status == 429:
            assert answer.headers["Retry-After"] == "7"
    upstream.lie = lambda request, _: request.connection.close() or True
    assert hub("GET", "manifests/v1").refusal == (503, "UNAVAILABLE")
    assert known(ecr, hub) == {}
    missing = refused(ecr.describe_repositories, repositoryNames=[hub.name])
    assert missing[0] == "RepositoryNotFoundException"


def test_credentials_are_of_a_secret(upstream, cached, ecr, hub, prefix):
    upstream.closed = True
    manifest = upstream.push(far(hub), "v1")
    assert hub("GET", "manifests/v1").refusal == (403, "DENIED")
    failed = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)
    assert failed["isValid"] is False and "up.test" not in failed.get("failure", "up.test").split(":")[0]
    secrets = root(cached).client("secretsmanager")
    text = json.dumps({"username": USER, "accessToken": TOKEN})
    secret = secrets.create_secret(Name=f"ecr-pullthroughcache/{unique()}", SecretString=text)["ARN"]
    # Who makes a rule of a secret may read it.
    _, bearer = user(cached, allow("ecr:UpdatePullThroughCacheRule"))
    code, _, _ = bearer.refused("ecr", "update_pull_through_cache_rule", ecrRepositoryPrefix=prefix, credentialArn=secret)
    assert code == "UnableToAccessSecretException"
    ecr.update_pull_through_cache_rule(ecrRepositoryPrefix=prefix, credentialArn=secret)
    assert ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)["isValid"] is True
    pulled(hub, manifest, "v1")
    eventually(lambda: known(ecr, hub))
    secrets.put_secret_value(SecretId=secret, SecretString=json.dumps({"username": USER, "accessToken": "wrong"}))
    failed = ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix=prefix)
    assert failed["isValid"] is False and "planted UNAUTHORIZED" in failed["failure"]
    secrets.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    answer = hub("GET", "manifests/v2")
    assert answer.refusal == (403, "DENIED") and "secret" in answer.body.decode()
    pulled(hub, manifest, "v1")
    assert TOKEN not in cached.log_text()
    assert holding([TOKEN.encode()], cached.data_dir) == []


@pytest.mark.parametrize("what", ["manifest", "endless", "not", "both", "redirect", "realm"])
def test_a_manifest_that_lies_is_refused(upstream, ecr, hub, what):
    manifest = upstream.push(far(hub), "v1")
    reached = []

    def lie(request, path):
        if "/manifests/" not in path:
            reached.append(path)
            return False
        if what == "manifest":
            return upstream.send(request, 200, manifest + b" ", {"Docker-Content-Digest": sha256(manifest), "Content-Type": MANIFEST})
        if what == "endless":
            request.send_response(200)
            request.send_header("Connection", "close")
            request.end_headers()
            try:
                for _ in range(100):
                    request.wfile.write(b"x" * 1_000_000)
            except OSError:
                pass
            request.close_connection = True
            return True
        if what == "not":
            return upstream.send(request, 200, b'{"schemaVersion": 1}', {"Content-Type": "application/json"})
        if what == "both":
            body = json.dumps(json.loads(manifest) | {"manifests": []}).encode()
            return upstream.send(request, 200, body, {"Content-Type": MANIFEST})
        if what == "redirect":
            return upstream.send(request, 307, b"", {"Location": f"http://127.0.0.2:{upstream.port}/elsewhere"})
        return upstream.send(request, 401, b"", {"WWW-Authenticate": f'Bearer realm="http://127.0.0.2:{upstream.port}/elsewhere"'})

    upstream.lie = lie
    answer = hub("GET", "manifests/v1")
    assert answer.refusal == (502, "UNKNOWN") and answer.body.decode().count(f"127.0.0.1:{upstream.port}") == 1, answer.body
    assert hub("GET", f"manifests/{sha256(b'other')}").status in (404, 502)
    assert known(ecr, hub) == {} and reached == []


@pytest.mark.parametrize("size", [40, 400_000])
def test_a_layer_that_lies_is_never_whole(upstream, ecr, hub, size):
    data, other = unique().encode() * size, b"x" * (14 * size)
    manifest = upstream.push(far(hub), "v1", layers=[data])
    lies = f"/blobs/{sha256(data)}"
    upstream.lie = lambda request, path: path.endswith(lies) and upstream.send(request, 200, other)
    assert hub("GET", "manifests/v1").body == manifest
    try:
        answer = hub("GET", f"blobs/{sha256(data)}")
        assert answer.status in (404, 502), answer.status
    except (OSError, http.client.HTTPException):
        pass  # It broke off.
    upstream.lie = None
    # The next one gets what is right.
    eventually(lambda: hub("GET", f"blobs/{sha256(data)}").status == 200)
    pulled(hub, manifest, "v1")
    eventually(lambda: known(ecr, hub) == {sha256(manifest): ["v1"]})


def test_a_layer_that_stops_coming_holds_up_nobody_else(upstream, ecr, hub):
    data = unique().encode() * 1000
    slow, fast = upstream.push(far(hub), "slow", layers=[data]), upstream.push(far(hub), "fast")
    with held(upstream, data, 5000):
        assert hub("GET", "manifests/slow").body == slow
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(Hub(hub.instance, hub.name, hub.token), "GET", f"blobs/{sha256(data)}")
            pulled(hub, fast, "fast")
            eventually(lambda: sha256(fast) in known(ecr, hub))
            assert concurrent.futures.wait([waiting], 100).done
            with pytest.raises((ConnectionError, http.client.IncompleteRead)):
                waiting.result()
        assert sha256(slow) not in known(ecr, hub)
        # Nobody can go on with what has come.
        eventually(lambda: files(hub.instance.data_dir / "registry/uploads") == [])


def test_what_holds_for_images_holds_for_imported_ones(upstream, cached, ecr, hub):
    """Scans on push, lifecycle policies, and laws of size."""
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[
        {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": f"{hub.name}*", "filterType": "WILDCARD"}]}])
    try:
        manifest = upstream.push(far(hub), "v1")
        pulled(hub, manifest, "v1")
        eventually(lambda: known(ecr, hub))
        shown = ecr.describe_images(repositoryName=hub.name)["imageDetails"][0]
        assert "imageScanStatus" in shown and shown["imageSizeInBytes"] == sum(len(upstream.blobs[one]) for one in parts(manifest))
    finally:
        ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[])
    rules = {"rules": [{"rulePriority": 1, "action": {"type": "expire"},
                        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}]}
    ecr.put_lifecycle_policy(repositoryName=hub.name, lifecyclePolicyText=json.dumps(rules))
    newer = upstream.push(far(hub), "v2")
    pulled(hub, newer, "v2")
    eventually(lambda: list(known(ecr, hub)) == [sha256(newer)], 120)


def test_foreign_and_wrong_sizes_are_not_recorded(upstream, ecr, hub):
    """A manifest whose sizes are not those of its layers is served, as its digest is right, but it is no image."""
    config, layer = json.dumps({"id": unique()}).encode(), unique().encode()
    lying = json.loads(image(config, layer))
    lying["layers"][0]["size"] += 1
    text = json.dumps(lying).encode()
    upstream.blobs |= {sha256(config): config, sha256(layer): layer}
    upstream.put(far(hub), "v1", text)
    assert hub("GET", "manifests/v1").body == text
    assert described(config, "x")["digest"] == sha256(config)
    for digest in (sha256(config), sha256(layer)):
        eventually(lambda digest=digest: hub("HEAD", f"blobs/{digest}").status == 200)
    eventually(lambda: "an image was not imported" in hub.instance.log_text())
    assert known(ecr, hub) == {}
