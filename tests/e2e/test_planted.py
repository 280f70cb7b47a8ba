"""Whatever is secret is planted by every way there is, with everything logged; none of it lies in clear on a disk.

Looked through are the data directory (the audit log, the node's files and the log among it) and /run/longshore, while tasks
run, after the server was killed and after the tasks have ended.
"""

import base64
import json
import pathlib
import subprocess
import uuid

from account import container, eventually, short, unique, why
from conftest import ROOM
from test_identity import allow, bearer_of, root, user
from test_images import Registry
from test_private_registry import HTPASSWD, PASSWORD
from test_secrets import in_clear
from test_task_roles import Lent, lending, process

# Where a key of the installation itself lies, and nowhere else; the node's own beside them.
KEY_FILES = ("root-key", "master-key", "page-key")


def plant():
    return f"planted-{uuid.uuid4().hex}"


def texts(instance):
    """Every file that an instance and its tasks have, but for what images and tasks' own file systems hold."""
    found = []
    for place in (instance.directory, pathlib.Path("/run/longshore")):
        named = subprocess.run(
            ["find", place, "-path", "*/containerd/root/*", "-prune", "-o", "-type", "f", "-size", "-64M", "-print"],
            text=True, capture_output=True, timeout=120).stdout
        found += [pathlib.Path(name) for name in named.splitlines()]
    return found


def holders(instance, planted):
    """Which planted words lie where."""
    forms = {name: list(in_clear(word.encode() if isinstance(word, str) else word)) for name, word in planted.items()}
    found = []
    for path in texts(instance):
        try:
            content = path.read_bytes()
        except OSError:
            continue  # It went while it was looked for.
        found += [(name, str(path)) for name, any_of in forms.items() if any(form in content for form in any_of)]
    return found


def own_keys(instance):
    """The keys of the installation, by file."""
    kept = {}
    for name in KEY_FILES:
        text = (instance.data_dir / name).read_bytes()
        kept[name] = text.split()[-1] if name == "root-key" else text.strip()
    node = json.loads((instance.data_dir / "agent" / "node-key").read_text())
    return kept | {"node-key": node["secretAccessKey"].encode()}


