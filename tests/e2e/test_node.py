"""What a node does by itself: lets images go, shares processes, mounts; and how the command line finds its containerd."""

import subprocess
import time

import pytest

from account import container, eventually, unique, why
from conftest import BARE, IMAGES, LONGSHORE, ROOM, Instance
from test_images import Registry

TMPFS = """defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime
diratime nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime
strictatime nostrictatime mode=1777 uid=7 gid=8 nr_inodes=1k nr_blocks=9 mpol=local mpol=bind:0""".split()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """A containerd of somebody else's."""
    place = tmp_path_factory.mktemp("containerd")
    socket = place / "c.sock"
    (place / "config.toml").write_text(f"""version = 2
root = "{place}/root"
state = "{place}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
""")
    with open(place / "log", "w") as log:
        process = subprocess.Popen(["containerd", "--config", place / "config.toml"], stdout=log, stderr=log)
    eventually(socket.exists)
    yield socket
    process.terminate()
    process.wait(timeout=120)


@pytest.fixture(scope="module")
def node(daemon):
    instance = Instance(*ROOM, "--containerd", str(daemon), "--image-cleanup-interval", "1", "--image-minimum-age", "3")
    instance.start()
    yield instance
    instance.remove()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.process.terminate()
    registry.process.wait(timeout=120)


def names(instance, *flags):
    listed = instance.command("image", "list", *flags)
    assert listed.returncode == 0, listed.stderr
    return {line.split()[0] for line in listed.stdout.splitlines()[1:]}


def imported(instance):
    """The name of an imported image; the containerd is the one that the node was told of."""
    name = f"node:{unique()}"
    done = instance.command("image", "import", IMAGES / "busybox.tar", "--tag", name)
    assert done.returncode == 0, done.stderr
    return name


def test_the_image_command_finds_the_containerd_of_the_node(node, daemon, tmp_path):
    name = imported(node)
    assert name in names(node) and name in names(node, "--containerd", str(daemon))
    elsewhere = [LONGSHORE, "image", "list", "--data-dir", tmp_path / "data"]
    told = subprocess.run(elsewhere, env=BARE | {"LONGSHORE_CONTAINERD": str(daemon)}, text=True, capture_output=True)
    assert name in told.stdout, told.stderr


def test_a_failed_import_leaves_nothing_running(tmp_path):
    def runs():
        listed = subprocess.run(["pgrep", "-fa", str(tmp_path)], text=True, capture_output=True).stdout
        return [line for line in listed.splitlines() if "pgrep" not in line]

    words = [LONGSHORE, "image", "import", tmp_path / "nothing.tar", "--tag", "x"]
    done = subprocess.run([*words, "--data-dir", tmp_path / "data"], env=BARE, text=True, capture_output=True)
    assert done.returncode != 0 and "nothing.tar" in done.stderr
    assert not runs()


def test_an_empty_variable_is_one_that_is_not_set(tmp_path):
    empty = {name: "" for name in ("LONGSHORE_DATA_DIR", "LONGSHORE_LISTEN", "LONGSHORE_CONTAINERD", "LONGSHORE_CPU")}
    words = [LONGSHORE, "image", "import", "/nonexistent.tar", "--data-dir", tmp_path / "data"]
    done = subprocess.run(words, env=BARE | empty, text=True, capture_output=True)
    assert "/nonexistent.tar" in done.stderr and "required" not in done.stderr, done.stderr


def test_a_pulled_image_goes_when_nobody_uses_it_and_an_imported_one_stays(node, registry):
    account, kept = node.account(), imported(node)
    repository = f"team/{unique()}:1"
    registry.push("busybox.tar", repository)
    image = f"{registry.host}/{repository}"
    cluster = account.cluster()
    sleeper = container(image=image, command=["sleep", "600"], stopTimeout=2)
    arn = account.run(cluster, account.define(sleeper))[0]["taskArn"]
    account.until(cluster, arn, "RUNNING")
    time.sleep(6)
    assert {image, kept} <= names(node), "a task runs on it"
    account.ecs.stop_task(cluster=cluster, task=arn)
    account.until(cluster, arn, "STOPPED")
    eventually(lambda: image not in names(node))
    assert kept in names(node)
    again = account.run(cluster, account.define(container(image=image, command=["true"])))[0]["taskArn"]
    ended = account.until(cluster, again, "STOPPED")
    assert ended["containers"][0].get("exitCode") == 0, why(ended)


def ended(node, *containers, **fields):
    """A task that has run to its end."""
    account = node.account()
    cluster = account.cluster()
    arn = account.run(cluster, account.define(*containers, **fields))[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    return {one["name"]: one.get("exitCode") for one in task["containers"]}, why(task)


def test_every_mount_option_that_registers_starts(node):
    mounts = [{"containerPath": f"/t{at}", "size": 1, "mountOptions": [option]} for at, option in enumerate(TMPFS)]
    image = imported(node)
    script = f"test $(grep -c ' /t[0-9]* tmpfs ' /proc/mounts) = {len(TMPFS)}"
    codes, said = ended(node, container(image=image, entryPoint=["sh", "-c"], command=[script],
                                        linuxParameters={"tmpfs": mounts}))
    assert codes == {"main": 0}, said


def test_containers_of_a_task_may_share_their_processes(node):
    image = imported(node)
    shell = {"image": image, "entryPoint": ["sh", "-c"]}
    other = container("other", **shell, command=["trap 'exit 9' TERM; n=27; while :; do sleep 0.0${n}1; done"], essential=False)
    # `ps` shows a script's own text too: what is looked for is in none of them.
    main = container(**shell, command=["until ps | grep -q '[0]\\.0271'; do sleep 0.1; done; "
                                       "kill $(ps | grep '[e]xit 9' | head -n 1 | awk '{print $1}'); exit 7"])
    codes, said = ended(node, other, main, pidMode="task")
    assert codes == {"main": 7, "other": 9}, said
    codes, said = ended(node, container(**shell, command=["ps | grep -q '[d]ev/init' && exit 1; exit 0"]))
    assert codes == {"main": 0}, said
