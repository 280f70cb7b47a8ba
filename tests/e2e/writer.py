"""A client that writes all kinds of things at random until the server goes, and then holds it to its answers."""

import concurrent.futures
import random
import time

from account import container, fargate
from caller import Caller, Cut
from ledger import Ledger, Sightings

SETTINGS = {
    "containerInsights": ["enabled", "disabled", "enhanced"], "defaultLogDriverMode": ["blocking", "non-blocking"],
    "fargateTaskRetirementWaitPeriod": ["0", "7", "14"],
}
HEALTH = {"command": ["CMD", "true"], "interval": 5}
PAGE = 100


class Writer:
    """A client, whose own is all that bears its name. `work` ends when the server does; what checks wants a server."""

    # How often each of them comes.
    ACTS = {
        "define": 2, "run": 2, "stop": 3, "serve": 3, "tag": 3, "log": 4, "set": 2, "group": 2, "cluster": 2, "look": 4,
    }
    # As many tasks may run before others must stop, and as long it rests after each act, in seconds.
    LIVE, REST = 50, 0

    def __init__(self, instance, own, seed, number=None):
        self.own = own
        self.chance = random.Random(f"{seed}/{own}")
        self.caller = Caller(instance, number or instance.environment()["AWS_ACCESS_KEY_ID"])
        self.account = instance.account(number)
        self.arn = self.account.arn(f"cluster/{self.own}")
        self.network = self.account.network(public=False)
        self.made = 0
        self.ledger, self.sightings = Ledger(), Sightings()
        # Token to the request, token to the tasks it made, tokens whose answer was lost.
        self.requests, self.runs, self.lost = {}, {}, []
        self.fresh, self.live = [], []
        # (family, revision) to its mark, and the marks that were sent.
        self.revisions, self.marks, self.sent = {}, {}, {}
        self.services = {}
        self.batch, self.lines, self.moment, self.forward, self.read = None, [], 0, None, 0
        self.prepare()

    def call(self, service, operation, headers=None, /, **members):
        return self.caller.call(service, operation, headers, **members)

    def ecs(self, operation, /, **members):
        return self.call("ecs", operation, **members)

    def logs(self, operation, headers=None, /, **members):
        return self.call("logs", operation, headers, **members)

    def unique(self):
        self.made += 1
        return f"{self.own}-{self.made}"

    def base(self):
        """What tasks run. Its health is checked, because ECS watches others for 40 s before it stops their old ones."""
        return fargate(container(healthCheck=HEALTH), family=f"{self.own}-base")

    def prepare(self):
        self.ecs("CreateCluster", clusterName=self.own)
        for _ in range(2):
            self.ecs("RegisterTaskDefinition", **self.base())
        self.logs("CreateLogGroup", logGroupName=self.own)
        self.logs("CreateLogStream", logGroupName=self.own, logStreamName=self.own)

    def work(self):
        """Write until the server goes away; how many calls it answered."""
        acts, weights = zip(*self.ACTS.items())
        done = 0
        try:
            while True:
                getattr(self, self.chance.choices(acts, weights)[0])()
                done += 1
                time.sleep(self.REST)
        except Cut:
            return done

    # What it writes

    def define(self):
        family, mark = f"{self.own}-f{self.chance.randrange(3)}", self.unique()
        self.sent.setdefault(family, set()).add(mark)
        marked = container(environment=[{"name": "MARK", "value": mark}])
        made = self.ecs("RegisterTaskDefinition", **fargate(marked, family=family))["taskDefinition"]
        known = self.revisions.setdefault(family, {})
        assert made["revision"] not in known and made["revision"] > max(known, default=0), (made, known)
        known[made["revision"]] = mark

    def run(self):
        if len(self.live) > self.LIVE:
            return self.stop()
        token = self.unique()
        self.requests[token] = {
            "cluster": self.own, "taskDefinition": f"{self.own}-base", "launchType": "FARGATE",
            "count": self.chance.choice([1, 2]), "networkConfiguration": self.network, "clientToken": token,
            "startedBy": token,
        }
        self.fresh.append(token)
        self.lost.append(token)
        self.launched(token, self.ecs("RunTask", **self.requests[token]))
        self.lost.remove(token)

    def launched(self, token, answer):
        """An answer of RunTask: all tasks are there, and the same ones each time."""
        arns = sorted(task["taskArn"] for task in answer["tasks"])
        assert len(arns) == self.requests[token]["count"] and not answer["failures"], answer
        assert self.runs.setdefault(token, arns) == arns, f"{token} made {self.runs[token]} and {arns}"

    def stop(self):
        self.live += [arn for token in self.fresh if token in self.runs for arn in self.runs[token]]
        self.live = sorted(arn for arn in set(self.live) if self.ledger.now(("stop", arn)) is None)
        if self.live:
            arn, reason = self.chance.choice(self.live), self.unique()
            with self.ledger.write(("stop", arn), reason):
                self.ecs("StopTask", cluster=self.own, task=arn, reason=reason)

    def serve(self):
        """Make, change or delete one of three services; a deleted one's name does not come again."""
        slot = self.chance.randrange(3)
        name = self.services.get(slot)
        value = self.ledger.now(("service", name)) if name else None
        desired, definition = self.chance.randrange(3), f"{self.own}-base:{self.chance.choice([1, 2])}"
        if value in (None, "gone"):
            name = self.services[slot] = self.unique()
            self.requests[name] = {
                "cluster": self.own, "serviceName": name, "taskDefinition": definition, "desiredCount": desired,
                "launchType": "FARGATE", "networkConfiguration": self.network, "clientToken": name,
            }
            with self.ledger.write(("service", name), (desired, definition)):
                self.ecs("CreateService", **self.requests[name])
        elif self.chance.random() < 0.2:
            with self.ledger.write(("service", name), "gone"):
                self.ecs("DeleteService", cluster=self.own, service=name, force=True)
        else:
            with self.ledger.write(("service", name), (desired, definition)):
                self.ecs(
                    "UpdateService", cluster=self.own, service=name, desiredCount=desired, taskDefinition=definition
                )

    def tag(self):
        key = f"k{self.chance.randrange(4)}"
        value = self.chance.choice([None, self.unique()])
        with self.ledger.write(("tag", key), value):
            if value is None:
                self.ecs("UntagResource", resourceArn=self.arn, tagKeys=[key])
            else:
                self.ecs("TagResource", resourceArn=self.arn, tags=[{"key": key, "value": value}])

    def log(self):
        """One batch, under an id that makes it safe to send again."""
        first = len(self.lines)
        self.moment = max(self.moment, int(time.time() * 1000))
        self.batch = []
        for index in range(first, first + self.chance.randrange(1, 20)):
            self.moment += 1
            self.batch.append({"timestamp": self.moment, "message": f"line {index}"})
        self.send()

    def send(self):
        pump = {"x-longshore-batch": f"{self.own}/{len(self.lines) + 1}"}
        self.logs("PutLogEvents", pump, logGroupName=self.own, logStreamName=self.own, logEvents=self.batch)
        self.lines += [event["message"] for event in self.batch]
        self.batch = None

    def set(self):
        name = self.chance.choice(sorted(SETTINGS))
        value = self.chance.choice([None, *SETTINGS[name]])
        with self.ledger.write(("setting", name), value):
            if value is None:
                self.ecs("DeleteAccountSetting", name=name)
            else:
                self.ecs("PutAccountSetting", name=name, value=value)

    def group(self):
        """A log group comes, changes how long it keeps its events, and goes."""
        name = f"{self.own}-g{self.chance.randrange(4)}"
        there = self.ledger.now(("group", name))
        days = self.chance.choice([1, 3, 5, 7])
        if there is None:
            with self.ledger.write(("group", name), "for ever"):
                self.logs("CreateLogGroup", logGroupName=name)
        elif there == days:
            with self.ledger.write(("group", name), None):
                self.logs("DeleteLogGroup", logGroupName=name)
        else:
            with self.ledger.write(("group", name), days):
                self.logs("PutRetentionPolicy", logGroupName=name, retentionInDays=days)

    def cluster(self):
        name = f"{self.own}-c{self.chance.randrange(4)}"
        if self.ledger.now(("cluster", name)):
            with self.ledger.write(("cluster", name), None):
                self.ecs("DeleteCluster", cluster=name)
        else:
            with self.ledger.write(("cluster", name), "ACTIVE"):
                self.ecs("CreateCluster", clusterName=name)

    def look(self):
        arns = [arn for token in self.fresh[-10:] for arn in self.runs.get(token, [])]
        for task in self.described(arns):
            self.sightings.see(task)

    # What it reads

    def check(self, everything=False):
        """All that was written since the last check (or ever) reads as it was acknowledged."""
        self.check_names("tag", self.read_tags(), everything)
        self.check_names("setting", self.read_settings(), everything)
        self.check_names("group", self.read_groups(), everything)
        self.check_names("cluster", self.read_clusters(), everything)
        self.check_services(everything)
        self.check_definitions(everything)
        self.check_tokens()
        self.check_tasks(everything)
        self.check_lines(everything)

    def check_names(self, kind, found, everything):
        known = {name for _, name in self.ledger.names(kind, everything=True)}
        assert set(found) <= known, f"{kind}: {set(found) - known} was never made"
        for name in self.ledger.names(kind, everything):
            self.ledger.settle(name, found.get(name[1]))

    def read_tags(self):
        tags = self.ecs("ListTagsForResource", resourceArn=self.arn)["tags"]
        return {tag["key"]: tag["value"] for tag in tags}

    def read_settings(self):
        return {one["name"]: one["value"] for one in self.ecs("ListAccountSettings")["settings"]}

    def read_groups(self):
        groups = self.logs("DescribeLogGroups", logGroupNamePrefix=f"{self.own}-g")["logGroups"]
        return {group["logGroupName"]: group.get("retentionInDays", "for ever") for group in groups}

    def read_clusters(self):
        names = [f"{self.own}-c{index}" for index in range(4)]
        clusters = self.ecs("DescribeClusters", clusters=names)["clusters"]
        return {one["clusterName"]: "ACTIVE" for one in clusters if one["status"] == "ACTIVE"}

    def check_services(self, everything):
        for kind, name in self.ledger.names("service", everything):
            if self.ledger.may[kind, name] == [None, (value := self.asked(name))]:
                # The answer to its creation was lost: the same request makes it, or finds it made.
                assert self.ecs("CreateService", **self.requests[name])["service"]["serviceName"] == name
                self.ledger.may[kind, name] = [value]
            self.ledger.settle((kind, name), self.read_service(name))

    def asked(self, name):
        return self.requests[name]["desiredCount"], self.requests[name]["taskDefinition"]

    def read_service(self, name):
        service, = self.ecs("DescribeServices", cluster=self.own, services=[name])["services"]
        if service["status"] != "ACTIVE":
            return "gone"
        return service["desiredCount"], service["taskDefinition"].rsplit("/", 1)[1]

    def check_definitions(self, everything):
        """Revisions count without a gap, no mark has two, and each has the mark that was acknowledged."""
        for family, sent in self.sent.items():
            arns = self.pages("ListTaskDefinitions", "taskDefinitionArns", familyPrefix=family)
            found = [int(arn.rsplit(":", 1)[1]) for arn in arns]
            known, marks = self.revisions.setdefault(family, {}), self.marks.setdefault(family, {})
            assert found == list(range(1, len(found) + 1)) and set(known) <= set(found), (family, found[-5:])
            for revision in found:
                if everything or revision not in marks:
                    marks[revision] = self.read_mark(family, revision)
                    assert marks[revision] == known.setdefault(revision, marks[revision]), (family, revision)
            assert len(set(marks.values())) == len(marks) and set(marks.values()) <= sent, family

    def read_mark(self, family, revision):
        described = self.ecs("DescribeTaskDefinition", taskDefinition=f"{family}:{revision}")["taskDefinition"]
        return described["containerDefinitions"][0]["environment"][0]["value"]

    def check_tokens(self):
        """A token that is sent again, answered or not, has had its one effect."""
        again = set(self.lost) | set(self.chance.sample(self.fresh, min(5, len(self.fresh))))
        for token in sorted(again):
            self.launched(token, self.ecs("RunTask", **self.requests[token]))
        for token in self.lost:
            listed = self.pages("ListTasks", "taskArns", cluster=self.own, startedBy=token)
            assert sorted(listed) == self.runs[token], f"{token} made {self.runs[token]}, listed are {listed}"
        self.lost = []

    def check_tasks(self, everything):
        tokens = self.runs if everything else self.fresh
        wanted = {arn for token in tokens for arn in self.runs[token]}
        stopped = {arn for _, arn in self.ledger.names("stop", everything)}
        for task in self.described(sorted(wanted | stopped)):
            self.sightings.see(task)
            self.settle_stop(("stop", task["taskArn"]), task)
        if everything:
            self.check_effects()
        self.stop_candidates()

    def settle_stop(self, name, task):
        """A task that ends by itself keeps the reason of its own, whoever asked it to stop after that."""
        if task["desiredStatus"] == "RUNNING":
            self.ledger.settle(name, None)
        elif task["stopCode"] == "UserInitiated":
            self.ledger.settle(name, task["stoppedReason"])
        else:
            self.ledger.forgo(name)

    def stop_candidates(self):
        self.live += [arn for token in self.fresh for arn in self.runs[token]]
        self.fresh = []

    def check_effects(self):
        """Every task there is was asked for: by a token, once, or by a service."""
        made = {}
        for task in self.tasks():
            if not task["group"].startswith("service:"):
                made.setdefault(task["startedBy"], []).append(task["taskArn"])
        assert {token: sorted(arns) for token, arns in made.items()} == self.runs

    def check_lines(self, everything):
        """Every line once and in order; each check reads on from where the last one stopped."""
        if self.batch is not None:
            self.send()
        if everything:
            self.forward, self.read = None, 0
        while True:
            place = {"nextToken": self.forward} if self.forward else {}
            page = self.logs("GetLogEvents", logGroupName=self.own, logStreamName=self.own, startFromHead=True, **place)
            got = [event["message"] for event in page["events"]]
            assert got == self.lines[self.read:self.read + len(got)], (self.read, got[:3], got[-3:])
            self.read += len(got)
            if self.forward == page["nextForwardToken"]:
                break
            self.forward = page["nextForwardToken"]
        assert self.read == len(self.lines), f"{len(self.lines) - self.read} lines are missing"

    def described(self, arns):
        for start in range(0, len(arns), PAGE):
            some = arns[start:start + PAGE]
            answer = self.ecs("DescribeTasks", cluster=self.own, tasks=some)
            assert not answer["failures"] and len(answer["tasks"]) == len(some), answer["failures"]
            yield from answer["tasks"]

    def tasks(self):
        """Every task there is."""
        arns = []
        for state in ("RUNNING", "STOPPED"):
            arns += self.pages("ListTasks", "taskArns", cluster=self.own, desiredStatus=state)
        return list(self.described(arns))

    def stop_all(self):
        """Ask everything to stop."""
        for kind, name in self.ledger.names("service", everything=True):
            if self.ledger.now((kind, name)) != "gone":
                with self.ledger.write((kind, name), "gone"):
                    self.ecs("DeleteService", cluster=self.own, service=name, force=True)
        for task in self.tasks():
            if task["desiredStatus"] != "STOPPED":
                self.ecs("StopTask", cluster=self.own, task=task["taskArn"])

    def pages(self, operation, member, **members):
        found, token = [], {}
        while True:
            page = self.ecs(operation, **members, **token)
            found += page[member]
            if "nextToken" not in page:
                return found
            token = {"nextToken": page["nextToken"]}

    def unsettled(self):
        """What is not yet as it is wanted: tasks that should have stopped, services that run too few or too many."""
        stopping = [arn for _, arn in self.ledger.names("stop", everything=True) if self.ledger.now(("stop", arn))]
        found = [task for task in self.described(stopping) if task["lastStatus"] != "STOPPED"]
        names = [name for _, name in self.ledger.names("service", everything=True)]
        for name in names:
            service, = self.ecs("DescribeServices", cluster=self.own, services=[name])["services"]
            wanted = service["desiredCount"] if self.ledger.now(("service", name)) != "gone" else 0
            if (service["runningCount"], service["pendingCount"]) != (wanted, 0):
                found.append(service)
        return found


def until_ended(writers, seconds, end):
    """All write for so long, and on until `end` has made an end of the server; how many calls were answered."""
    with concurrent.futures.ThreadPoolExecutor(len(writers)) as pool:
        working = [pool.submit(writer.work) for writer in writers]
        concurrent.futures.wait(working, seconds, concurrent.futures.FIRST_COMPLETED)
        end()
        return sum(one.result() for one in working)


def at_once(writers, what):
    with concurrent.futures.ThreadPoolExecutor(len(writers)) as pool:
        return list(pool.map(what, writers))
