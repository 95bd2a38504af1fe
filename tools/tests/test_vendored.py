"""The rewriting of tests for a copy under another name."""

from __future__ import annotations

import pytest

from tools.vendored import rewrite


def test_what_was_copied_as_well_is_imported_from_the_copy_and_fixtures_keep_their_names() -> None:
    before = "from zk_wire import ACL\n    import zk_client.port\ndef test(zk_client): zk_client.get('/')\n"
    after = before.replace("from zk_wire", "from toyapp._vendor.zk_wire").replace(
        "import zk_client.port", "import toyapp._vendor.zk_client.port"
    )
    assert rewrite(before, ["zk_client", "zk_wire"]) == after


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
