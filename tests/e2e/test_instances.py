"""Instances as a whole: accounts, reset, two side by side, kill -9, what lies in the data directory, settings."""

import concurrent.futures
import pathlib
import re
import signal
import socket
import stat
import subprocess
import threading

import pytest

from account import eventually, short
from conftest import BARE, LONGSHORE, SIMULATED, free_port
from disk import files, holding
from refusal import refused


def longshore(*words, **env):
    return subprocess.run([LONGSHORE, *words], env=BARE | env, text=True, capture_output=True, timeout=120)


# Accounts and reset


def test_accounts_are_apart(simulated, account):
    other = simulated.account(f"{int(account.key) - 1}")
    name, definition = account.cluster(), account.define(family="same")
    account.logs.create_log_group(logGroupName="same")
    account.run(name, definition)
    assert other.sts.get_caller_identity()["Account"] == other.id
    assert other.ecs.list_clusters()["clusterArns"] == []
    assert other.ecs.list_task_definitions()["taskDefinitionArns"] == []
    assert other.logs.describe_log_groups()["logGroups"] == []
    assert not set(account.places[0]) & set(other.places[0]), "each has subnets of its own"
    own = account.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert len(own) == 1 and other.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    other.ecs.create_cluster(clusterName=name)
    assert other.define(family="same") == "same:1"
    other.logs.create_log_group(logGroupName="same")
    code, message = refused(other.run, name, "same:1", networkConfiguration=account.network(public=False))
    assert code == "InvalidParameterException" and "does not exist" in message


def test_a_key_that_names_no_account_is_the_configured_one(simulated):
    for key in ("AKIAIOSFODNN7EXAMPLE", "12345678901", "1234567890123", "test"):
        assert simulated.account(key).sts.get_caller_identity()["Account"] == "000000000000"


def test_reset_returns_to_a_fresh_account(fresh):
    instance = fresh(*SIMULATED)
    one, other = instance.account(), instance.account("222233334444")
    places = one.places
    for account in (one, other):
        cluster, definition = account.cluster(), account.define(family="before")
        account.until_steady(cluster, account.serve(cluster, definition, desiredCount=5))
        account.logs.create_log_group(logGroupName="before")
        account.ecs.put_account_setting(name="containerInsights", value="enabled")
    assert instance.http("/_longshore/reset", "POST", b"")[0] == 200
    for account in (one, other):
        assert account.ecs.list_clusters()["clusterArns"] == []
        assert account.ecs.list_task_definition_families()["families"] == []
        assert account.ecs.list_account_settings()["settings"] == []
        assert account.logs.describe_log_groups()["logGroups"] == []
        assert account.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert instance.account().places == places, "the defaults come back as they were"
    cluster = one.cluster()
    assert one.define(family="before") == "before:1"
    task = one.run(cluster, "before:1")[0]["taskArn"]
    one.until(cluster, task, "RUNNING")
    eventually(lambda: "longshore_tasks 1\n" in instance.http("/metrics")[1].decode())


def test_reset_is_for_permissive_instances_and_for_post(fresh, simulated):
    strict = fresh("--engine", "simulated")
    strict.account().cluster(clusterName="kept")
    assert 400 <= strict.http("/_longshore/reset", "POST", b"")[0] < 500
    assert len(strict.account().ecs.list_clusters()["clusterArns"]) == 1
    assert refused(strict.account("123412341234").sts.get_caller_identity)[0] == "InvalidClientTokenId"
    assert 400 <= simulated.http("/_longshore/reset")[0] < 500


# Side by side, and again after a stop


def test_two_instances_run_side_by_side(fresh):
    one, two = fresh("--engine", "simulated"), fresh("--engine", "simulated", "--region", "eu-west-1")
    assert one.environment()["AWS_ACCESS_KEY_ID"] != two.environment()["AWS_ACCESS_KEY_ID"]
    one.account().cluster(clusterName="one")
    arns = two.account().ecs.create_cluster(clusterName="two")["cluster"]["clusterArn"]
    assert arns == "arn:aws:ecs:eu-west-1:000000000000:cluster/two"
    assert [short(arn) for arn in one.account().ecs.list_clusters()["clusterArns"]] == ["one"]
    one.kill()
    assert two.http("/readyz")[0] == 200


