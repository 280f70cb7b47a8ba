"""Writes an image of the files below a folder, as `FROM scratch` and `COPY . /` would, where there is no docker.

    python3 tools/folder_image.py FOLDER ARCHIVE [COMMAND…]

Owners and times are left out, so that the same files are the same image.
"""

import io
import pathlib
import sys
import tarfile

import oci_archive


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


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: folder_image.py FOLDER ARCHIVE [COMMAND…]")
    oci_archive.write(sys.argv[2], [layer(pathlib.Path(sys.argv[1]))], {"Cmd": sys.argv[3:]})


if __name__ == "__main__":
    main()
