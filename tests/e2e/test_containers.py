"""Real containers: each parameter of a container definition acts, as a container itself tells in its log.

All tasks of the file start together (`fleet`), each test looks at one. The containers run scripts of busybox.
"""

import json
import re
import resource
import subprocess
import time
import urllib.request

import pytest

from account import Account, container, eventually, short, unique, why

ROLE = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"
GROUP = f"/e2e/{unique()}"
# Long enough for every test to look at it; the fleet is stopped in the end.
STAY = "while :; do sleep 1; done"


def logged(**options):
    """A log configuration into the file's group."""
    given = {
        "awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e",
        "awslogs-create-group": "true",
    }
    return {"logDriver": "awslogs", "options": given | {name.replace("_", "-"): text for name, text in options.items()}}


def tells(name, script, **fields):
    """A container that runs a script, whose end is not the task's."""
    given = {"essential": False, "entryPoint": ["/bin/sh", "-c"], "command": [script], "logConfiguration": logged()}
    return container(name, **given | fields)


def after(*names, condition="COMPLETE"):
    return {"dependsOn": [{"containerName": name, "condition": condition} for name in names]}


def stays(name="main", script="", **fields):
    """The essential container, which stays until the task is stopped."""
    return tells(name, f"{script}\n{STAY}", **{"essential": True, "stopTimeout": 2} | fields)


# A check may take its time: all tasks of the file start at once.
HEALTH = {"interval": 5, "timeout": 60, "retries": 1}
COUNT_TICKS = ("cut -d' ' -f1 /proc/uptime; while :; do :; done & sleep 2; awk '{print $14 + $15}' /proc/$!/stat; "
               "kill $!; cut -d' ' -f1 /proc/uptime")

