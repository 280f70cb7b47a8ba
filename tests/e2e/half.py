"""The two parts of `longshore up`, each a process of its own."""

import subprocess

from account import eventually
from conftest import LONGSHORE, Instance


class Half(Instance):
    """One of the two, in a directory of its own; an agent is told the server's port."""

    def __init__(self, word, port=None, *flags):
        super().__init__(*flags)
        self.word, self.port = word, port or self.port

    def start(self, wait=True):
        with open(self.directory / "longshore.log", "a") as log:
            self.process = subprocess.Popen(
                [LONGSHORE, self.word, *self.place, *self.flags], env=self.env, stdout=log, stderr=log, start_new_session=True,
            )
        if wait and self.word == "server":
            eventually(lambda: self.http("/healthz")[0] == 200)
        elif wait:
            self.wait_ready()
        return self
