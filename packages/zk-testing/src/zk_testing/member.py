"""One real ZooKeeper server: a Java process, its folder, its ports.

Rule: a method that changes a server returns when the change is there to be seen (it serves, it is stopped, it is gone),
and raises ClusterError with the end of the server's log when that takes longer than its bound. Nothing here waits for
a fixed time: a server is asked (`srvr`), a process is waited for.

A paused server (SIGSTOP) keeps its sockets open and says nothing, which is what a frozen machine looks like; a killed
one (SIGKILL) loses its sockets at once and runs no clean-up.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zk_wire import ProtocolError, ServerNotServingError, ServerStatus, parse_srvr

from ._process import spawn, wait_for_exit
from ._words import ask_word
from .errors import ClusterError
from .provision import Distribution

__all__ = ["HOST", "MemberPlan", "ZooKeeperServer"]

HOST = "127.0.0.1"

_STOP_TIMEOUT = 10.0  # seconds a server has to end after SIGTERM before it is killed
_KILL_TIMEOUT = 10.0  # seconds the system has to end a killed process
_POLL = 0.02  # seconds between two questions to a server that does not serve yet
_LOG_LINES = 40  # lines of the log in an error

# Small and quick to start; no files outside the server's folder.
_JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xss512k",
    "-Djava.awt.headless=true",
)

# Every server: quick, open to the tests, and alone on its machine. All of it can be overridden.
_JAVA_PROPERTIES = {
    "zookeeper.forceSync": "no",
    "zookeeper.admin.enableServer": "false",
    "zookeeper.4lw.commands.whitelist": "*",
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.DigestAuthenticationProvider.superDigest": "super:"
    + base64.b64encode(hashlib.sha1(b"super:test", usedforsecurity=False).digest()).decode("ascii"),
    "zookeeper.preAllocSize": "1024",
    "zookeeper.fastleader.maxNotificationInterval": "1000",
    "zookeeper.jmx.log4j.disable": "true",
    "znode.container.checkIntervalMs": "1000",
    "org.slf4j.simpleLogger.showDateTime": "true",
    "org.slf4j.simpleLogger.dateTimeFormat": "HH:mm:ss.SSS",
    "org.slf4j.simpleLogger.showShortLogName": "true",
}


@dataclass(frozen=True, slots=True)
class MemberPlan:
    """What one server is started with.

    port: of clients.   servers: the `server.N=...` lines of an ensemble, empty for a standalone server.
    """

    distribution: Distribution
    number: int
    port: int
    servers: tuple[str, ...]
    config: Mapping[str, str]
    java_properties: Mapping[str, str]
    jvm_flags: Sequence[str]
    heap_mb: int


class ZooKeeperServer:
    """One server of a cluster; made by `start_cluster`, never by hand.

    It can be stopped, killed, paused, restarted and replaced. Its ports stay its own all the while. The methods may be
    called from any thread.
    """

    def __init__(self, plan: MemberPlan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self._mutex = threading.RLock()
        self._final_log = ""
        self._exit_status: int | None = None
        (folder / "tmp").mkdir(parents=True)
        self._write_config()
        self._write_data_folder()

    def __repr__(self) -> str:
        return f"<ZooKeeperServer {self.number} {self._plan.distribution.version} at {self.address}, {self.condition}>"

    # Who and where

    @property
    def number(self) -> int:
        """The server id in the ensemble (`myid`), from 1."""
        return self._plan.number

    @property
    def version(self) -> str:
        """The exact release it runs."""
        return self._plan.distribution.version

    @property
    def port(self) -> int:
        """The TCP port of its clients, on 127.0.0.1."""
        return self._plan.port

    @property
    def address(self) -> str:
        """ "host:port", as a client takes it."""
        return f"{HOST}:{self.port}"

    @property
    def hosts(self) -> str:
        """The same, under the name a cluster has for it."""
        return self.address

    def connection_string(self, chroot: str = "") -> str:
        """The address followed by a chroot ("" or "/path")."""
        return self.address + chroot

    @property
    def server_line(self) -> str:
        """Its line in the ensemble's configuration ("server.1=..."), as reconfig takes it; "" when standalone."""
        return next((line for line in self._plan.servers if line.startswith(f"server.{self.number}=")), "")

    @property
    def folder(self) -> Path:
        """Its own folder: zoo.cfg, data, log."""
        return self._folder

    # In what condition

    @property
    def pid(self) -> int | None:
        """The process id, None when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def exit_status(self) -> int | None:
        """How the process ended last: 143 after SIGTERM (Java's own way to say so), -9 after SIGKILL; None before."""
        return self._exit_status

    @property
    def running(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self.pid is not None

    @property
    def paused(self) -> bool:
        """Whether it was paused and not resumed since."""
        return self._paused and self.running

    @property
    def condition(self) -> str:
        """ "running", "paused" or "stopped"."""
        return "paused" if self.paused else "running" if self.running else "stopped"

    def send_command(self, word: str, *, timeout: float = 2.0) -> str:
        """Ask a four-letter word ("srvr", "mntr", "dump", ...) and return the whole answer as text.

        timeout: seconds, for connecting and for each wait for bytes.   Raises OSError when the server does not answer.
        """
        return ask_word(HOST, self.port, word, timeout=timeout)

    def status(self, *, timeout: float = 2.0) -> ServerStatus:
        """What `srvr` tells. Raises OSError, ServerNotServingError, or RemoteProtocolError for an unreadable answer."""
        return parse_srvr(self.send_command("srvr", timeout=timeout))

    @property
    def role(self) -> str | None:
        """ "standalone", "leader", "follower", "observer", "read-only"; None while it serves nobody."""
        if not self.running or self._paused:
            return None
        try:
            return self.status(timeout=1.0).mode
        except (OSError, ProtocolError, ServerNotServingError):
            return None

    @property
    def ready_role(self) -> str | None:
        """The role, once everything it was told to listen on is open: the secure port opens a little later."""
        role = self.role
        if role is not None and (secure_port := self._plan.config.get("secureClientPort")):
            try:
                socket.create_connection((HOST, int(secure_port)), 1.0).close()
            except OSError:
                return None
        return role

    def log(self, lines: int | None = None, *, since: int = 0) -> str:
        """What the server wrote to its log, all of it or the last lines; `since` skips that many bytes."""
        path = self._folder / "log"
        try:
            with path.open("rb") as file:
                file.seek(since)
                text = file.read().decode("utf-8", "replace")
        except OSError:
            text = self._final_log
        if lines is None:
            return text
        return "\n".join(text.splitlines()[-lines:])

    def log_size(self) -> int:
        """The length of the log in bytes, to be given to `log(since=...)` later."""
        try:
            return (self._folder / "log").stat().st_size
        except OSError:
            return 0

    # What to do to it

    def start(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Start the process if it does not run, and wait until it serves.

        wait: False returns at once; a member without a quorum serves nobody, so waiting for it would be in vain.
        Raises ClusterError when it ends, or does not serve within `timeout` seconds; the process is left as it is.
        """
        with self._mutex:
            if not self.running:
                self._process = spawn(self._command(), self._folder, self._folder / "log")
                self._paused = False
        if wait:
            self.wait_until_serving(timeout=timeout)

    def stop(self) -> None:
        """End the process with SIGTERM, and with SIGKILL if it does not end in time; paused ones end too."""
        with self._mutex:
            process = self._process
            if process is None:
                return
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a stopped process acts on SIGTERM only once it runs again
            if not wait_for_exit(process, _STOP_TIMEOUT):
                self.kill()
            self._ended(process)

    def kill(self) -> None:
        """End the process at once, as `kill -9` does: no clean-up, sockets closed by the system."""
        with self._mutex:
            process = self._process
            if process is None:
                return
            self._signal(signal.SIGKILL)
            if not wait_for_exit(process, _KILL_TIMEOUT):
                raise ClusterError(
                    f"server {self.number} (pid {process.pid}) was killed, but exists after {_KILL_TIMEOUT:.0f} s"
                )
            self._ended(process)

    def pause(self) -> None:
        """Stop the process from running (SIGSTOP) until `resume`: connections stay open and nothing answers.

        Returns when every thread has stopped. Raises ClusterError when it does not run.
        """
        with self._mutex:
            process = self._running_process("pause")
            self._paused = True
            self._signal(signal.SIGSTOP)
            # Waits for the stop without taking an exit away from Popen (WNOWAIT).
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            if process.poll() is not None:
                raise ClusterError(f"server {self.number} ended while it was paused", log=self.log(_LOG_LINES))

    def resume(self) -> None:
        """Let a paused process run on (SIGCONT). Raises ClusterError when it does not run."""
        with self._mutex:
            self._running_process("resume")
            self._signal(signal.SIGCONT)
            self._paused = False

    def restart(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Stop (if it runs) and start again with the same data and ports. Raises as `start`."""
        self.stop()
        self.start(wait=wait, timeout=timeout)

    def replace(self, *, wait: bool = True, timeout: float = 30.0) -> None:
        """Start anew with the same number and ports, but without any data, as a new machine would.

        Raises as `start`.
        """
        with self._mutex:
            self.kill()
            shutil.rmtree(self._folder / "data")
            self._write_data_folder()
            self.start(wait=False)
        if wait:
            self.wait_until_serving(timeout=timeout)

    def wait_until_serving(self, *, timeout: float = 30.0) -> str:
        """Wait until it answers requests, and return its role. Raises ClusterError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (role := self.ready_role) is None:
            if not self.running:
                raise ClusterError(
                    f"server {self.number} at {self.address} ended{self._status_text()}, "
                    "but was expected to serve; the end of its log:",
                    log=self.log(_LOG_LINES),
                )
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"server {self.number} at {self.address} does not serve after {timeout:.1f} s "
                    f"({self.condition}); the end of its log:",
                    log=self.log(_LOG_LINES),
                )
            time.sleep(_POLL)
        return role

    def close(self) -> None:
        """End the process for good; the end of its log stays readable after its folder is removed."""
        with self._mutex:
            try:
                self.kill()
            finally:
                self._final_log = self.log(200) or self._final_log

    # Details

    def _running_process(self, verb: str) -> subprocess.Popen[bytes]:
        process = self._process
        if process is None or process.poll() is not None:
            raise ClusterError(f"cannot {verb} server {self.number}: it does not run{self._status_text()}")
        return process

    def _status_text(self) -> str:
        process = self._process
        return f" (exit status {process.returncode})" if process is not None and process.returncode is not None else ""

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        self._exit_status = process.returncode
        self._process = None
        self._paused = False

    def _signal(self, number: int) -> None:
        process = self._process
        if process is not None:
            process.send_signal(number)  # does nothing once the process was waited for

    def _command(self) -> list[str]:
        properties = {**_JAVA_PROPERTIES, "java.io.tmpdir": str(self._folder / "tmp"), **self._plan.java_properties}
        return [
            str(self._plan.distribution.java.executable),
            *_JVM_FLAGS,
            f"-Xmx{self._plan.heap_mb}m",
            *self._plan.jvm_flags,
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp",
            self._plan.distribution.classpath,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            str(self._folder / "zoo.cfg"),
        ]

    def _write_config(self) -> None:
        settings = {"dataDir": str(self._folder / "data"), **self._plan.config}
        if not self._plan.servers:  # an ensemble's lines name the client ports themselves
            settings |= {"clientPort": str(self.port), "clientPortAddress": HOST}
        lines = [f"{name}={value}" for name, value in settings.items()]
        (self._folder / "zoo.cfg").write_text("\n".join([*lines, *self._plan.servers, ""]), encoding="utf-8")

    def _write_data_folder(self) -> None:
        data = self._folder / "data"
        data.mkdir()
        if self._plan.servers:
            (data / "myid").write_text(f"{self.number}\n", encoding="ascii")


def is_port_conflict(log: str) -> bool:
    """Whether a log tells that somebody else took a port."""
    return re.search(r"BindException|Address already in use", log) is not None