TASKS = {
    "words": [
        tells("command", "", entryPoint=[], command=["echo", "by command"]),
        tells("entry", "", entryPoint=["echo", "by entry point"], command=["and", "command"]),
        tells("directory", "pwd", workingDirectory="/srv/deep/down"),
        tells("user", "id -u; id -g; touch /root/x 2>&1 || echo denied", user="1000:1001"),
        tells("variables", 'echo "$A|$B|$C"; echo $AWS_REGION $AWS_EXECUTION_ENV', environment=[
            {"name": "A", "value": "1 2"}, {"name": "B", "value": "$HOME"}, {"name": "C", "value": "ü\"\\"},
        ]),
        # Row N4: odd values arrive as they are and act on nothing but the container.
        tells("odd-variables", 'echo "$A" | wc -l; echo $LD_PRELOAD; env | grep -c "^B="', environment=[
            {"name": "A", "value": "two\nlines"}, {"name": "LD_PRELOAD", "value": "/no/such.so"},
            {"name": "B", "value": ""},
        ]),
        tells("terminal", "test -t 1 && echo terminal; test -t 0 && echo to type at", pseudoTerminal=True),
        tells("plain", "test -t 1 || echo none; cat; echo end of input"),
        tells("streams", "echo out; echo err >&2"),
        stays(),
    ],
    "limits": [
        tells("ulimits", "ulimit -Sn; ulimit -Hn", ulimits=[{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}]),
        tells("usual", "ulimit -Sn; ulimit -Hn; echo $$; grep CapEff /proc/self/status"),
        tells("init", "echo $$; (sleep 0.1 & echo $! >/orphan); while test -e /proc/$(cat /orphan); do sleep 0.1; done; "
                      "cat /proc/[0-9]*/stat | awk '$3 == \"Z\"' | wc -l",
              linuxParameters={"initProcessEnabled": True}),
        tells("capabilities", "grep CapEff /proc/self/status", linuxParameters={
            "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW", "CHOWN"]},
        }),
        tells("tmpfs", "grep ' /fast ' /proc/mounts; df -k /fast | tail -n 1; touch /fast/x && echo written",
              linuxParameters={"tmpfs": [{"containerPath": "/fast", "size": 16, "mountOptions": ["noexec"]}]}),
        tells("controls", "cat /proc/sys/net/core/somaxconn", systemControls=[
            {"namespace": "net.core.somaxconn", "value": "512"},
        ]),
        tells("processor", COUNT_TICKS),
        stays(),
    ],
    "files": [
        tells("readonly", "touch /x 2>&1 || echo refused; touch /data/x && echo written", readonlyRootFilesystem=True,
              mountPoints=[{"sourceVolume": "scratch", "containerPath": "/data"}]),
        tells("writer", "echo hello >/data/file; touch /x && echo own", mountPoints=[
            {"sourceVolume": "scratch", "containerPath": "/data", "readOnly": False},
        ]),
        tells("reader", "cat /in/file; touch /in/y 2>&1 || echo refused", mountPoints=[
            {"sourceVolume": "scratch", "containerPath": "/in", "readOnly": True},
        ], **after("writer")),
        tells("heir", "cat /data/file; touch /data/z && echo written", volumesFrom=[{"sourceContainer": "writer"}],
              **after("writer")),
        tells("poor-heir", "cat /data/file; touch /data/z 2>&1 || echo refused", volumesFrom=[
            {"sourceContainer": "writer", "readOnly": True},
        ], **after("heir")),
        tells("apart", "ls /data 2>&1; ls /x 2>&1"),
        stays(),
    ],
    "order": [
        tells("first", "sleep 0.3; cut -d' ' -f1 /proc/uptime"),
        tells("failing", "sleep 0.3; cut -d' ' -f1 /proc/uptime; exit 3"),
        tells("healthy", f"sleep 1; cut -d' ' -f1 /proc/uptime; touch /ready; {STAY}", stopTimeout=2, healthCheck={
            "command": ["CMD-SHELL", "test -e /ready"], **HEALTH, "retries": 10,
        }),
        tells("started", f"cut -d' ' -f1 /proc/uptime; {STAY}", stopTimeout=2),
        stays("main", "cut -d' ' -f1 /proc/uptime", dependsOn=[
            {"containerName": "first", "condition": "SUCCESS"}, {"containerName": "failing", "condition": "COMPLETE"},
            {"containerName": "healthy", "condition": "HEALTHY"}, {"containerName": "started", "condition": "START"},
        ]),
    ],
    "failed dependency": [
        tells("failing", "exit 3"),
        stays("main", "echo never", **after("failing", condition="SUCCESS")),
    ],
    "slow dependency": [
        tells("slow", STAY, startTimeout=2, stopTimeout=2, healthCheck={"command": ["CMD", "false"], **HEALTH}),
        stays("main", "echo never", **after("slow", condition="HEALTHY")),
    ],
    "checked": [
        stays("well", healthCheck={"command": ["CMD", "true"], **HEALTH}),
        stays("ill", healthCheck={"command": ["CMD-SHELL", "exit 1"], **HEALTH}),
        tells("side", STAY, stopTimeout=2, healthCheck={"command": ["CMD", "true"], **HEALTH}),
    ],
    "metadata": [
        tells("container", "wget -qO- $ECS_CONTAINER_METADATA_URI_V4", dockerLabels={"com.example.team": "docks"}),
        tells("task", "wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task"),
        tells("stats", "sleep 1; wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task/stats"),
        tells("three", "wget -qO- $ECS_CONTAINER_METADATA_URI"),
        tells("wrong", "wget -qO- http://169.254.170.2/v4/nobody 2>&1; "
                       "printf 'GET /v4/../../etc/passwd HTTP/1.0\\r\\n\\r\\n' | nc 169.254.170.2 80 | head -n 1; "
                       "printf 'POST /v4/x HTTP/1.0\\r\\nContent-Length: 0\\r\\n\\r\\n' | "
                       "nc 169.254.170.2 80 | head -n 1"),
        tells("credentials", "wget -qO- http://169.254.170.2/v2/credentials/x 2>&1; "
                             "timeout 2 wget -qO- http://169.254.169.254/latest/meta-data 2>&1 || echo unreachable"),
        stays(),
    ],
    # Many at a time and with a whole processor: one after the other may take a slow machine as long as is allowed.
    "flood": [
        tells("flood", "i=0; while [ $i -lt 10 ]; do j=0; while [ $j -lt 30 ]; do "
                       "wget -qO /dev/null $ECS_CONTAINER_METADATA_URI_V4 2>&1 & j=$((j+1)); done; wait; "
                       "i=$((i+1)); done | sort | uniq -c"),
        stays(),
    ],
    "walls": [
        tells("mounts", "mount -t tmpfs none /mnt 2>&1 || echo refused; mknod /null c 1 5 2>/dev/null; "
                        "mknod /disk b 254 0 && head -c 1 /disk 2>&1 >/dev/null || echo no disk"),
        tells("kernel", "for name in kernel/panic kernel/core_pattern vm/overcommit_memory; do "
                        "(echo 1 >/proc/sys/$name) 2>/dev/null || echo $name refused; done; "
                        "(echo b >/proc/sysrq-trigger) 2>/dev/null || echo no trigger"),
        tells("processes", "ls /proc | grep -c '^[0-9]'; grep NoNewPrivs /proc/self/status"),
        tells("host", "hostname; ls /dev | sort | tr '\\n' ' '; echo; wc -l </proc/net/dev"),
        stays(),
    ],
    "server": [
        stays("httpd", "mkdir /www; echo page >/www/index.html; exec httpd -f -p 8080 -h /www",
              portMappings=[{"containerPort": 8080, "protocol": "tcp"}]),
        tells("beside", "until wget -qO- http://127.0.0.1:8080/ 2>/dev/null; do sleep 0.1; done; "
                        "hostname -i; cat /etc/hosts"),
    ],
    "memory": [stays("greedy", "exec dd if=/dev/zero of=/dev/null bs=200M count=1", memory=64)],
    "exit code": [tells("main", "exit 42", essential=True), stays("side", essential=False)],
    "polite": [tells(
        "main", f"trap 'echo goodbye; exit 7' TERM; echo ready; {STAY}", essential=True, stopTimeout=30,
    )],
    "stubborn": [tells("main", f"trap '' TERM; echo ready; {STAY}", essential=True, stopTimeout=2)],
    "long lines": [
        tells("long", "head -c 700000 /dev/zero | tr '\\0' x; echo; echo last; printf 'no newline'"),
        tells("stacks", "printf 'start one\\n  at a\\n  at b\\nstart two\\n  at c\\n'",
              logConfiguration=logged(awslogs_multiline_pattern="^start")),
        tells("dated", "printf '[2026-01-02] a\\n b\\n[2026-01-03] c\\n'",
              logConfiguration=logged(awslogs_datetime_format="[%Y-%m-%d]")),
        tells("blocking", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done",
              logConfiguration=logged(mode="blocking")),
        tells("silent", "echo nothing", logConfiguration=None),
        stays(),
    ],
    "no restart": [
        tells("brief", "echo again; exit 1", restartPolicy={"enabled": True, "restartAttemptPeriod": 60}),
        stays(),
    ],
    "no image": [container("main", image="127.0.0.1:1/x:latest")],
    "no program": [tells("main", "", essential=True, entryPoint=["/no/such/program"], command=[])],
    "no directory": [tells("main", "pwd", essential=True, workingDirectory="/proc/self/fd/8")],
    "no value": [tells("main", "id", essential=True, systemControls=[
        {"namespace": "net.core.somaxconn", "value": "many"},
    ])],
    "no user": [tells("main", "id", essential=True, user="nobody-like-that")],
}
FIELDS = {"files": {"volumes": [{"name": "scratch"}]}, "server": {"cpu": "512", "memory": "1024"},
          "flood": {"cpu": "1024", "memory": "2048"}}


