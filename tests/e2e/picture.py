"""Images made for tests: layers and a configuration as they are given, written as an archive."""

import io
import tarfile

import oci_archive

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
    oci_archive.write(archive, layers, {"Cmd": ["true"], "Env": ["PATH=/bin"]} | config)
    return archive
