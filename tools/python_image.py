"""Writes an image with this machine's Python, boto3 and some programs: a real SDK in a real container.

    .venv/bin/python tools/python_image.py ARCHIVE [PROGRAM…]

The programs lie at the root of the image; its entry point is Python, so that a container's command is `["/PROGRAM"]`. boto3 is
that of the Python that runs this, and speaks of the services below alone.
"""

import importlib.util
import io
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tarfile

import oci_archive

PACKAGES = ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"]

# Of the services' descriptions only these are taken.
SERVICES = ["ecs", "logs", "secretsmanager", "ssm", "sts"]

# Where the packages are in the image.
HERE = "/packages"

UNNEEDED = {"__pycache__", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages",
            "dist-packages"}


def files_below(directory):
    """The files of a directory that programs need, in one order."""
    for path, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if name not in UNNEEDED and not name.startswith("config-"))
        yield from (pathlib.Path(path, name) for name in sorted(files) if not name.endswith(".a"))


def is_wanted(path):
    """Whether a file is of botocore's code, or describes a service that is taken."""
    _, _, below = str(path).partition("/botocore/data/")
    return not below or "/" not in below or below.split("/")[0] in SERVICES


def libraries(binaries):
    """What the dynamic linker loads for these, itself included."""
    found = set()
    for binary in binaries:
        said = subprocess.run(["ldd", binary], text=True, capture_output=True, timeout=60).stdout
        found |= set(re.findall(r"(/\S+) \(0x", said))
    return sorted(found)


def python_files():
    """Path in the image, and path here, of the interpreter, its library and what they load."""
    interpreter = os.path.realpath(sys.executable)
    library = {path for name in ("stdlib", "platstdlib") for path in files_below(sysconfig.get_path(name, vars=BASE))}
    loaded = libraries([interpreter, *(str(path) for path in sorted(library) if path.suffix == ".so")])
    return {str(path): path for path in [interpreter, *sorted(library), *loaded]}


# The interpreter's own directories, not those of a virtual environment.
BASE = {"base": sys.base_prefix, "platbase": sys.base_prefix, "installed_base": sys.base_prefix,
        "installed_platbase": sys.base_prefix}


def package_files():
    """The same of the packages."""
    found = {}
    for name in PACKAGES:
        origin = pathlib.Path(importlib.util.find_spec(name).origin)
        files = files_below(origin.parent) if origin.name == "__init__.py" else [origin]
        root = origin.parents[1] if origin.name == "__init__.py" else origin.parent
        found |= {f"{HERE}/{path.relative_to(root)}": path for path in files if is_wanted(path)}
    return found


def layer(programs):
    own = {f"/{pathlib.Path(program).name}": program for program in programs}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as tar:
        for name, path in sorted((python_files() | package_files() | own).items()):
            tar.add(path, arcname=name.lstrip("/"))
    return buffer.getvalue()


def write(archive, programs=()):
    """Write the image."""
    environment = [f"PYTHONPATH={HERE}", "PYTHONUNBUFFERED=1", "HOME=/"]
    config = {"Entrypoint": [os.path.realpath(sys.executable)], "Env": environment}
    oci_archive.write(archive, [layer(programs)], config, packed=False)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: python_image.py ARCHIVE [PROGRAM…]")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"{sys.executable} has no {', '.join(missing)}; ./quickstart makes .venv, which has: run this by .venv/bin/python")
    archive = pathlib.Path(sys.argv[1])
    archive.parent.mkdir(parents=True, exist_ok=True)
    write(archive, sys.argv[2:])


if __name__ == "__main__":
    main()