class Fleet:
    """The tasks of the file, by name."""

    def __init__(self, account):
        self.account = account
        self.cluster = account.cluster()
        self.arns = {}

    def launch(self, name):
        containers = [
            {key: value for key, value in one.items() if value is not None} for one in TASKS[name]
        ]
        definition = self.account.define(*containers, executionRoleArn=ROLE, **FIELDS.get(name, {}))
        network = self.account.network(public=True)
        self.arns[name] = self.account.run(self.cluster, definition, networkConfiguration=network)[0]["taskArn"]

    def now(self, name):
        return self.account.task(self.cluster, self.arns[name])

    def until(self, name, status):
        return self.account.until(self.cluster, self.arns[name], status)

    def container(self, name, one):
        found = [container for container in self.now(name)["containers"] if container["name"] == one]
        return found[0]

    def lines(self, name, one, least=1):
        """What a container wrote, once it has stopped and at least so many lines have arrived."""
        eventually(lambda: self.container(name, one)["lastStatus"] == "STOPPED")
        stream = f"e2e/{one}/{short(self.arns[name])}"
        return eventually(lambda: len(lines := self.account.lines(GROUP, stream)) >= least and lines)

    def first_line(self, name, one):
        """The first line of a container, running or not."""
        stream = f"e2e/{one}/{short(self.arns[name])}"
        return eventually(lambda: self.account.lines(GROUP, stream))[0]


