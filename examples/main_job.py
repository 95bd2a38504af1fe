"""The main job: connect, create a tree, watch it, contend for a lock, elect a leader, and survive what goes wrong.

    python main_job.py                          on an embedded ensemble of three servers, inside this process
    python main_job.py --real                   on an ensemble of three real servers, started for the occasion
    python main_job.py 127.0.0.1:2181           on servers of your own (below /demo; none of them is killed)

Three worker processes take turns at a lock, then stand for election. Who holds the lock or the office writes to a
ledger in transactions that carry its guard, so that a write of somebody who lost it without knowing is refused by
the server. The demo kills the leader, then the server that the next leader is connected to. It prints what happens as
it happens, and its exit status is 1 when an expectation fails.
"""

from __future__ import annotations

import argparse
import json
import queue
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import Any

from zk_client import Client, EventType, SessionState, WatchedEvent
from zk_recipes import Lock

ROOT = "/demo"
LEDGER = f"{ROOT}/ledger"
LOCK = f"{ROOT}/lock"
OFFICE = f"{ROOT}/election"
LEADER = f"{ROOT}/leader"
WORKERS = ("ada", "bob", "cyd")
SESSION_TIMEOUT = 2.0
PATIENCE = 60.0  # seconds to wait for anything before the expectation counts as failed

_started = time.monotonic()


def say(who: str, text: str) -> None:
    """One line of the story."""
    print(f"{time.monotonic() - _started:7.2f} s  {who:<8} {text}", flush=True)


class ExpectationError(Exception):
    """An expectation failed."""


def expect(condition: bool, text: str) -> None:
    """Print an expectation, and end the demo unless it holds."""
    say("expect", f"{'ok' if condition else 'FAILED'}: {text}")
    if not condition:
        raise ExpectationError(text)


def session_of(client: Client) -> str | None:
    """The session's id as servers write it."""
    return None if client.session_id is None else f"0x{client.session_id & 0xFFFFFFFFFFFFFFFF:x}"


# A worker process: told what to do line by line, it reports line by line (JSON)


def work(name: str, hosts: str) -> None:
    """Contend for the lock or the office, as told, until told to quit."""

    reporting = threading.Lock()

    def report(event: str, **facts: object) -> None:
        # One write per line: the client's dispatcher reports as well.
        with reporting:
            sys.stdout.write(json.dumps({"worker": name, "event": event, **facts}) + "\n")
            sys.stdout.flush()

    def changed(state: SessionState) -> None:
        report("session", state=state.value, server=client.server_address, session=session_of(client))

    client = Client(hosts, timeout=SESSION_TIMEOUT)
    client.add_listener(changed)
    with client:
        places = {"acquire": Lock(client, LOCK, identifier=name), "stand": Lock(client, OFFICE, identifier=name)}
        report("ready")
        while lock := places.get(sys.stdin.readline().strip()):
            lock.acquire(timeout=PATIENCE)
            if lock is places["stand"]:
                transaction = client.transaction()
                transaction.add(lock.guard())
                transaction.set_data(LEADER, name.encode())
                transaction.commit()
            won = "holds" if lock is places["acquire"] else "leads"
            report(won, token=lock.token, server=client.server_address, session=session_of(client))
            while (command := sys.stdin.readline().strip()) == "write":
                transaction = client.transaction()
                transaction.add(lock.guard())
                transaction.create(f"{LEDGER}/entry-", f"{lock.token} {name}".encode(), sequence=True)
                transaction.commit()
                report("wrote", token=lock.token, lease=round(lock.lease_remaining, 2))
            if command != "release":
                break
            report("released", held=lock.release())


