"""uv asks where pip would."""

from __future__ import annotations

import os
from pathlib import Path

from tools import index

LISTING = r"""
:env:.index-url='https://env.test/simple'
freeze.index-url='https://freeze.test/simple'
global.cert='/etc/ca.crt'
global.index-url='https://global.test/simple'
install.extra-index-url='\nhttps://one.test/simple\nhttps://two.test/simple'
install.index-url='https://install.test/simple'
"""


def test_what_comes_later_wins_and_other_commands_settings_count_for_nothing() -> None:
    settings = index.read_settings(LISTING)

    assert settings == {
        "cert": "/etc/ca.crt",
        "index-url": "https://env.test/simple",
        "extra-index-url": "https://one.test/simple https://two.test/simple",
    }


def test_uv_is_given_what_pip_was_told_and_keeps_what_it_was_told_itself(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://pip.test/simple\ncert = /pip.crt\n", encoding="utf-8")
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "SSL_"))}
    environment = {**others, "PIP_CONFIG_FILE": str(config), "SSL_CERT_FILE": "/uv.crt"}

    index.share_with_uv(environment)

    assert environment["UV_DEFAULT_INDEX"] == "https://pip.test/simple"
    assert environment["SSL_CERT_FILE"] == "/uv.crt"
    assert "UV_INDEX" not in environment


def test_without_settings_of_pip_nothing_is_changed(tmp_path: Path) -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "SSL_"))}
    environment = {**others, "PIP_CONFIG_FILE": os.devnull}

    index.share_with_uv(environment)

    assert environment == {**others, "PIP_CONFIG_FILE": os.devnull}