@pytest.fixture(scope="module")
def fleet(real):
    fleet = Fleet(Account(real))
    for name in TASKS:
        fleet.launch(name)
    ill = stays(stopTimeout=2, healthCheck={"command": ["CMD", "false"], **HEALTH})
    fleet.service = fleet.account.serve(fleet.cluster, fleet.account.define(ill, executionRoleArn=ROLE))
    yield fleet
    fleet.account.ecs.delete_service(cluster=fleet.cluster, service=fleet.service, force=True)
    eventually(lambda: fleet.account.service(fleet.cluster, fleet.service)["status"] == "INACTIVE")
    for arn in fleet.arns.values():
        fleet.account.ecs.stop_task(cluster=fleet.cluster, task=arn)
    for arn in fleet.arns.values():
        fleet.account.until(fleet.cluster, arn, "STOPPED")


SAID = {
    ("words", "command"): ["by command"],
    ("words", "entry"): ["by entry point and command"],
    ("words", "directory"): ["/srv/deep/down"],
    ("words", "user"): ["1000", "1001", "touch: /root/x: Permission denied", "denied"],
    ("words", "variables"): ["1 2|$HOME|ü\"\\", "us-east-1 AWS_ECS_FARGATE"],
    ("words", "odd-variables"): ["2", "/no/such.so", "1"],
    ("words", "terminal"): ["terminal", "to type at"],
    ("words", "plain"): ["none", "end of input"],
    ("limits", "ulimits"): ["1024", "4096"],
    ("limits", "controls"): ["512"],
    ("files", "readonly"): ["touch: /x: Read-only file system", "refused", "written"],
    ("files", "writer"): ["own"],
    ("files", "reader"): ["hello", "touch: /in/y: Read-only file system", "refused"],
    ("files", "heir"): ["hello", "written"],
    ("files", "poor-heir"): ["hello", "touch: /data/z: Read-only file system", "refused"],
    ("files", "apart"): ["ls: /data: No such file or directory", "ls: /x: No such file or directory"],
    ("long lines", "stacks"): ["start one\n  at a\n  at b", "start two\n  at c"],
    ("long lines", "dated"): ["[2026-01-02] a\n b", "[2026-01-03] c"],
    ("no restart", "brief"): ["again"],
}


@pytest.mark.parametrize("name,one", SAID, ids=["-".join(key).replace(" ", "-") for key in SAID])
def test_a_parameter_acts(fleet, name, one):
    lines = fleet.lines(name, one, least=len(SAID[name, one]))
    assert [line.rstrip("\r") for line in lines] == SAID[name, one]


def test_both_streams_are_logged(fleet):
    eventually(lambda: sorted(fleet.lines("words", "streams")) == ["err", "out"])


def test_a_container_is_walled_in(fleet):
    mounts = fleet.lines("walls", "mounts", least=3)
    assert mounts[-1] == "no disk" and "refused" in mounts
    names = ("kernel/panic", "kernel/core_pattern", "vm/overcommit_memory")
    assert fleet.lines("walls", "kernel", least=4) == [*(f"{name} refused" for name in names), "no trigger"]
    processes = fleet.lines("walls", "processes", least=2)
    assert int(processes[0]) <= 5, "it sees its own processes alone"
    name, devices, _ = fleet.lines("walls", "host", least=3)
    assert subprocess.check_output(["hostname"], text=True).strip() != name
    devices = set(devices.split())
    assert devices <= {"core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
                       "stdout", "tty", "urandom", "zero", "console"}, devices


