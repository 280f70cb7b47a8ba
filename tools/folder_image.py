"""Writes an image of the files below a folder, as `FROM scratch` and `COPY . /` would, where there is no docker.

    python3 tools/folder_image.py FOLDER ARCHIVE [COMMAND…]

The archive is an OCI layout in a tar file, which skopeo and `longshore image import` read. Owners and times are left out, so
that the same files are the same image.
"""

import gzip
import hashlib
import io
import json
import pathlib
import platform
import sys
import tarfile

KIND = "application/vnd.oci.image.{}".format


def plain(entry):
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def layer(folder):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, arcname=path.relative_to(folder), recursive=False, filter=plain)
    return buffer.getvalue()


def write(folder, archive, command):
    blobs = {}

    def add(kind, content):
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": KIND(kind), "digest": f"sha256:{digest}", "size": len(content)}

    content = layer(folder)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    config = add("config.v1+json", json.dumps({
        "architecture": machine, "os": "linux", "config": {"Cmd": command},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
    }).encode())
    manifest = add("manifest.v1+json", json.dumps({
        "schemaVersion": 2, "mediaType": KIND("manifest.v1+json"), "config": config,
        "layers": [add("layer.v1.tar+gzip", gzip.compress(content, mtime=0))],
    }).encode())
    index = json.dumps({"schemaVersion": 2, "mediaType": KIND("index.v1+json"), "manifests": [manifest]})
    blobs |= {"index.json": index.encode(), "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    with tarfile.open(archive, "w") as tar:
        for name, bytes_ in sorted(blobs.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(bytes_)
            tar.addfile(entry, io.BytesIO(bytes_))


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: folder_image.py FOLDER ARCHIVE [COMMAND…]")
    write(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:])


if __name__ == "__main__":
    main()
