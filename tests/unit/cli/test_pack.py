"""What goes into an archive, and what stays out."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from libs.cli.pack import pack
from libs.kernel.errors import Invalid


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")


def names_in(root: Path) -> set[str]:
    with pack(root).file as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
        return {member.name for member in archive if not member.isdir()}


def ignore(root: Path, name: str, *lines: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_what_is_never_source_stays_out(tmp_path: Path) -> None:
    write(
        tmp_path, "main.py", ".git/config", ".venv/bin/python", "a/node_modules/x.js", "a/__pycache__/x.pyc", "a/b.py"
    )
    assert names_in(tmp_path) == {"main.py", "a/b.py"}


def test_gitignore_is_read_in_every_directory(tmp_path: Path) -> None:
    write(tmp_path, "keep.py", "debug.log", "build/out.js", "sub/secret.txt", "sub/keep.txt", "other/secret.txt")
    ignore(tmp_path, ".gitignore", "# comment", "*.log", "/build/")
    ignore(tmp_path, "sub/.gitignore", "secret.txt")
    assert names_in(tmp_path) == {
        ".gitignore", "keep.py", "sub/.gitignore", "sub/keep.txt", "other/secret.txt",
    }  # fmt: skip


def test_a_deeper_gitignore_may_bring_a_file_back(tmp_path: Path) -> None:
    write(tmp_path, "a.log", "sub/b.log")
    ignore(tmp_path, ".gitignore", "*.log")
    ignore(tmp_path, "sub/.gitignore", "!b.log")
    assert names_in(tmp_path) == {".gitignore", "sub/.gitignore", "sub/b.log"}


def test_lightrailignore_has_the_last_word(tmp_path: Path) -> None:
    write(tmp_path, "index.js", "dist/app.js", "dist/app.map", "notes.md")
    ignore(tmp_path, ".gitignore", "dist/")
    ignore(tmp_path, ".lightrailignore", "!dist/", "!dist/*.js", "*.map", "notes.md")
    assert names_in(tmp_path) == {".gitignore", ".lightrailignore", "index.js", "dist/app.js"}


def test_dockerignore_means_paths_from_the_root(tmp_path: Path) -> None:
    write(tmp_path, "data", "sub/data", "app.py", "tests/x.py")
    ignore(tmp_path, ".dockerignore", "data", "./tests")
    assert names_in(tmp_path) == {".dockerignore", "app.py", "sub/data"}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for number, copy in enumerate(("one", "two"), start=1):
        write(tmp_path / copy, "b.py", "a/c.py")
        for path in (tmp_path / copy).rglob("*"):
            os.utime(path, (number, number))  # a clone, a touch: the same source nevertheless
    first, second = pack(tmp_path / "one"), pack(tmp_path / "two")
    with first.file, second.file:
        assert first.file.read() == second.file.read()


def test_links_stay_links_modes_keep_only_the_executable_bit_and_owners_leave(tmp_path: Path) -> None:
    write(tmp_path, "run.sh", "data.txt")
    (tmp_path / "run.sh").chmod(0o4750)
    (tmp_path / "data.txt").chmod(0o600)
    (tmp_path / "latest").symlink_to("data.txt")
    with pack(tmp_path).file as file, tarfile.open(fileobj=file, mode="r:gz") as archive:
        members = {member.name: member for member in archive}
    assert members["latest"].issym()
    assert members["latest"].linkname == "data.txt"
    assert (members["run.sh"].mode, members["data.txt"].mode) == (0o755, 0o644)
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "")}


def test_a_link_to_a_directory_outside_is_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    write(outside, "secret")
    write(inside, "app.py")
    (inside / "link").symlink_to(outside)
    assert names_in(inside) == {"app.py", "link"}


def test_pipes_and_sockets_are_left_out_and_named(tmp_path: Path) -> None:
    write(tmp_path, "app.py")
    os.mkfifo(tmp_path / "pipe")
    packed = pack(tmp_path)
    packed.file.close()
    assert (packed.files, packed.left_out) == (1, ["pipe"])


def test_names_of_any_length_and_script(tmp_path: Path) -> None:
    long = "/".join(["d" * 100] * 3) + "/файл.txt"
    write(tmp_path, long, "with space.txt")
    assert names_in(tmp_path) == {long, "with space.txt"}


@pytest.mark.parametrize("names", [[], ["node_modules/x.js"], [".git/config"]])
def test_nothing_to_deploy_is_a_sentence(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path, *names)
    with pytest.raises(Invalid, match="no files"):
        pack(tmp_path)


def test_everything_ignored_is_nothing_to_deploy(tmp_path: Path) -> None:
    write(tmp_path, "app.py")
    ignore(tmp_path, ".gitignore", "*")
    with pytest.raises(Invalid, match="no files"):
        pack(tmp_path)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    write(tmp_path, "app.py")
    with pytest.raises(Invalid, match="no directory"):
        pack(tmp_path / "app.py")


def test_the_size_told_is_the_size_sent(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(os.urandom(300_000))
    packed = pack(tmp_path)
    with packed.file:
        assert len(packed.file.read()) == packed.size > 300_000