def capabilities(line):
    return int(line.split()[1], 16)


NET_RAW, CHOWN, SYS_PTRACE, SYS_ADMIN, SYS_MODULE, NET_ADMIN = 1 << 13, 1 << 0, 1 << 19, 1 << 21, 1 << 16, 1 << 12


def most_files():
    """Fargate's 65535, or what this machine lets its root have."""
    raised = subprocess.run(["sh", "-c", "ulimit -Hn 65535"], capture_output=True).returncode == 0
    return 65_535 if raised else min(65_535, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def test_limits_are_fargates_unless_given(fleet):
    soft, hard, pid, effective = fleet.lines("limits", "usual", least=4)
    assert (soft, hard) == (str(most_files()),) * 2
    assert pid == "1"
    held = capabilities(effective)
    assert held & CHOWN and held & NET_RAW
    assert not held & (SYS_PTRACE | SYS_ADMIN | SYS_MODULE | NET_ADMIN)


def test_capabilities_are_added_and_dropped(fleet):
    held = capabilities(fleet.lines("limits", "capabilities")[0])
    assert held & SYS_PTRACE and not held & (NET_RAW | CHOWN | SYS_ADMIN)


def test_an_init_process_comes_first_and_reaps(fleet):
    pid, zombies = fleet.lines("limits", "init", least=2)
    assert int(pid) > 1 and zombies == "0"


def test_a_tmpfs_has_its_size_and_options(fleet):
    mount, size, written = fleet.lines("limits", "tmpfs", least=3)
    assert " tmpfs " in f" {mount} " and "noexec" in mount and written == "written"
    assert size.split()[1] == str(16 * 1024)


def test_a_quarter_of_a_processor_is_a_quarter(fleet):
    began, ticks, ended = map(float, fleet.lines("limits", "processor", least=3))
    assert ticks < 45 * (ended - began), "a quarter is 25 ticks of 100 a second"


def test_containers_wait_for_what_they_depend_on(fleet):
    fleet.until("order", "RUNNING")
    moments = {one: float(fleet.first_line("order", one)) for one in ("first", "failing", "healthy", "started", "main")}
    assert all(moments["main"] >= moments[one] for one in ("first", "failing", "healthy", "started")), moments
    codes = {one["name"]: one.get("exitCode") for one in fleet.now("order")["containers"]}
    assert (codes["first"], codes["failing"], codes["main"]) == (0, 3, None)
    assert fleet.container("order", "healthy")["healthStatus"] == "HEALTHY"


def test_without_success_nothing_that_waits_for_it_starts(fleet):
    task = fleet.until("failed dependency", "STOPPED")
    assert fleet.container("failed dependency", "failing")["exitCode"] == 3
    assert "exitCode" not in fleet.container("failed dependency", "main"), why(task)
    assert fleet.account.lines(GROUP, f"e2e/main/{short(task['taskArn'])}") == []
    assert task["stopCode"] == "TaskFailedToStart", why(task)


def test_a_start_timeout_ends_the_wait(fleet):
    task = fleet.until("slow dependency", "STOPPED")
    assert "exitCode" not in fleet.container("slow dependency", "main"), why(task)
    assert task["stopCode"] == "TaskFailedToStart", why(task)


def test_health_is_told_and_a_standalone_task_goes_on(fleet):
    def health():
        return {one["name"]: one["healthStatus"] for one in fleet.now("checked")["containers"]}

    eventually(lambda: health() == {"well": "HEALTHY", "ill": "UNHEALTHY", "side": "HEALTHY"})
    task = fleet.now("checked")
    assert (task["healthStatus"], task["lastStatus"]) == ("UNHEALTHY", "RUNNING")


def test_a_service_replaces_a_task_that_is_not_healthy(fleet):
    account, name = fleet.account, fleet.service
    words = rf"\(service {name}\) \(task (\w+)\) failed container health checks\."

    def failed():
        events = account.service(fleet.cluster, name)["events"]
        found = [re.fullmatch(words, event["message"]) for event in events]
        return [match[1] for match in found if match]

    victim = eventually(failed)[-1]
    task = account.until(fleet.cluster, victim, "STOPPED")
    assert (task["stopCode"], task["healthStatus"]) == ("ServiceSchedulerInitiated", "UNHEALTHY"), why(task)
    assert "health check" in task["stoppedReason"], why(task)
    eventually(lambda: [arn for arn in account.tasks(fleet.cluster, serviceName=name) if victim not in arn])


def test_metadata_of_the_container(fleet):
    told = json.loads("".join(fleet.lines("metadata", "container")))
    task = fleet.now("metadata")
    known = fleet.container("metadata", "container")
    assert (told["Name"], told["Image"], told["ContainerARN"]) == ("container", "busybox:latest", known["containerArn"])
    assert told["DockerId"] == known["runtimeId"] and told["ImageID"] == known["imageDigest"]
    assert told["Labels"]["com.example.team"] == "docks"
    assert told["Labels"]["com.amazonaws.ecs.task-arn"] == task["taskArn"]
    assert told["Labels"]["com.amazonaws.ecs.container-name"] == "container"
    assert told["Networks"][0]["NetworkMode"] == "awsvpc"
    assert told["Networks"][0]["IPv4Addresses"] == [known["networkInterfaces"][0]["privateIpv4Address"]]
    assert told["LogDriver"] == "awslogs" and told["LogOptions"]["awslogs-group"] == GROUP
    assert told["DesiredStatus"] == "RUNNING" and told["Type"] == "NORMAL"


def test_metadata_of_the_task(fleet):
    told = json.loads("".join(fleet.lines("metadata", "task")))
    task = fleet.now("metadata")
    assert told["TaskARN"] == task["taskArn"] and told["Cluster"] == task["clusterArn"]
    assert task["taskDefinitionArn"].endswith(f"/{told['Family']}:{told['Revision']}")
    assert {one["Name"] for one in told["Containers"]} >= {"main", "task"}
    assert told["AvailabilityZone"] == task["availabilityZone"] and told["LaunchType"] == "FARGATE"
    assert told["Limits"] == {"CPU": 0.25, "Memory": 512}
    stats = json.loads("".join(fleet.lines("metadata", "stats")))
    assert any(one and one["memory_stats"]["usage"] > 0 for one in stats.values())
    three = json.loads("".join(fleet.lines("metadata", "three")))
    assert three["Name"] == "three"


def test_metadata_tells_nobody_anything_else(fleet):
    wrong = fleet.lines("metadata", "wrong", least=3)
    assert "404" in wrong[0] and "root:" not in "".join(wrong)
    assert all(" 40" in line for line in wrong[1:]), wrong
    refused = fleet.lines("metadata", "credentials", least=2)
    assert "unreachable" in refused and "AccessKeyId" not in "".join(refused)


def test_metadata_is_not_to_be_flooded(fleet):
    limited = [line for line in fleet.lines("flood", "flood") if "429" in line]
    assert limited and int(limited[0].split()[0]) > 20, limited


def test_containers_of_a_task_share_localhost(fleet):
    lines = fleet.lines("server", "beside", least=4)
    address = fleet.container("server", "beside")["networkInterfaces"][0]["privateIpv4Address"]
    assert lines[0] == "page" and address in lines[1]
    assert any(line.split()[:2] == ["127.0.0.1", "localhost"] for line in lines[2:])


def public_address(account, task):
    details = {pair["name"]: pair["value"] for pair in task["attachments"][0]["details"]}
    found = account.ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])
    return found["NetworkInterfaces"][0]["Association"]["PublicIp"]


