"""--zk, its markers and its setting, in a pytest of their own."""

from __future__ import annotations

import pytest
from pytest_runs import NO_SERVER, run_inline

WHO = """
import pytest
from zk_testing import EmbeddedServer

def who(server):
    print("ran on", "embedded" if isinstance(server, EmbeddedServer) else "real", server.version)
"""


def ran_on(pytester: pytest.Pytester, tests: str, *arguments: str, **environment: str) -> list[str]:
    run = run_inline(pytester, WHO + tests, "-rP", *arguments, **environment)
    assert run.ret == 0, run.stdout.str()
    return [line.removeprefix("ran on ") for line in run.outlines if line.startswith("ran on ")]


def test_zk_embedded_needs_nothing_but_itself(pytester: pytest.Pytester) -> None:
    assert ran_on(pytester, "def test(zk_embedded): who(zk_embedded)", **NO_SERVER) == ["embedded 3.9.6"]
    assert ran_on(pytester, "def test(zk_embedded): who(zk_embedded)", "--zk=real", **NO_SERVER) == ["embedded 3.9.6"]
    tests = "def test(zk_embedded): who(zk_embedded)"
    assert ran_on(pytester, tests, "--zk=embedded:3.8.4,real", **NO_SERVER) == ["embedded 3.8.4"]


def test_zk_server_is_real_unless_told_otherwise(pytester: pytest.Pytester) -> None:
    tests = "def test(zk_server): who(zk_server)"
    assert ran_on(pytester, tests, "--zk=embedded", **NO_SERVER) == ["embedded 3.9.6"]
    skipped = run_inline(pytester, tests, **NO_SERVER)
    assert "1 skipped" in skipped.stdout.str() and "no ZooKeeper 3.9 can be had here" in skipped.stdout.str()


def test_each_value_is_a_run_of_its_own_with_a_name_that_tells(pytester: pytest.Pytester) -> None:
    tests = "@pytest.mark.parametrize('n', [1, 2])\ndef test(zk_server, n): who(zk_server)\ndef test_other(): pass"
    run = run_inline(pytester, WHO + tests, "--zk=embedded:3.6,embedded:3.8", "--zk", "embedded:newest", "-v")
    assert "7 passed" in run.stdout.str()
    for name in ("test[embedded-3.6-1]", "test[embedded-newest-2]", "test[embedded-3.8-1]", "test_other "):
        assert f"::{name}" in run.stdout.str(), run.stdout.str()


@pytest.mark.skipif(not hasattr(pytest, "HIDDEN_PARAM"), reason="pytest before 8.4 shows every parameter")
def test_a_single_value_leaves_the_names_of_the_tests_alone(pytester: pytest.Pytester) -> None:
    run = run_inline(pytester, "def test_it(zk_server): pass", "--zk=embedded", "-v")
    assert "::test_it PASSED" in run.stdout.str()


def test_a_marker_chooses(pytester: pytest.Pytester) -> None:
    tests = """
@pytest.mark.zk("embedded:3.7.2", "embedded:3.8.7")
def test(zk_server): who(zk_server)
"""
    assert ran_on(pytester, tests, **NO_SERVER) == ["embedded 3.7.2", "embedded 3.8.7"]


def test_a_marker_chooses_for_a_module(pytester: pytest.Pytester) -> None:
    tests = """
pytestmark = pytest.mark.zk("embedded:3.7.2")
def test_first(zk_server): who(zk_server)
@pytest.mark.zk("embedded:3.6.4")
def test_second(zk_server): who(zk_server)
"""
    assert ran_on(pytester, tests) == ["embedded 3.7.2", "embedded 3.6.4"]


def test_versions_are_chosen_by_a_marker_for_every_kind(pytester: pytest.Pytester) -> None:
    tests = """
@pytest.mark.zk_versions("3.6.4", "3.8.7")
def test(zk_embedded): who(zk_embedded)
"""
    assert ran_on(pytester, tests) == ["embedded 3.6.4", "embedded 3.8.7"]
    assert ran_on(pytester, tests, "--zk=real") == ["embedded 3.6.4", "embedded 3.8.7"]


def test_the_command_line_leaves_out_what_it_does_not_name(pytester: pytest.Pytester) -> None:
    tests = "@pytest.mark.zk('real')\ndef test(zk_server): pass\ndef test_other(zk_server): pass\n"
    run = run_inline(pytester, "import pytest\n" + tests, "--zk=embedded")
    assert "1 passed, 1 skipped" in run.stdout.str()
    assert "--zk=embedded leaves none of the servers that this test is for" in run.stdout.str()


def test_the_setting_is_a_default(pytester: pytest.Pytester) -> None:
    (pytester.path / "pytest.ini").write_text("[pytest]\nzk = embedded:3.6.4\n")
    tests = "def test(zk_server): who(zk_server)"
    assert ran_on(pytester, tests) == ["embedded 3.6.4"]
    assert ran_on(pytester, tests, "--zk=embedded") == ["embedded 3.9.6"]


