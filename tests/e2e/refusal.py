"""Errors as a client sees them."""

import re

import botocore.exceptions
import pytest


def refused(call, *arguments, **given):
    """Code and message of the error that a call ends with, which is the caller's fault and never the server's."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(*arguments, **given)
    answer = caught.value.response
    code, message = answer["Error"]["Code"], answer["Error"].get("Message", "")
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    assert 400 <= status < 500, f"{status} {code}: {message}"
    assert answer["ResponseMetadata"]["RequestId"]
    return code, message


def check_refused(code, pattern, call, *arguments, **given):
    """The call ends with this code and a message that holds the pattern."""
    found, message = refused(call, *arguments, **given)
    assert found == code, f"{found}: {message}"
    assert re.search(pattern, message), message


def check_holds(given, got, path=""):
    """Everything given is in the answer; the answer may hold more."""
    if isinstance(given, dict):
        assert isinstance(got, dict), f"{path}: {got!r}"
        for key, value in given.items():
            assert key in got, f"{path}.{key} is missing"
            check_holds(value, got[key], f"{path}.{key}")
    elif isinstance(given, list):
        assert isinstance(got, list) and len(got) == len(given), f"{path}: {got!r}"
        for index, value in enumerate(given):
            check_holds(value, got[index], f"{path}[{index}]")
    else:
        assert got == given, f"{path}: {got!r} is not {given!r}"