def test_a_task_is_reached_by_its_addresses(fleet, real):
    task = fleet.until("server", "RUNNING")
    private = fleet.container("server", "httpd")["networkInterfaces"][0]["privateIpv4Address"]
    public = public_address(fleet.account, task)
    fleet.lines("server", "beside")
    with urllib.request.urlopen(f"http://{public}:8080/", timeout=60) as answer:
        assert answer.read() == b"page\n"
    script = f"timeout 60 wget -qO- http://{private}:8080/; timeout 60 wget -qO- http://{public}:8080/"
    TASKS["client"] = [tells("main", script, essential=True)]
    fleet.launch("client")
    fleet.until("client", "STOPPED")
    assert fleet.lines("client", "main", least=2) == ["page", "page"]


def test_too_much_memory_ends_a_container_and_says_so(fleet):
    task = fleet.until("memory", "STOPPED")
    greedy = fleet.container("memory", "greedy")
    assert greedy["exitCode"] == 137, why(task)
    assert greedy["reason"].startswith("OutOfMemoryError: Container killed due to memory usage"), why(task)
    assert task["stopCode"] == "EssentialContainerExited"


def test_an_exit_code_is_told_and_the_others_are_stopped(fleet):
    task = fleet.until("exit code", "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == (
        "EssentialContainerExited", "Essential container in task exited",
    )
    assert fleet.container("exit code", "main")["exitCode"] == 42
    assert fleet.container("exit code", "side")["exitCode"] in (137, 143)
    moments = [task[moment] for moment in (
        "createdAt", "connectivityAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt",
        "executionStoppedAt", "stoppedAt",
    )]
    assert moments == sorted(moments)


