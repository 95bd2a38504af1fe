"""Node paths: which are legal, and how they are put together and taken apart.

Rule: prefixes are compared by component, so "/app" is not an ancestor of "/app2".

A path is absolute, does not end in "/", has no empty, "." or ".." component, and none of the
characters Java refuses: controls, surrogates, private use, U+FFF0 to U+FFFF, and everything
above U+FFFF, because Java looks at UTF-16 units.  Source: PathUtils.validatePath.
"""

from __future__ import annotations

from .errors import InvalidPathError


def check_path(path: str, *, sequential: bool = False) -> None:
    """Raise InvalidPathError, which names rule and position, for a path that no server accepts.

    sequential: the server will append a number, so the path may end in "/", "." or "..".
    Raises TypeError for anything but a str.
    """
    # In one line the paths most people use; whatever it does not pass is looked at properly.
    if (
        path.__class__ is str
        and path[:1] == "/"
        and path[-1] != "/"
        and "//" not in path
        and "/." not in path
        and path.isascii()
        and path.isprintable()
    ):
        return
    _check_slowly(path, sequential)


def _check_slowly(given: object, sequential: bool) -> None:
    """Check a path character by character."""
    if not isinstance(given, str):
        raise TypeError(f"a path must be a str, not {type(given).__name__}")
    path = given + "1" if sequential else given
    if not given:
        raise InvalidPathError(given, "empty path")
    if path[0] != "/":
        raise InvalidPathError(given, "does not start with /", 0)
    if path == "/":
        return
    for position, character in enumerate(path):
        if _is_refused(ord(character)):
            raise InvalidPathError(given, f"character U+{ord(character):04X} is not allowed", position)
    position = 0
    for component in path[1:].split("/"):
        position += 1
        if component == "":
            if position == len(path):
                raise InvalidPathError(given, "ends with /", position - 1)
            raise InvalidPathError(given, "empty segment", position)
        if component in (".", ".."):
            raise InvalidPathError(given, f'relative segment "{component}"', position)
        position += len(component)


def _is_refused(code: int) -> bool:
    return (
        code < 0x20
        or 0x7F <= code <= 0x9F
        or 0xD800 <= code <= 0xF8FF  # surrogates and private use
        or code >= 0xFFF0
    )


def join_path(parent: str, *names: str) -> str:
    """Return the path of `names`, one below the other, under `parent`.

    A last name of "" gives a path that ends in "/", as a nameless sequential create wants it.
    """
    return "/".join(("" if parent == "/" else parent, *names)) if names else parent


def split_path(path: str) -> tuple[str, str]:
    """Return (parent, name); the root is its own parent and has the name ""."""
    parent, _slash, name = path.rpartition("/")
    return parent or "/", name


def parent_path(path: str) -> str:
    """Return the path of the parent; the root is its own parent."""
    return path.rpartition("/")[0] or "/"


def is_below(path: str, ancestor: str) -> bool:
    """Whether `path` is `ancestor` or a descendant of it."""
    return path == ancestor or path.startswith(ancestor if ancestor == "/" else ancestor + "/")


def add_chroot(chroot: str, path: str) -> str:
    """Return the server's path for a client's path; "" is no chroot."""
    if not chroot:
        return path
    return chroot if path == "/" else chroot + path


def strip_chroot(chroot: str, path: str) -> str | None:
    """Return the client's path for a server's path, or None when it lies outside of the chroot."""
    if not chroot:
        return path
    if path == chroot:
        return "/"
    return path[len(chroot) :] if path.startswith(chroot + "/") else None