class Worker:
    """A worker process as the demo sees it."""

    def __init__(self, name: str, hosts: str, reports: queue.Queue[dict[str, Any]]) -> None:
        self.name = name
        command = [sys.executable, __file__, hosts, "--worker", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reports = reports
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._reports.put(json.loads(line))

    def tell(self, command: str) -> None:
        """Give the worker its next command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End the process as a crash would, without a word to the server."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the process politely, then for good."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Stage:
    """The workers, and what they report."""

    def __init__(self, hosts: str) -> None:
        self.reports: queue.Queue[dict[str, Any]] = queue.Queue()
        self.workers = {name: Worker(name, hosts, self.reports) for name in WORKERS}
        self.tokens: list[int] = []
        self._unread: list[dict[str, Any]] = []

    def wait_for(self, event: str, **facts: object) -> dict[str, Any]:
        """The next report of that kind nobody has waited for yet; every report is printed as it comes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for report in self._unread:
                if report["event"] == event and all(report.get(k) == v for k, v in facts.items()):
                    self._unread.remove(report)
                    return report
            try:
                report = self.reports.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ExpectationError(f"no worker reported {event} {facts or ''} within {PATIENCE:.0f} s") from None
            details = {k: v for k, v in report.items() if k not in ("worker", "event") and v is not None}
            say(report["worker"], f"{report['event']:<9}" + ", ".join(f"{k} {v}" for k, v in details.items()))
            if report["event"] in ("holds", "leads"):
                self.tokens.append(report["token"])
            self._unread.append(report)

    def forget(self, event: str) -> None:
        """Reports of that kind that came before now do not count any more."""
        self._unread = [report for report in self._unread if report["event"] != event]

    def stop(self) -> None:
        """End every worker."""
        for worker in self.workers.values():
            worker.stop()


# The story


def play(hosts: str, cluster: Any) -> None:
    """Everything, on the servers at `hosts`; `cluster` is None when they are not ours to kill."""
    with ExitStack() as cleanup:
        client = cleanup.enter_context(Client(hosts, timeout=SESSION_TIMEOUT))
        version = ".".join(str(part) for part in client.server_version())
        say("demo", f"connected to {client.server_address} (ZooKeeper {version}), session 0x{client.session_id:x}")

        client.delete(ROOT, recursive=True)
        client.create(f"{ROOT}/config", b"colour=blue", makepath=True)
        client.create(LEDGER)
        client.create(LOCK)
        client.create(OFFICE)
        client.create(LEADER)
        say("demo", f"created {ROOT} with {sorted(client.get_children(ROOT))}")

        entries = queue.Queue[WatchedEvent]()
        client.add_watch(ROOT, entries.put, recursive=True)
        client.set(f"{ROOT}/config", b"colour=green")
        event = entries.get(timeout=PATIENCE)
        say("watch", f"{event.type.name} {event.path}")
        expect((event.type, event.path) == (EventType.CHANGED, f"{ROOT}/config"), "the recursive watch sees the change")

        stage = Stage(hosts)
        cleanup.callback(stage.stop)
        for _ in WORKERS:
            stage.wait_for("ready")
        take_turns(stage)
        leader = crash_of_a_leader(stage, client)
        failover(stage, leader, client, cluster)

        expect(stage.tokens == sorted(set(stage.tokens)), f"fencing tokens only ever grew: {stage.tokens}")
        check_ledger(client)
        client.remove_watch(ROOT, entries.put)
        client.delete(ROOT, recursive=True)


def take_turns(stage: Stage) -> None:
    """Each worker holds the lock once."""
    say("demo", "three workers contend for the lock")
    for worker in stage.workers.values():
        worker.tell("acquire")
    seen = set()
    for _ in WORKERS:
        report = stage.wait_for("holds")
        holder = stage.workers[report["worker"]]
        seen.add(holder.name)
        holder.tell("write")
        stage.wait_for("wrote", worker=holder.name)
        holder.tell("release")
        stage.wait_for("released", worker=holder.name)
    expect(seen == set(WORKERS), "every worker had its turn")


def crash_of_a_leader(stage: Stage, client: Client) -> Worker:
    """Elect a leader and kill it; the next one leads when its session has expired."""
    say("demo", "the three stand for election")
    for worker in stage.workers.values():
        worker.tell("stand")
    first = stage.workers[stage.wait_for("leads")["worker"]]
    client.sync(LEADER)
    expect(client.get(LEADER)[0] == first.name.encode(), f"{first.name} leads, and said so under its guard")
    first.tell("write")
    token = stage.wait_for("wrote", worker=first.name)["token"]
    say("demo", f"killing {first.name}, which leads with token {token}")
    killed = time.monotonic()
    first.kill()
    report = stage.wait_for("leads")
    waited = time.monotonic() - killed
    expect(report["token"] > token, f"{report['worker']} leads after {waited:.1f} s, with a greater token")
    expect(waited > SESSION_TIMEOUT / 3, "not before the dead leader's session had expired")
    return stage.workers[report["worker"]]


def failover(stage: Stage, leader: Worker, client: Client, cluster: Any) -> None:
    """Kill the server the leader is connected to; it keeps session and office on another."""
    token = stage.tokens[-1]
    if cluster is None:
        say("demo", "the servers are not ours, so none of them is killed")
        leader.tell("write")
        stage.wait_for("wrote", worker=leader.name)
        leader.tell("release")
        stage.wait_for("released", worker=leader.name)
        return
    client.sync(OFFICE)
    owner = client.exists(f"{OFFICE}/{min(client.get_children(OFFICE), key=lambda name: name[-10:])}")
    assert owner is not None
    server = server_of(cluster, owner.ephemeral_owner)
    say("demo", f"killing server {server.number} ({server.address}), to which {leader.name} is connected")
    stage.forget("session")
    server.kill()
    suspended = stage.wait_for("session", worker=leader.name, state=SessionState.SUSPENDED.value)
    again = stage.wait_for("session", worker=leader.name, state=SessionState.CONNECTED.value)
    expect(again["session"] == suspended["session"], f"{leader.name} goes on with its session on {again['server']}")
    leader.tell("write")
    report = stage.wait_for("wrote", worker=leader.name)
    expect(report["token"] == token, "and still leads: its guarded write was accepted")
    leader.tell("release")
    stage.wait_for("released", worker=leader.name, held=True)
    say("demo", f"starting server {server.number} again")
    server.restart()
    heir = stage.wait_for("leads")["worker"]
    expect(heir != leader.name, f"{heir} leads next")


def server_of(cluster: Any, session_id: int) -> Any:
    """The member that serves a session: the one whose connections name it."""
    for member in cluster.members:
        if f"sid=0x{session_id & 0xFFFFFFFFFFFFFFFF:x}" in member.send_command("cons"):
            return member
    raise ExpectationError(f"no server serves session 0x{session_id:x}")


def check_ledger(client: Client) -> None:
    """Every entry was written by who held the lock, or led, at that time."""
    client.sync(LEDGER)
    names = sorted(client.get_children(LEDGER))
    entries = [client.get(f"{LEDGER}/{name}") for name in names]
    tokens = [int((data or b"").split()[0]) for data, _ in entries]
    say("demo", f"the ledger has {len(entries)} entries, written under tokens {tokens}")
    expect(tokens == sorted(tokens), "no entry was written by a former holder")


def main() -> int:
    """Run the demo or one of its workers; the exit status says whether every expectation held."""
    parser = argparse.ArgumentParser(description="The main job on ZooKeeper servers.")
    parser.add_argument("hosts", nargs="?", help="servers to use; without it, three embedded ones")
    parser.add_argument("--real", action="store_true", help="start three real servers in their place")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker, arguments.hosts)
        return 0
    try:
        if arguments.hosts:
            play(arguments.hosts, None)
        elif arguments.real:
            from zk_testing.cluster import start_cluster

            say("demo", "starting an ensemble of three ZooKeeper servers")
            with start_cluster(3, tick_ms=500) as cluster:
                play(cluster.hosts, cluster)
        else:
            from zk_testing import EmbeddedEnsemble

            say("demo", "starting an embedded ensemble of three servers, in this process")
            with EmbeddedEnsemble(3) as ensemble:
                play(ensemble.hosts, ensemble)
    except ExpectationError as error:
        say("demo", f"FAILED: {error}")
        return 1
    say("demo", "everything went as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