def test_the_version_is_the_option_s_or_the_environment_s(pytester: pytest.Pytester) -> None:
    tests = "def test(zk_server): who(zk_server)"
    assert ran_on(pytester, tests, "--zk=embedded", "--zk-version=3.7.2") == ["embedded 3.7.2"]
    assert ran_on(pytester, tests, "--zk=embedded", ZK_TESTING_VERSION="3.7.2") == ["embedded 3.7.2"]


@pytest.mark.parametrize("arguments", [["--zk=fake"], ["--zk-version=three"], ["--zk="]])
def test_an_option_that_says_nothing_is_refused_before_any_test(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    run = run_inline(pytester, "def test_it(): pass", *arguments)
    assert run.ret == 4
    assert "zk-testing: a " in run.stderr.str()


def test_a_marker_that_says_nothing_is_an_error(pytester: pytest.Pytester) -> None:
    run = run_inline(pytester, "import pytest\n@pytest.mark.zk('fake')\ndef test_it(zk_server): pass")
    assert run.ret != 0
    assert "the marker of test_it: a server is" in run.stdout.str()


def test_the_methods_of_a_testcase_run_on_the_first_value(pytester: pytest.Pytester) -> None:
    tests = """
import unittest
class TestIt(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def bring(self, zk_server): self.server = zk_server
    def test(self): who(self.server)
"""
    assert ran_on(pytester, tests, "--zk=embedded:3.6.4,real") == ["embedded 3.6.4"]


def test_a_test_has_one_server(pytester: pytest.Pytester) -> None:
    tests = """
def test_own(zk_embedded, zk_hosts, zk_faults):
    assert zk_hosts.startswith(zk_embedded.hosts)
    assert zk_embedded.address in repr(zk_faults)
def test_named(zk_server, zk_embedded, zk_hosts):
    assert zk_hosts.startswith(zk_server.hosts)
def test_shared(zk_server, zk_chroot, zk_hosts):
    assert zk_hosts == zk_server.hosts + zk_chroot
"""
    run = run_inline(pytester, tests, "--zk=embedded")
    assert "3 passed" in run.stdout.str(), run.stdout.str()


def test_a_damaged_server_is_healed_for_the_next_test(pytester: pytest.Pytester) -> None:
    tests = """
def test_first(zk_server): zk_server.stop()
def test_second(zk_server): assert zk_server.running
def test_third(zk_embedded, zk_chroot): zk_embedded.stop()
"""
    run = run_inline(pytester, tests, "--zk=embedded")
    assert "3 passed" in run.stdout.str(), run.stdout.str()


def test_zk_settings_say_what_zk_embedded_is_and_the_choice_its_version(pytester: pytest.Pytester) -> None:
    tests = """
import pytest
from zk_testing import Settings

@pytest.fixture
def zk_settings(): return Settings(tick_ms=20, version="3.6")

def test(zk_embedded):
    who(zk_embedded)
    assert zk_embedded.core.settings.tick_ms == 20
"""
    assert ran_on(pytester, tests, "--zk=embedded:3.8.4", **NO_SERVER) == ["embedded 3.8.4"]


@pytest.mark.parametrize(
    "setting", ['auth_required=frozenset(["digest"])', 'super_credential="boss:pw"', "skip_acl=True"]
)
def test_a_test_has_its_path_whatever_its_settings_say_of_identities(pytester: pytest.Pytester, setting: str) -> None:
    tests = f"""
import pytest
from zk_testing import Settings
from zk_testing.rawclient import RawClient
from zk_wire import CREATOR_ALL_ACL, CreateRequest

@pytest.fixture
def zk_settings(): return Settings({setting})

def test(zk_embedded, zk_chroot):
    with RawClient(zk_embedded.address) as raw:
        raw.auth("digest", b"me:too")
        for path in (zk_chroot + "/a", zk_chroot + "/a/b"):
            raw.request(CreateRequest(path, b"", CREATOR_ALL_ACL, 0))
"""
    run = run_inline(pytester, tests, **NO_SERVER)
    assert "1 passed in" in run.stdout.str(), run.stdout.str()


def test_an_ensemble_is_embedded_where_it_is_asked_for_and_no_cluster_then(pytester: pytest.Pytester) -> None:
    tests = """
def test_damage(zk_cluster, zk_hosts):
    assert len(zk_cluster) == 3 and zk_hosts.startswith(zk_cluster.hosts)
    zk_cluster.leader().kill()
def test_healed(zk_cluster, request):
    assert len(zk_cluster.followers()) == 2 and not zk_cluster.damaged
    assert request.node.get_closest_marker("cluster") is None
"""
    run = run_inline(pytester, tests, "--zk=embedded", "-m", "not cluster", **NO_SERVER)
    assert "2 passed in" in run.stdout.str(), run.stdout.str()
