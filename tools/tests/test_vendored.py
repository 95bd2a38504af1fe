"""The rewriting of tests for a copy under another name."""

from __future__ import annotations

import pytest

from tools.vendored import rewrite


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from zk_recipes import Lock", "from toyapp._vendor.zk_recipes import Lock"),
        ("from zk_recipes.lock import X", "from toyapp._vendor.zk_recipes.lock import X"),
        ('caplog.at_level("INFO", "zk_recipes.lock")', 'caplog.at_level("INFO", "toyapp._vendor.zk_recipes.lock")'),
        ("from zk_client import Client", "from zk_client import Client"),
        ("my_zk_recipes = 1", "my_zk_recipes = 1"),
    ],
)
def test_only_the_import_name_is_rewritten(before: str, after: str) -> None:
    assert rewrite(before) == after
