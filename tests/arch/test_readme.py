"""The README's map is the tree."""

from __future__ import annotations

import ast
import itertools
import re
import shlex

import pytest
from cyclopts import CycloptsError

from libs.cli import main
from tests.arch.tree import LIBS, ROOT, SERVICES, folders, services, sources

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").rglob("README.md"))


def drawn() -> dict[str, set[str]]:
    """Gives the map as folder -> names of the folders it draws inside; "" is the root."""
    block = re.search(r"## Map of the house\n.*?```\n(.*?)```", README, re.DOTALL)
    assert block, "README.md has no map"
    found: dict[str, set[str]] = {"": set()}
    above = ""
    for line in block.group(1).splitlines():
        shape = re.match(r"( *)([\w.{},-]+/)", line)
        if not shape:
            continue
        indent, entry = len(shape.group(1)), shape.group(2).rstrip("/")
        if indent == 0:
            above = entry
            found[""].add(entry)
            found.setdefault(entry, set())
        else:
            found[above].add(entry)
    return found


def test_the_map_draws_every_folder_and_no_other() -> None:
    drawing = drawn()
    assert drawing[""] == set(folders(ROOT))
    assert drawing["libs"] == set(folders(LIBS))
    assert drawing["services"] == set(services())
    assert drawing["tests"] == set(folders(ROOT / "tests"))


def test_every_file_the_documents_link_to_exists() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_setting_is_documented() -> None:
    settings = {
        argument.value
        for room in (SERVICES, LIBS)
        for path in sources(room)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting"
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    assert settings
    assert sorted(name for name in settings if name not in text) == []


def spelled_out(line: str) -> list[list[str]]:
    """Gives the commands that a line of the documents stands for: with each choice of every [A | B]."""
    parts = re.split(r"(?<= )\[([^]]+)\]", line)
    choices = [part.split("|") if index % 2 else [part] for index, part in enumerate(parts)]
    return [shlex.split(" ".join(chosen), comments=True) for chosen in itertools.product(*choices)]


def test_notation_of_commands_is_read() -> None:
    assert spelled_out("up [DIR|--new NAME] -d  # goes on") == [["up", "DIR", "-d"], ["up", "--new", "NAME", "-d"]]


def test_every_command_the_documents_name_can_be_typed() -> None:
    lr = main.build()
    seen = 0
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *EXAMPLES]:
        text = document.read_text(encoding="utf-8")
        for line in re.findall(r"^lr (.+)$", text, re.MULTILINE) + re.findall(r"`lr\s([^`]+)`", text):
            for words in spelled_out(line):
                seen += 1
                try:
                    lr.parse_args(words, exit_on_error=False, print_error=False)
                except CycloptsError as error:
                    pytest.fail(f"{document.name} names lr {line}: {error}")
    assert seen > 50
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        text = document.read_text(encoding="utf-8")
        for word in re.findall(r"(?:^|`)make ([a-z0-9]+)", text, re.MULTILINE):
            assert re.search(rf"^{word}[: ]", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), word


def test_every_adr_has_a_number_of_its_own_a_status_and_a_reason() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [path.name[:4] for path in records]
    assert numbers == sorted(set(numbers))
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {path.name[:4]}", text), path.name
        for heading in ("Status:", "## Why", "## Decision", "## What follows"):
            assert heading in text, f"{path.name} lacks {heading}"


def test_every_example_is_described_and_tested() -> None:
    described = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "e2e").glob("*.py"))
    for example in folders(ROOT / "examples"):
        assert f"| {example} |" in described, f"examples/README.md does not list {example}"
        assert f'"{example}"' in tests, f"no end-to-end test uses {example}"
        assert (ROOT / "examples" / example / "README.md").exists()
