"""The sum of several pytest runs."""

from __future__ import annotations

from pathlib import Path

from tools.summary import Counts, lines, read


def report(path: Path, **counts: object) -> Path:
    attributes = " ".join(f'{name}="{count}"' for name, count in counts.items())
    path.write_text(f"<testsuites><testsuite {attributes}/></testsuites>", encoding="utf-8")
    return path


def test_what_did_not_fail_err_or_skip_has_passed(tmp_path: Path) -> None:
    path = report(tmp_path / "a.xml", tests=10, failures=1, errors=2, skipped=3, time=1.5)

    assert read(path) == Counts(passed=4, failed=1, errors=2, skipped=3, seconds=1.5)


def test_a_run_that_left_no_report_is_an_error(tmp_path: Path) -> None:
    assert read(tmp_path / "never.xml") == Counts(errors=1)


def test_a_broken_report_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.xml"
    path.write_text("<testsuites>", encoding="utf-8")

    assert read(path) == Counts(errors=1)


def test_the_last_line_is_the_sum_in_the_form_of_pytest(tmp_path: Path) -> None:
    one = report(tmp_path / "one.xml", tests=10, failures=0, errors=0, skipped=1, time=2)
    other = report(tmp_path / "other.xml", tests=5, failures=1, errors=0, skipped=0, time=3)

    assert lines([one, other])[-1].strip("= ") == "1 failed, 13 passed, 1 skipped in 5.00s"


def test_each_run_has_its_line(tmp_path: Path) -> None:
    one = report(tmp_path / "zk-wire on 3.12.xml", tests=1, failures=0, errors=0, skipped=0, time=2)

    assert lines([one])[0].split("  ")[0] == "zk-wire on 3.12"


def test_no_run_says_so() -> None:
    assert lines([])[-1].strip("= ") == "no tests ran in 0.00s"
