"""What lies below a directory of an instance, that runs and meanwhile takes files and directories away."""

import os
import pathlib


def below(*places):
    """Files and directories below these."""
    # As os.walk and not as glob: it passes over a directory that went meanwhile.
    walked = [step for place in places for step in os.walk(place)]
    return [pathlib.Path(parent, name) for parent, names, files in walked for name in names + files]


def files(*places):
    return [path for path in below(*places) if path.is_file()]


def content(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""  # It went while it was looked for.


def size(path):
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def holding(words, *places):
    """The files below these places in which one of these byte strings lies."""
    return [path for path in files(*places) if any(word in text for text in [content(path)] for word in words)]
