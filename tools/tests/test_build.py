"""The proof that the wheel from the sdist is the wheel from the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.build import compare


def test_equal_wheels_are_accepted(tmp_path: Path) -> None:
    one, other = tmp_path / "one.whl", tmp_path / "other.whl"
    one.write_bytes(b"wheel")
    other.write_bytes(b"wheel")

    compare(one, other)


def test_wheels_that_differ_in_one_byte_are_refused_with_both_hashes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.whl", tmp_path / "other.whl"
    one.write_bytes(b"wheel")
    other.write_bytes(b"wheeL")

    with pytest.raises(ValueError, match=r"one\.whl: the wheel from the sdist \([0-9a-f]{16}\) differs"):
        compare(one, other)
