"""Where packages come from: uv asks where pip would, so that a machine is set up once for both.

Rule: what is set for uv itself is left alone.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import MutableMapping

# uv's settings, and what pip calls the same.
SETTINGS = {
    "UV_DEFAULT_INDEX": "index-url",
    "UV_INDEX": "extra-index-url",
    "SSL_CERT_FILE": "cert",
}
# Where pip's settings for installing come from; the later ones win.
SECTIONS = ("global", "install", ":env:")


def share_with_uv(environment: MutableMapping[str, str]) -> None:
    """Give uv pip's settings, from its files and from *environment*, which is changed."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, env=environment
    )
    settings = read_settings(asked.stdout)
    for variable, name in SETTINGS.items():
        if name in settings:
            environment.setdefault(variable, settings[name])


def read_settings(listing: str) -> dict[str, str]:
    """The settings for installing in what ``pip config list`` prints, each as uv takes it: several with spaces."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in found and value:
            found[section][key] = " ".join(str(ast.literal_eval(value)).split())
    return {key: value for section in SECTIONS for key, value in found[section].items()}
