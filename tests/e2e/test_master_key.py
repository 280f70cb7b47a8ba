"""The master key: where it comes from, and what happens with another one."""

import base64
import os

import pytest
from conftest import Instance
from disk import holding
from test_identity import Bearer, allow, user

KEY = base64.b64encode(os.urandom(32)).decode()


def ended(instance):
    """What an instance says that does not start."""
    with pytest.raises(RuntimeError) as told:
        instance.start()
    return str(told.value)


def test_a_key_of_the_environment_or_a_credential_opens_what_it_sealed_and_no_other_does(tmp_path):
    instance = Instance("--engine", "simulated", env={"LONGSHORE_MASTER_KEY": KEY}).start()
    try:
        name, bearer = user(instance, allow("sts:*"))
        instance.stop()
        assert not (instance.data_dir / "master-key").exists()

        bare = instance.env.copy()
        del bare["LONGSHORE_MASTER_KEY"]
        instance.env = bare
        assert "was sealed with one that is not there" in ended(instance)
        assert not (instance.data_dir / "master-key").exists()
        instance.env = bare | {"LONGSHORE_MASTER_KEY": base64.b64encode(os.urandom(32)).decode()}
        assert "LONGSHORE_MASTER_KEY is not the one that" in ended(instance)
        instance.env = bare | {"LONGSHORE_MASTER_KEY": "short"}
        assert "LONGSHORE_MASTER_KEY does not hold 32 bytes" in ended(instance)

        (tmp_path / "longshore-master-key").write_text(base64.b64decode(KEY).hex() + "\n")
        instance.env = bare | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        instance.start()
        again = Bearer(instance, bearer.key, bearer.secret)
        assert again.client("sts").get_caller_identity()["Arn"].endswith(f":user/{name}")

        spellings = [KEY.encode(), base64.b64decode(KEY), base64.b64decode(KEY).hex().encode()]
        assert holding(spellings, instance.directory) == []
    finally:
        instance.remove()
