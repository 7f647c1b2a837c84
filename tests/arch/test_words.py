"""What no file of the house says."""

from __future__ import annotations

import re

from tests.arch.tree import ROOT, name, texts

# Joined here, so that this file does not say them either.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("files", "pythonhosted", "org"), ("registry", "npmjs", "org"), ("npmjs", "com"),
        ("crates", "io"), ("proxy", "golang", "org"), ("deb", "debian", "org"), ("docker", "io/"),
    )
]  # fmt: skip
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
OWN_TEXT = ("LICENSE",)


def test_no_file_names_a_package_registry() -> None:
    named = [f"{name(path)}: {host}" for path, text in texts() for host in REGISTRIES if host in text]
    assert named == []


def test_no_lock_file_tells_where_packages_come_from() -> None:
    locks = [
        path
        for path, _ in texts()
        if path.name in {"package-lock.json", "uv.lock", "requirements.txt", "requirements.lock"}
    ]
    telling = [
        name(path)
        for path in locks
        if re.search(r'"resolved"|--index-url|--extra-index-url|@ https?://', path.read_text(encoding="utf-8"))
    ]
    assert telling == []


def test_nothing_is_left_to_do_in_a_comment() -> None:
    left = [
        f"{name(path)}:{number}"
        for path, text in texts()
        if path.name not in OWN_TEXT
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert left == []


def test_no_file_names_the_place_where_it_was_written() -> None:
    place = re.compile(r"(?<![\w.}])/(" + "|".join(("wo" + "rk", "ro" + "ot")) + r")/")
    named = [f"{name(path)}: {found.group()}" for path, text in texts() for found in [place.search(text)] if found]
    assert named == []


def test_every_python_file_of_an_exception_to_the_linter_gives_its_reason() -> None:
    bare = re.compile(r"# noqa(?::\s*[A-Z0-9, ]+)?\s*$")
    without = [
        f"{name(path)}:{number}"
        for path, text in texts()
        if path.suffix == ".py" and path.is_relative_to(ROOT)
        for number, line in enumerate(text.splitlines(), 1)
        if bare.search(line)
    ]
    assert without == []