def test_a_container_may_say_goodbye(fleet):
    assert fleet.first_line("polite", "main") == "ready"
    fleet.account.ecs.stop_task(cluster=fleet.cluster, task=fleet.arns["polite"], reason="enough")
    task = fleet.until("polite", "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert fleet.container("polite", "main")["exitCode"] == 7
    eventually(lambda: fleet.lines("polite", "main") == ["ready", "goodbye"])


def test_a_container_that_does_not_stop_is_killed_when_its_time_is_up(fleet):
    assert fleet.first_line("stubborn", "main") == "ready"
    began = time.monotonic()
    fleet.account.ecs.stop_task(cluster=fleet.cluster, task=fleet.arns["stubborn"])
    fleet.until("stubborn", "STOPPED")
    assert time.monotonic() - began > 1.8
    assert fleet.container("stubborn", "main")["exitCode"] == 137


def test_a_long_line_is_split_and_loses_nothing(fleet):
    def whole():
        lines = fleet.lines("long lines", "long")
        return lines[-1] == "no newline" and lines

    *parts, last, end = eventually(whole)
    assert "".join(parts) == "x" * 700_000 and max(map(len, parts)) <= 262_144
    assert (last, end) == ("last", "no newline")


def test_twenty_thousand_lines_arrive_in_order(fleet):
    wanted = [f"line {index}" for index in range(20_000)]
    eventually(lambda: len(fleet.lines("long lines", "blocking")) >= len(wanted))
    assert fleet.lines("long lines", "blocking") == wanted


def test_without_a_log_driver_nothing_is_logged(fleet):
    eventually(lambda: fleet.container("long lines", "silent")["lastStatus"] == "STOPPED")
    assert fleet.container("long lines", "silent")["exitCode"] == 0
    streams = fleet.account.logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="e2e/silent/")
    assert streams["logStreams"] == []


def test_an_image_that_is_nowhere_is_a_pull_error(fleet):
    task = fleet.until("no image", "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: "), why(task)
    assert "127.0.0.1:1/x:latest" in task["stoppedReason"]


REASONS = [("no program", "/no/such/program"), ("no user", "nobody-like-that"), ("no directory", "/proc/self/fd/8"),
           ("no value", "somaxconn")]


@pytest.mark.parametrize("name,said", REASONS)
def test_a_container_that_cannot_start_says_why(fleet, name, said):
    task = fleet.until(name, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart", why(task)
    assert said in why(task) and ("Cannot" in why(task) or "Error" in why(task))


def test_running_containers_have_an_id_and_a_digest(fleet, real):
    task = fleet.until("checked", "RUNNING")
    for one in task["containers"]:
        assert one["imageDigest"].startswith("sha256:") and one["runtimeId"].startswith(short(task["taskArn"]))
    assert task["connectivity"] == "CONNECTED"
    rows = [row.split() for row in real.command("ps").stdout.splitlines()[1:]]
    mine = {row[1]: int(row[2]) for row in rows if row[0] == short(task["taskArn"])}
    assert set(mine) == {"well", "ill", "side"} and all(pid > 1 for pid in mine.values())
