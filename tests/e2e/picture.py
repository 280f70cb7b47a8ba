"""Images made for tests: layers and a configuration as they are given, written as an OCI layout in a tar file."""

import gzip
import hashlib
import io
import json
import platform
import tarfile

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OCI = "application/vnd.oci.image.{}"
BUSYBOX = "/usr/bin/busybox"


def entry(name, kind=tarfile.REGTYPE, link="", mode=0o755, content=b"", **fields):
    """One entry of a layer, and its content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def link(name, target):
    return entry(name, tarfile.SYMTYPE, target, 0o777)


def directory(name, mode=0o755):
    return entry(name, tarfile.DIRTYPE, mode=mode)


def layer(*entries):
    """The archive of a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def busybox():
    """The entries of a layer with a shell and its usual programs."""
    with open(BUSYBOX, "rb") as program:
        content = program.read()
    programs = ["sh", "cat", "ls", "id", "pwd", "sleep", "true", "echo", "test", "readlink", "touch"]
    return [entry("bin/busybox", content=content), *(link(f"bin/{name}", "busybox") for name in programs)]


def write(archive, layers, config):
    """Write the image. `config` is what its containers run by default; `Cmd` is `true` unless it says."""
    blobs = {}

    def add(media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    packed = [add(OCI.format("layer.v1.tar+gzip"), gzip.compress(tar, 1, mtime=0)) for tar in layers]
    diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in layers]
    document = {"architecture": MACHINE, "os": "linux", "config": {"Cmd": ["true"], "Env": ["PATH=/bin"]} | config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = add(OCI.format("manifest.v1+json"), json.dumps({
        "schemaVersion": 2, "mediaType": OCI.format("manifest.v1+json"), "layers": packed,
        "config": add(OCI.format("config.v1+json"), json.dumps(document).encode()),
    }).encode())
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI.format("index.v1+json"), "manifests": [manifest]})
    blobs |= {"index.json": index.encode(), "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    with tarfile.open(archive, "w") as tar:
        for name, content in sorted(blobs.items()):
            tar.addfile(*(lambda info, body: (info, io.BytesIO(body)))(*entry(name, content=content)))
    return archive