def test_a_second_instance_on_the_same_data_or_port_is_refused(fresh):
    instance = fresh("--engine", "simulated")
    same_data = longshore(
        "up", "--engine", "simulated", "--data-dir", instance.data_dir, "--listen", f"127.0.0.1:{free_port()}"
    )
    assert same_data.returncode != 0 and "panicked" not in same_data.stderr, same_data.stderr
    same_port = longshore(
        "up", "--engine", "simulated", "--data-dir", instance.directory / "other", "--listen",
        f"127.0.0.1:{instance.port}",
    )
    assert same_port.returncode != 0 and str(instance.port) in same_port.stderr
    assert instance.http("/readyz")[0] == 200


def test_what_was_acknowledged_survives_kill_nine(fresh):
    instance = fresh(*SIMULATED)
    account = instance.account()
    account.cluster(clusterName="c", tags=[{"key": "a", "value": "b"}])
    definition = account.define(family="f")
    account.serve("c", definition, serviceName="s", desiredCount=3)
    account.until_steady("c", "s")
    task = account.run("c", definition, clientToken="token")[0]["taskArn"]
    account.until("c", task, "RUNNING")
    stop, families, tasks = threading.Event(), [], []

    def write(number):
        own = instance.account()
        while not stop.is_set():
            try:
                families.append(own.define(family=f"w{number}").split(":")[0])
                tasks.append(own.run("c", definition)[0]["taskArn"])
            except Exception:
                return

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        eventually(lambda: len(tasks) > 40, every=0.005)
        instance.kill()
        stop.set()
    assert all(writer.exception() is None for writer in writers)
    instance.start()
    described = account.ecs.describe_clusters(clusters=["c"], include=["TAGS"])["clusters"][0]
    assert described["tags"] == [{"key": "a", "value": "b"}]
    listed = account.tasks("c")
    assert set(tasks) <= set(listed) and len(set(listed)) == len(listed)
    for number in range(4):
        newest = account.ecs.describe_task_definition(taskDefinition=f"w{number}")["taskDefinition"]["revision"]
        assert newest in (families.count(f"w{number}"), families.count(f"w{number}") + 1)
    assert account.run("c", definition, clientToken="token")[0]["taskArn"] == task, "a token outlives the process"
    account.until_steady("c", "s")
    for arn in tasks[-5:]:
        account.until("c", arn, "RUNNING")
    account.ecs.stop_task(cluster="c", task=task)
    account.until("c", task, "STOPPED")


def test_many_restarts_lose_nothing(fresh):
    instance = fresh("--engine", "simulated")
    account = instance.account()
    for count in range(1, 6):
        account.cluster()
        instance.kill()
        instance.start()
        assert len(account.ecs.list_clusters()["clusterArns"]) == count


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_stops_when_it_is_told(fresh, name):
    instance = fresh("--engine", "simulated")
    account = instance.account()
    cluster = account.cluster()
    account.run(cluster, account.define())
    instance.process.send_signal(getattr(signal, name))
    assert instance.process.wait(timeout=120) == 0
    assert "panicked" not in instance.log_text()
    instance.start()
    assert len(account.tasks(cluster)) == 1


def test_a_full_capacity_is_a_failure_with_a_reason(fresh):
    instance = fresh("--engine", "simulated", "--cpu", "512", "--memory", "4096")
    account = instance.account()
    cluster, definition = account.cluster(), account.define()
    answer = account.try_run(cluster, definition, count=3)
    assert (len(answer["tasks"]), len(answer["failures"])) == (2, 1)
    assert re.search("RESOURCE:CPU|Capacity is unavailable", answer["failures"][0]["reason"])
    name = account.serve(cluster, definition)
    words = f"(service {name}) was unable to place a task"
    eventually(lambda: any(event["message"].startswith(words) for event in account.service(cluster, name)["events"]))
    account.ecs.stop_task(cluster=cluster, task=answer["tasks"][0]["taskArn"])
    account.until_steady(cluster, name)


