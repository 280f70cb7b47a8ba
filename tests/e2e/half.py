"""The two parts of `longshore up`, each a process of its own."""

import contextlib
import subprocess

from account import eventually
from conftest import IMAGES, LONGSHORE, ROOM, Instance


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


@contextlib.contextmanager
def both(image):
    """A server and its agent, which has the image: removed at the end."""
    server = Half("server")
    agent = Half("agent", server.port, *ROOM)
    try:
        server.start()
        agent.env |= server.environment()
        agent.start()
        done = agent.command("image", "import", IMAGES / f"{image}.tar", "--tag", f"{image}:latest")
        assert done.returncode == 0, done.stderr
        yield server, agent
    finally:
        agent.remove()
        server.remove()
