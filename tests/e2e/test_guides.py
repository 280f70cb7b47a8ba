"""The guides, followed line by line: their own commands, in the order in which a reader comes by them, on one Longshore."""

import os
import sys

import pytest
from conftest import BARE, LONGSHORE, ROOM, ROOT, Instance
from page import is_as_told, steps, walk

PAGES = ["roles-and-secrets", "rotating-secrets", "nodes", "load-balancers", "container-registry"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Somebody in the root of a checkout, with the commands on the path and an instance that runs."""
    instance = Instance(*ROOM).start()
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("examples", "tools"):
        (checkout / name).symlink_to(ROOT / name)
    (checkout / ".venv").symlink_to(sys.prefix)
    (checkout / "build").mkdir()
    (checkout / "build" / "images").symlink_to(ROOT / "build" / "images")
    (checkout / "commands").mkdir()
    (checkout / "commands" / "longshore").symlink_to(LONGSHORE.absolute())
    environment = BARE | {
        "PATH": f"{checkout}/commands:{sys.prefix}/bin:{BARE['PATH']}", "HOME": str(checkout), "AWS_PAGER": "",
        "LONGSHORE_DATA_DIR": str(instance.data_dir), "LONGSHORE_LISTEN": f"127.0.0.1:{instance.port}",
        "AWS_EC2_METADATA_DISABLED": "true", "PYTHONDONTWRITEBYTECODE": "1",
    }
    yield checkout, environment
    instance.remove()


@pytest.mark.parametrize("name", PAGES)
def test_a_guide_does_what_it_says(reader, name):
    page = (ROOT / "docs" / "guides" / f"{name}.md").read_text()
    assert len(steps(page)) >= 4
    walk(page, *reader)


PAGE = """
```sh
greet() { echo "hello, $1"; }
echo one; echo two
```

```text
one …o
```

```sh
greet you
```
"""


@pytest.mark.parametrize(("page", "complaint"), [
    (PAGE, None),
    (PAGE.replace("greet you", "greet_nobody"), "1 commands failed of\ngreet_nobody"),
    (PAGE.replace("echo one", "false; echo one"), "1 commands failed"),
    (PAGE.replace("echo one", "exit 0"), "ended after 0 of 2"),
    (PAGE.replace("…o", "three"), "and not\none three"),
    (PAGE.replace("one …o", "An error occurred ("), "0 commands failed"),
    (PAGE.replace("```sh", "```bash"), "no command that says"),
])
def test_a_page_that_lies_is_found_out(page, complaint, tmp_path):
    if complaint is None:
        assert len(walk(page, tmp_path, dict(os.environ))) == 2
        return
    with pytest.raises(AssertionError, match=complaint):
        walk(page, tmp_path, dict(os.environ))


def test_what_differs_is_anything_and_nothing_else_is():
    assert is_as_told("a … b", "a x\n y  b") and is_as_told("…", "")
    assert not is_as_told("a … b", "a x c") and not is_as_told("a.c", "abc")