class Planting:
    """An instance in which everything is planted."""

    def __init__(self, instance, registry):
        self.instance, self.registry, self.words = instance, registry, {}
        self.secrets = root(instance).client("secretsmanager")
        self.ssm, self.kms = root(instance).client("ssm"), root(instance).client("kms")

    def word(self, name):
        self.words[name] = plant()
        return self.words[name]

    def values(self):
        """In Secrets Manager, Parameter Store and KMS; the references of a secret, a parameter and a login."""
        secret = self.secrets.create_secret(Name=unique(), SecretString=json.dumps({"a": self.word("secret")}))["ARN"]
        self.secrets.create_secret(Name=unique(), SecretBinary=self.word("binary secret").encode())
        parameter = f"/{unique()}"
        self.ssm.put_parameter(Name=parameter, Type="SecureString", Value=self.word("parameter"))
        option = f"/{unique()}"
        self.ssm.put_parameter(Name=option, Type="SecureString", Value="^" + self.word("option of a log driver"))
        key = self.kms.create_key()["KeyMetadata"]["KeyId"]
        self.kms.encrypt(KeyId=key, Plaintext=self.word("plaintext").encode())
        self.words["data key"] = self.kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
        self.words["login"] = PASSWORD
        text = json.dumps({"username": "puller", "password": PASSWORD})
        login = self.secrets.create_secret(Name=unique(), SecretString=text)["ARN"]
        return secret, parameter, option, login

    def bearers(self):
        """Keys of users and tokens of sessions, used once."""
        _, bearer = user(self.instance, allow("sts:*"))
        made = lending(self.instance, trust={"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}]})
        session = bearer.assume(made)
        got = bearer_of(self.instance, bearer.client("sts").get_session_token()["Credentials"])
        for name, one in [("user", bearer), ("role session", session), ("user session", got)]:
            one.client("sts").get_caller_identity()
            self.words[f"key of a {name}"] = one.secret
        self.tokens(session=session.token, got=got.token)
        made = self.instance.command("join-token", "create", check=True)
        self.words["join token"] = made.stdout.strip()

    def tokens(self, **tokens):
        for name, token in tokens.items():
            self.words[f"token of {name}"] = token[:64]
            self.words[f"end of the token of {name}"] = token[-64:]

    def refused(self):
        """Requests that go wrong, with something secret in them."""
        wrong = self.word("wrong request")
        body = json.dumps({"Name": "x", "SecretString": [wrong]}).encode()
        target = {"X-Amz-Target": "secretsmanager.CreateSecret", "Content-Type": "application/x-amz-json-1.1"}
        assert self.instance.http("/", "POST", body, target)[0] == 400
        signed = f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/ssm/aws4_request, Signature={wrong}"
        assert self.instance.http("/", "POST", b"{}", target | {"Authorization": signed, "X-Amz-Security-Token": wrong})[0] == 400

    def task(self):
        """A task with everything that a task may have."""
        instance, group = self.instance, f"/planted/{unique()}"
        secret, parameter, option, login = self.values()
        made = lending(instance, allow("secretsmanager:*", "ssm:*", "kms:*", "logs:*"))
        self.registry.push("busybox.tar", "team/planted:1")
        options = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p",
                   "awslogs-create-group": "true"}
        main = container(
            image=f"{self.registry.host}/team/planted:1", entryPoint=["/bin/sh", "-c"], stopTimeout=2,
            command=["echo begun; while :; do sleep 1; done"],
            repositoryCredentials={"credentialsParameter": login},
            secrets=[{"name": "A", "valueFrom": f"{secret}:a::"}, {"name": "B", "valueFrom": parameter}],
            healthCheck={"command": ["CMD-SHELL", "test -n \"$A\""], "interval": 5},
            environment=[{"name": "PLAIN", "value": "in-the-open-4c1f"}],
            logConfiguration={"logDriver": "awslogs", "options": options,
                              "secretOptions": [{"name": "awslogs-multiline-pattern", "valueFrom": option}]})
        task = Lent.__new__(Lent)
        task.instance, task.account, task.found = instance, instance.account(), None
        task.cluster = task.account.cluster()
        task.definition = task.account.define(main, executionRoleArn=made, taskRoleArn=lending(instance, allow("sts:*")))
        task.arn = task.account.run(task.cluster, task.definition)[0]["taskArn"]
        task.account.until(task.cluster, task.arn, "RUNNING")
        _, variables = eventually(lambda: process(task.account.task(task.cluster, task.arn)))
        assert (variables["A"], variables["B"]) == (self.words["secret"], self.words["parameter"])
        self.lent(task)
        return task

    def lent(self, task):
        given = task.credentials()
        self.words[f"key of a task {len(self.words)}"] = given["SecretAccessKey"]
        self.tokens(**{f"a task {len(self.words)}": given["Token"]})


def test_nothing_secret_lies_in_clear_on_a_disk(fresh, tmp_path):
    registry = Registry(tmp_path, f"puller:{PASSWORD}", HTPASSWD)
    try:
        instance = fresh(*ROOM, env={"LONGSHORE_LOG": "trace", "RUST_LOG": "trace"})
        planting = Planting(instance, registry)
        planting.bearers()
        planting.refused()
        task = planting.task()
        keys = own_keys(instance)
        # The header that a log sender shows is no key, but opens the task's log to who has it.
        planting.words["leave to write logs"] = "LONGSHORE-STANDING"
        assert holders(instance, planting.words) == []
        told = {path.name for path in texts(instance)}
        assert {"state.db", "longshore.log", "order.json", "task.json", "supervisor.log"} <= told, told
        assert holders(instance, {"plain": "in-the-open-4c1f"}), "what is no secret is found"
        assert "TRACE" in instance.log_text()
        for name, key in keys.items():
            assert {path.rsplit("/", 1)[1] for _, path in holders(instance, {name: key})} == {name}, name
        instance.kill()
        instance.start()
        planting.lent(task)
        assert holders(instance, planting.words) == []
        ended = task.stop()
        assert ended["stopCode"] == "UserInitiated", why(ended)
        described = task.account.ecs.describe_task_definition(taskDefinition=task.definition, include=["TAGS"])
        words = [word if isinstance(word, str) else base64.b64encode(word).decode() for word in planting.words.values()]
        assert not [word for word in words if word in str([ended, described])]
        instance.stop()
        assert holders(instance, planting.words) == []
        assert short(task.arn) in "".join(path.read_text(errors="replace") for path in instance.directory.rglob("*.log"))
    finally:
        registry.end()
