"""Programs of others against the embedded server and a real one: they must not be able to tell which is which.

zkCli is Java's own client with a prompt. It is told all it can do, and what it prints is compared; events, which it
prints from a thread of their own, on their own.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from zk_testing import EmbeddedServer
from zk_testing.cluster import start_cluster
from zk_testing.embedded import Settings
from zk_testing.errors import NoServerError
from zk_testing.provision import Distribution, find_server

COMMANDS = """
ls /
ls -s /
create /a one
create /a
create /none/b
create -s /a/s- x
create -e /a/eph x
create -s -e /a/es- x
create /a/eph/child x
create -c /cont
create -t 100000 /ttl x
create -s -t 100000 /ttl- x
create /a//b
create /zookeeper x
get /a
get -s /a
get /none
get -w /a
set /a two
set -s /a three
set -v 7 /a four
set /none x
set /zookeeper/config x
stat -w /none
create /none x
stat /none
delete /none
delete /none
delete /a
delete -v 9 /ttl
delete /zookeeper
ls -w /a
create /a/c 1
ls /a
ls -R /
getAllChildrenNumber /
getEphemerals
getEphemerals /a/es
getAcl -s /a
setAcl -v 5 /a world:anyone:r
setAcl /a/c ip:127.0.0.1:cdrwa
setAcl /a/c foo:bar:r
setAcl /a/c auth::cdrwa
addauth digest u:p
setAcl /a/c auth::cdrwa
getAcl /a/c
create /closed data digest:x:y:r
get /closed
set /closed x
getAcl /closed
addWatch -m PERSISTENT /a/c
addWatch -m PERSISTENT_RECURSIVE /cont
create /cont/x 1
create /cont/x/y 1
set /cont/x/y 2
delete /cont/x/y
set /a/c 3
removewatches /a -a
removewatches /a/c -a
removewatches /cont -a
removewatches /cont -a
setquota -n 3 /a
setquota -b 20 /a
create /a/q1 longer-than-that-quota
listquota /a
get /zookeeper/quota/a/zookeeper_limits
get /zookeeper/quota/a/zookeeper_stats
setquota -n 3 /a/c
delquota /a
listquota /a
sync /a
config
config -s
reconfig -remove 3
create /big
create /big/1
create /big/1/2
create /big/3
deleteall /big
deleteall /closed
deleteall /none
deleteall /
history
redo 2
printwatches off
set /cont 1
printwatches on
nosuchcommand
close
ls /
quit
"""
MASKS = [  # what two servers cannot have in common
    (re.compile(r"(?m)^(.time =) .*$"), r"\1 (a time)"),
    (re.compile(r" zxid: -?\d+"), ""),
    (re.compile(r"127\.0\.0\.1:\d+"), "(an address)"),
    (re.compile(r"0x[0-9a-f]{6,}"), "(a session)"),
]


def distribution(version: str) -> Distribution:
    """The release whose zkCli is run, against a server of the same release."""
    try:
        found = find_server(version)
    except NoServerError as error:
        if os.environ.get("ZK_TESTING_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))
    if "commons-cli" not in found.classpath:
        pytest.skip(f"{found} comes without commons-cli, which zkCli needs")
    return found


def zk_cli(found: Distribution, address: str) -> tuple[list[str], list[str], list[str]]:
    """(what zkCli prints, the events it prints, what it says on the error stream), without what must differ."""
    # Logging would mix with what the commands say.
    command = [str(found.java.executable), "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", found.classpath]
    program = subprocess.run(
        [*command, "org.apache.zookeeper.ZooKeeperMain", "-timeout", "30000", "-server", address],
        check=False,
        input=COMMANDS.lstrip(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    printed, errors = program.stdout, program.stderr
    for pattern, instead in MASKS:
        printed, errors = pattern.sub(instead, printed), pattern.sub(instead, errors)
    # The thread that prints events comes between two lines of the other one when it likes.
    lines = [line for line in printed.split("\n") if line and line != "WATCHER::"]
    events = [line for line in lines if line.startswith("WatchedEvent ") and "type:None" not in line]
    return [line for line in lines if not line.startswith("WatchedEvent ")], events, errors.split("\n")


@pytest.mark.cluster
@pytest.mark.parametrize("version", ["3.6", "3.9"])
def test_zk_cli_says_the_same_of_the_embedded_server_as_of_a_real_one(version: str) -> None:
    found = distribution(version)
    with start_cluster(1, found.version) as cluster:
        expected = zk_cli(found, cluster.hosts)
    with EmbeddedServer(settings=Settings(version=found.version)) as server:
        printed, events, errors = zk_cli(found, server.hosts)
    assert events == expected[1]
    assert errors == expected[2]
    assert printed == expected[0]
    assert len(events) > 8 and len(printed) > 100
