"""Writes images: layers and a configuration, as an OCI layout in a tar file, which skopeo and `longshore image import` read."""

import gzip
import hashlib
import io
import json
import platform
import tarfile

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
KIND = "application/vnd.oci.image.{}".format


def write(archive, layers, config, packed=True):
    """Write an image of these layers (tar archives, lowest first), whose containers run by default what `config` says. The same
    image is the same bytes."""
    blobs = {}

    def add(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": KIND(kind), "digest": f"sha256:{digest}", "size": len(content)}

    def layer(content):
        return add("layer.v1.tar+gzip", gzip.compress(content, 1, mtime=0)) if packed else add("layer.v1.tar", content)

    diff_ids = [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in layers]
    document = {"architecture": MACHINE, "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = add("manifest.v1+json", json.dumps({
        "schemaVersion": 2, "mediaType": KIND("manifest.v1+json"), "config": add("config.v1+json", json.dumps(document).encode()),
        "layers": [layer(content) for content in layers],
    }).encode())
    index = json.dumps({"schemaVersion": 2, "mediaType": KIND("index.v1+json"), "manifests": [manifest]})
    blobs |= {"index.json": index.encode(), "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    with tarfile.open(archive, "w") as tar:
        for name, content in sorted(blobs.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
