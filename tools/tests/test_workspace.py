"""What the tools know about the packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.workspace import read_packages, requirement_name, with_requirements

if TYPE_CHECKING:
    from conftest import Repository


def test_packages_come_from_the_bottom_up(repository: Repository) -> None:
    assert [package.name for package in read_packages(repository.root)] == ["toy-wire", "toy-client"]


def test_this_repository_has_its_four_packages_from_the_bottom_up() -> None:
    names = [package.name for package in read_packages()]

    assert set(names) == {"zk-wire", "zk-client", "zk-testing", "zk-recipes"}
    assert names[0] == "zk-wire"
    assert names.index("zk-client") < names.index("zk-recipes")


def test_the_client_and_the_test_tools_do_not_need_each_other() -> None:
    needed = {package.name: set(package.required_names) for package in read_packages()}

    assert needed["zk-testing"] == {"zk-wire"}
    assert needed["zk-client"] == {"zk-wire"}


def test_a_circle_is_refused_by_name(repository: Repository) -> None:
    repository.add_package("toy-wire", ["toy-client~=0.1.0"])

    with pytest.raises(ValueError, match="circle: toy-client, toy-wire"):
        read_packages(repository.root)


def test_the_version_is_read_from_its_one_line(repository: Repository) -> None:
    repository.write("packages/toy-wire/src/toy_wire/_version.py", '"""The version."""\n\n__version__ = "1.2.3"\n')

    assert read_packages(repository.root)[0].version == "1.2.3"


def test_a_version_file_without_the_line_is_refused_by_name(repository: Repository) -> None:
    repository.write("packages/toy-wire/src/toy_wire/_version.py", "version = 1\n")

    with pytest.raises(ValueError, match=r"_version\.py: expected one line"):
        _ = read_packages(repository.root)[0].version


def test_requirements_are_followed_to_the_bottom(repository: Repository) -> None:
    repository.add_package("toy-recipes", ["toy-client~=0.1.0"])
    packages = read_packages(repository.root)

    chosen = with_requirements(["toy-recipes"], packages)

    assert [package.name for package in chosen] == ["toy-wire", "toy-client", "toy-recipes"]


@pytest.mark.parametrize("requirement", ["zk-wire", "zk-wire~=0.1.0", "zk-wire>=1", "zk-wire ~= 1.0"])
def test_a_requirement_begins_with_its_name(requirement: str) -> None:
    assert requirement_name(requirement) == "zk-wire"


def test_a_requirement_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`~=0\.1` does not begin with a name"):
        requirement_name("~=0.1")
