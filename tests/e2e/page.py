"""A page of the guides as a test: its `sh` blocks are run in their order by one shell, and what each says is compared with the
`text` block that follows it, if one does.

`…` stands for anything, and how lines are broken does not matter. One command fails of a block whose text has a line that
begins with the AWS CLI's words for that; all others succeed.
"""

import re
import subprocess
import uuid
from typing import NamedTuple

# What the AWS CLI says when it is refused.
ERROR = re.compile(r"^An error occurred \(", re.MULTILINE)

FENCE = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# After each block: the mark, and how many of its commands failed. The first that should not have ends the walk.
FRAME = """
set -E -o pipefail
failed=0
trap 'failed=$((failed + 1))' ERR
step() {{
  printf '\\n%s %s\\n' {mark} $failed
  [ $1 = $failed ] || exit 1
  failed=0
}}
"""


class Step(NamedTuple):
    """What is to be run, and what it is to say; `None` if the page does not tell."""

    commands: str
    told: str | None

    @property
    def is_refused(self):
        return self.told is not None and ERROR.search(self.told) is not None


def steps(page):
    """The steps of a page in Markdown."""
    found = []
    for kind, block in FENCE.findall(page):
        if kind == "sh":
            found.append(Step(block, None))
        else:
            assert found and found[-1].told is None, f"there is no command that says:\n{block}"
            found[-1] = found[-1]._replace(told=block)
    return found


def script(walk, mark):
    """One shell's program of all steps. What reads standard input finds nothing there."""
    parts = [FRAME.format(mark=mark)]
    parts += [f"{{\n{one.commands}}} </dev/null\nstep {int(one.is_refused)}\n" for one in walk]
    return "".join(parts)


def in_one_line(text):
    return " ".join(text.split())


def is_as_told(told, said):
    parts = [re.escape(part) for part in in_one_line(told).split("…")]
    return re.fullmatch(".*?".join(parts), in_one_line(said)) is not None


def walk(page, directory, environment):
    """Follow the page in a directory; fails where it is not as the page says."""
    wanted, mark = steps(page), uuid.uuid4().hex
    done = subprocess.run(["bash", "-c", script(wanted, mark)], cwd=directory, env=environment, text=True, timeout=900,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    *told, rest = re.split(rf"\n{mark} (\d+)\n", done.stdout)
    outcomes = list(zip(told[::2], told[1::2]))
    for step, (said, failures) in zip(wanted, outcomes):
        assert int(failures) == step.is_refused, f"{failures} commands failed of\n{step.commands}\n{said}"
        assert step.told is None or is_as_told(step.told, said), f"{step.commands}\nsaid\n{said}\nand not\n{step.told}"
    assert len(outcomes) == len(wanted), f"the walk ended after {len(outcomes)} of {len(wanted)} steps:\n{rest}"
    return outcomes