# The data directory, the faces beside the API


def test_secrets_are_for_their_owner_alone(fresh):
    instance = fresh("--engine", "simulated")
    assert stat.S_IMODE(instance.data_dir.stat().st_mode) == 0o700
    secret = instance.environment()["AWS_SECRET_ACCESS_KEY"]
    [held] = holding([secret.encode()], instance.data_dir)
    assert held.name == "root-key" and stat.S_IMODE(held.stat().st_mode) == 0o600
    assert secret not in instance.log_text()


def test_a_data_directory_that_was_open_is_closed(fresh):
    instance = fresh("--engine", "simulated")
    instance.stop()
    instance.data_dir.chmod(0o755)
    instance.start()
    assert stat.S_IMODE(instance.data_dir.stat().st_mode) == 0o700


METRIC = re.compile(r'([a-z_]+)(\{(?:[a-z_]+="[^"]*",?)*\})? (-?[0-9.e+-]+)')


def test_metrics_are_in_prometheus_form(simulated, account):
    account.cluster()
    refused(account.ecs.describe_task_definition, taskDefinition="nobody")
    status, body, headers = simulated.http("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    typed, values = set(), {}
    for line in body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            typed |= {name + part for part in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
        elif not line.startswith("#"):
            row = METRIC.fullmatch(line)
            assert row and row[1] in typed, line
            values[row[1] + (row[2] or "")] = float(row[3])
    name = "longshore_api_requests_total"
    assert values[f'{name}{{service="ecs",operation="CreateCluster",status="200"}}'] >= 1
    assert values[f'{name}{{service="ecs",operation="DescribeTaskDefinition",status="400"}}'] >= 1
    assert values["longshore_clusters"] >= 1


def test_health_and_readiness(simulated):
    assert simulated.http("/healthz")[:2] == (200, b"ok\n")
    assert simulated.http("/readyz")[0] == 200


def test_env_evaluates_in_a_shell(simulated):
    words = " ".join(f"'{word}'" for word in [str(LONGSHORE), "env", *simulated.place])
    script = f'eval "$({words})" && echo "$AWS_ENDPOINT_URL $AWS_REGION $AWS_ACCESS_KEY_ID ${{AWS_SESSION_TOKEN-none}}"'
    env = BARE | {"AWS_SESSION_TOKEN": "stale", "AWS_PROFILE": "work"}
    shown = subprocess.run(["sh", "-c", script], env=env, text=True, capture_output=True, timeout=120, check=True)
    endpoint, region, key, token = shown.stdout.split()
    assert (endpoint, region, token) == (simulated.endpoint, "us-east-1", "none")
    assert re.fullmatch("AKIA[A-Z2-7]{16}", key)


def test_env_without_an_instance_says_what_to_do(tmp_path):
    done = longshore("env", "--data-dir", tmp_path / "nothing")
    assert done.returncode != 0 and "longshore up" in done.stderr and done.stdout == ""


# Nodes

FARGATE = "longshore.fargate"


def nodes(account):
    """The nodes of an instance: id to status and whether it is connected."""
    arns = account.ecs.list_container_instances(cluster=FARGATE)["containerInstanceArns"]
    if not arns:
        return {}
    found = account.ecs.describe_container_instances(cluster=FARGATE, containerInstances=arns)["containerInstances"]
    return {short(one["containerInstanceArn"]): (one["status"], one["agentConnected"]) for one in found}


def test_a_deregistered_node_ends_its_tasks_and_takes_none_until_it_starts_again(fresh):
    instance = fresh("--engine", "simulated")
    account = instance.account()
    cluster, definition = account.cluster(), account.define()
    alone = account.run(cluster, definition)[0]["taskArn"]
    name = account.serve(cluster, definition, desiredCount=2)
    account.until_steady(cluster, name)
    account.until(cluster, alone, "RUNNING")
    (node, state), = nodes(account).items()
    assert state == ("ACTIVE", True)
    code, message = refused(account.ecs.deregister_container_instance, cluster=FARGATE, containerInstance=node)
    assert code == "InvalidParameterException" and "running tasks" in message
    answer = account.ecs.deregister_container_instance(cluster=FARGATE, containerInstance=node, force=True)
    assert answer["containerInstance"]["status"] == "INACTIVE"
    assert account.until(cluster, alone, "STOPPED")["stoppedReason"]
    eventually(lambda: account.service(cluster, name)["runningCount"] == 0)
    failures = account.try_run(cluster, definition)["failures"]
    assert failures and "unavailable" in failures[0]["reason"], failures
    instance.stop()
    instance.start()
    account.until(cluster, account.run(cluster, definition)[0]["taskArn"], "RUNNING")
    account.until_steady(cluster, name)
    assert ("ACTIVE", True) in nodes(account).values()


def test_a_simulated_instance_needs_no_rights(fresh):
    """It runs as nobody, in a directory of nobody's, and makes nothing elsewhere."""
    instance = fresh("--engine", "simulated", user=65534)
    account = instance.account()
    status = (pathlib.Path("/proc") / str(instance.process.pid) / "status").read_text()
    assert re.search(r"^Uid:\t65534\t65534", status, re.MULTILINE)
    cluster, definition = account.cluster(), account.define()
    task = account.run(cluster, definition)[0]["taskArn"]
    account.until(cluster, task, "RUNNING")
    account.until_steady(cluster, account.serve(cluster, definition, desiredCount=3))
    instance.kill()
    instance.start()
    account.ecs.stop_task(cluster=cluster, task=task)
    account.until(cluster, task, "STOPPED")
    assert {path.stat().st_uid for path in files(instance.data_dir)} == {65534}
    assert "WARN" not in instance.log_text() and "ERROR" not in instance.log_text(), instance.log_text()


def test_without_rights_containers_are_refused_with_a_way_out(fresh):
    instance = fresh("--engine", "simulated", user=65534)
    instance.stop()
    done = instance.command("up")
    assert done.returncode not in (0, 101) and "root" in done.stderr and "simulated" in done.stderr, done.stderr


# Settings


def test_flags_outweigh_the_environment_and_that_the_file(fresh, tmp_path):
    file = tmp_path / "longshore.toml"
    file.write_text('region = "eu-west-1"\naccount-id = "111111111111"\nengine = "simulated"\nauth = "permissive"\n')

    def identity(instance):
        arn = instance.account().ecs.create_cluster()["cluster"]["clusterArn"]
        return arn.split(":")[3:5]

    config = ["--config", str(file)]
    assert identity(fresh(*config)) == ["eu-west-1", "111111111111"]
    env = {"LONGSHORE_REGION": "eu-central-1"}
    assert identity(fresh(*config, env=env)) == ["eu-central-1", "111111111111"]
    flags = [*config, "--region", "ap-south-1", "--account-id", "222222222222"]
    assert identity(fresh(*flags, env=env)) == ["ap-south-1", "222222222222"]


def test_a_file_in_the_data_directory_counts(fresh):
    instance = fresh("--engine", "simulated")
    instance.stop()
    (instance.data_dir / "longshore.toml").write_text('auth = "permissive"\n')
    instance.start()
    assert instance.account("123412341234").sts.get_caller_identity()["Account"] == "123412341234"


MISTAKES = {
    "an address for all": (["up", "--listen", "0.0.0.0:4566"], "loopback"),
    "an IPv6 address for all": (["up", "--listen", "[::]:4566"], "loopback"),
    "no address": (["up", "--listen", "nonsense"], "listen"),
    "an unknown subcommand": (["sail"], "sail"),
    "an unknown flag": (["up", "--fast"], "--fast"),
    "an unknown engine": (["up", "--engine", "steam"], "steam"),
    "an account of eleven digits": (["up", "--account-id", "12345678901"], "twelve digits"),
    "a region of no name": (["up", "--region", ""], "region"),
    "a region of two words": (["up", "--region", "New York"], "New York"),
    "a config that is not there": (["up", "--config", "/nonexistent.toml"], "/nonexistent.toml"),
    "an archive that is not there": (["image", "import", "/nonexistent.tar"], "/nonexistent.tar"),
}


@pytest.mark.parametrize("words,said", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_on_the_command_line_is_explained(tmp_path, words, said):
    done = longshore(*words, "--data-dir", str(tmp_path / "data"))
    assert longshore("down", "--data-dir", str(tmp_path / "data")).returncode == 0
    assert done.returncode not in (0, 101) and said in done.stderr, done.stderr
    assert "panicked" not in done.stderr and "backtrace" not in done.stderr


def test_a_config_file_with_a_misspelt_setting_is_refused(tmp_path):
    file = tmp_path / "longshore.toml"
    for text in ('regoin = "x"\n', "region = 7\n", "region = \n", 'engine = "steam"\n', 'listen = "0.0.0.0:1"\n'):
        file.write_text(text)
        done = longshore("up", "--config", str(file), "--data-dir", str(tmp_path / "data"))
        assert done.returncode not in (0, 101) and done.stderr.strip(), text


def test_doctor_says_what_there_is_and_what_to_do(simulated, tmp_path):
    done = simulated.command("doctor")
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert done.returncode == 0, done.stdout
    assert {line.split()[1] for line in lines} >= {
        "user", "kernel", "overlayfs", "cgroups", "runtime", "containerd", "nft", "port", "disk",
    }
    assert f"127.0.0.1:{simulated.port} is in use by this instance" in done.stdout
    assert re.search(r"runtime +tasks run by /\S+ \d+\.", done.stdout)
    taken = longshore("doctor", "--listen", f"127.0.0.1:{simulated.port}", "--data-dir", str(tmp_path / "data"))
    assert re.search(r"note +port .*in use.*\n +-> choose another by --listen", taken.stdout), taken.stdout
    bare = longshore("doctor", "--data-dir", str(tmp_path / "data"), PATH=str(tmp_path))
    assert bare.returncode != 0
    assert re.search(r"FAIL +containerd +not found\n +-> install the package containerd", bare.stdout), bare.stdout


def test_version_and_help():
    assert re.fullmatch(r"longshore \d+\.\d+\.\d+\n", longshore("--version").stdout)
    shown = longshore("--help").stdout
    for command in ("up", "server", "agent", "env", "image", "doctor", "ps", "down"):
        assert re.search(rf"^  {command} ", shown, re.MULTILINE), command
    assert "supervise" not in shown


def test_server_and_agent_run_apart(fresh):
    """The same parts as `up`, in two processes; the server outlives its node and the node the server."""
    instance = fresh("--engine", "simulated")
    account = instance.account()
    cluster, definition = account.cluster(), account.define()
    instance.stop()
    other = instance.directory / "node"
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    key = {name: instance.environment()[name] for name in names}

    def spawn(word, data_dir):
        with open(instance.directory / f"{word}.log", "a") as log:
            return subprocess.Popen(
                [LONGSHORE, word, "--data-dir", data_dir, "--listen", f"127.0.0.1:{instance.port}",
                 "--engine", "simulated"],
                env=instance.env | key, stdout=log, stderr=log, start_new_session=True,
            )

    server = spawn("server", instance.data_dir)
    eventually(lambda: instance.http("/healthz")[0] == 200)
    agent = spawn("agent", other)
    try:
        eventually(lambda: instance.http("/readyz")[0] == 200)
        task = account.run(cluster, definition)[0]["taskArn"]
        account.until(cluster, task, "RUNNING")
        server.kill()
        server.wait()
        server = spawn("server", instance.data_dir)
        eventually(lambda: instance.http("/readyz")[0] == 200)
        account.ecs.stop_task(cluster=cluster, task=task)
        account.until(cluster, task, "STOPPED")
    finally:
        for process in (agent, server):
            process.terminate()
            process.wait(timeout=120)


def test_a_caller_who_leaves_does_no_harm(simulated, account):
    """Half a request, then silence or an end: others are served meanwhile."""
    with socket.create_connection(("127.0.0.1", simulated.port)) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        assert account.cluster()
        raw.shutdown(socket.SHUT_WR)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", simulated.port)) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nHo")
    assert account.cluster()
