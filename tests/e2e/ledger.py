"""What a client was told, held against what it reads later."""

import contextlib

STATES = ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"]
MOMENTS = ["createdAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt", "executionStoppedAt", "stoppedAt"]


class Ledger:
    """Names and the values they may have.

    A name has one value once a write was acknowledged, and two while a write is under way or was cut off. Reading
    settles which of them it is.
    """

    def __init__(self):
        self.may = {}
        self.touched = set()

    def now(self, name):
        """The value of a name about which there is no doubt."""
        value, = self.may.get(name, [None])
        return value

    @contextlib.contextmanager
    def write(self, name, value):
        """A write that counts if the block ends well, and may count if it does not."""
        self.may.setdefault(name, [None]).append(value)
        self.touched.add(name)
        yield
        self.may[name] = [value]

    def settle(self, name, found):
        """What a name was read as must be one of the values that it may have."""
        may = self.may.get(name, [None])
        assert found in may, f"{name} is {found!r} and may be {may!r}"
        self.may[name] = [found]
        self.touched.discard(name)

    def forgo(self, name):
        """A write whose effect nothing shows any more counts as not made."""
        self.may[name] = [None]
        self.touched.discard(name)

    def names(self, kind, everything=False):
        """The names of a kind: those written since they were last read, or all."""
        return sorted(name for name in (self.may if everything else self.touched) if name[0] == kind)


class Sightings:
    """Each task as it was last seen. What was told of it is never taken back."""

    def __init__(self):
        self.seen = {}

    def see(self, task):
        now = sighting(task)
        before = self.seen.get(task["taskArn"], now)
        told = f"{task['taskArn']}: {before} became {now}"
        assert now["version"] >= before["version"], told
        assert now["version"] > before["version"] or now["states"] == before["states"], told
        assert STATES.index(now["states"][0]) >= STATES.index(before["states"][0]), told
        assert before["states"][1] != "STOPPED" or now["states"][1] == "STOPPED", told
        for what, value in before["facts"].items():
            assert now["facts"].get(what) == value, told
        self.seen[task["taskArn"]] = now


def sighting(task):
    """What must not go back, and what must not change once it is told."""
    details = {one["name"]: one["value"] for made in task["attachments"] for one in made["details"]}
    facts = {moment: task[moment] for moment in MOMENTS if moment in task}
    facts["address"] = details["privateIPv4Address"]
    if task["lastStatus"] == "STOPPED":
        facts |= {"codes": [one.get("exitCode") for one in task["containers"]], "stopCode": task["stopCode"]}
    in_order = [facts[moment] for moment in MOMENTS if moment in facts]
    assert in_order == sorted(in_order), task
    return {"version": task["version"], "states": (task["lastStatus"], task["desiredStatus"]), "facts": facts}
