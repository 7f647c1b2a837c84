from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from libs.blobs.archive import ArchiveLimits, Packed, Unpacked, inspect, pack, unpack
from libs.kernel.errors import Conflict, Invalid
from tests.unit.blobs.tars import entry, link, seen, stored, tar

GOOD = tar(
    entry("./", type=tarfile.DIRTYPE),
    entry("./src", type=tarfile.DIRTYPE, mode=0o777),
    entry("./src/main.py", b"print(1)\n", mode=0o644),
    entry("run.sh", b"#!/bin/sh\n", mode=0o755),
    link("now", "src/main.py"),
    link("src/up", "../run.sh"),
    link("same", "run.sh", tarfile.LNKTYPE),
    entry("deep/er/file", b"x"),
    entry(f"{'long/' * 40}name", b"long"),
    entry("ünï ￿ 'quoted'\n", b"odd"),
)


@pytest.mark.parametrize("form", ["plain", "gzip", "zstd"])
def test_good_archive_is_unpacked_as_it_is(tmp_path: Path, form: str) -> None:
    source = stored(tmp_path, GOOD, form)
    held = unpack(source, tmp_path / "out")
    assert held == inspect(source) == Unpacked(10, 9 + 10 + 1 + 4 + 3)
    found = {name: text for name, text in seen(tmp_path / "out").items() if text != "/"}
    assert found == {
        "src/main.py": "print(1)\n",
        "run.sh": "#!/bin/sh\n",
        "now": "->src/main.py",
        "src/up": "->../run.sh",
        "same": "#!/bin/sh\n",
        "deep/er/file": "x",
        f"{'long/' * 40}name": "long",
        "ünï ￿ 'quoted'\n": "odd",
    }


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_dialect_of_tar_is_read(tmp_path: Path, form: int) -> None:
    name = f"{'d' * 80}/{'e' * 60}/{'f' * 90}"
    source = stored(tmp_path, tar(entry(name, b"x"), entry("a", b"y"), link("l", "a"), form=form))
    unpack(source, tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == b"x"
    assert (tmp_path / "out" / "l").read_bytes() == b"y"


def test_long_links_are_read(tmp_path: Path) -> None:
    target = "/".join(["t" * 90] * 3)
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = tmp_path / f"out-{form}"
        unpack(stored(tmp_path, tar(link("l", target), form=form)), out)
        assert str((out / "l").readlink()) == target


def test_modes_are_few_and_special_bits_are_dropped(tmp_path: Path) -> None:
    content = tar(
        entry("s", b"x", mode=0o7777, uid=0, gid=0),
        entry("f", b"x", mode=0o600),
        entry("d", type=tarfile.DIRTYPE, mode=0o1000),
    )
    unpack(stored(tmp_path, content), tmp_path / "out")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()}
    assert modes == {"s": 0o755, "f": 0o644, "d": 0o755}


def test_names_that_are_not_utf8_are_kept_as_they_are(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        archive.addfile(tarfile.TarInfo(name))
    unpack(stored(tmp_path, buffer.getvalue()), tmp_path / "out")
    assert [os.fsencode(path.name) for path in (tmp_path / "out").iterdir()] == [b"caf\xe9"]
    packed = tmp_path / "packed"
    pack(tmp_path / "out", packed)
    unpack(packed, tmp_path / "again")
    assert [os.fsencode(path.name) for path in (tmp_path / "again").iterdir()] == [b"caf\xe9"]


EVIL = {
    "parent": (tar(entry("../evil", b"x")), "leaves it"),
    "parent inside": (tar(entry("a/../../evil", b"x")), "leaves it"),
    "parent harmless": (tar(entry("a/../b", b"x")), "leaves it"),
    "absolute": (tar(entry("/etc/evil", b"x")), "absolute path"),
    "link absolute": (tar(link("l", "/etc/passwd")), "link that leaves"),
    "link up": (tar(link("a/l", "../../x")), "link that leaves"),
    "link through link": (tar(link("d", "."), link("e", "d/../..")), "link that leaves"),
    "link through later link": (tar(link("e", "d/x"), link("d", "..")), "link that leaves"),
    "link, then replaced": (tar(link("a/b", "../x"), link("x", "a/.."), link("y", "x/../../z")), "link that leaves"),
    "hardlink out": (tar(link("l", "../x", tarfile.LNKTYPE)), "leaves it"),
    "hardlink absolute": (tar(link("l", "/etc/passwd", tarfile.LNKTYPE)), "absolute path"),
    "hardlink to nothing": (tar(link("l", "x", tarfile.LNKTYPE)), "not in the archive before it"),
    "hardlink to link": (tar(link("s", "x"), link("l", "s", tarfile.LNKTYPE)), "not in the archive before it"),
    "hardlink to itself": (tar(entry("l", b"x"), link("l", "l", tarfile.LNKTYPE)), "not in the archive before it"),
    "hardlink to directory": (
        tar(entry("d", type=tarfile.DIRTYPE), link("l", "d", tarfile.LNKTYPE)),
        "not in the archive before it",
    ),
    "through a link": (tar(link("d", "x"), entry("d/evil", b"x")), "no directory"),
    "through a file": (tar(entry("d", b"x"), entry("d/evil", b"x")), "no directory"),
    "directory over link": (tar(link("d", "x"), entry("d", type=tarfile.DIRTYPE)), "both as a directory"),
    "file over directory": (tar(entry("d/f", b"x"), entry("d", b"x")), "both as a directory"),
    "file as root": (tar(entry(".", b"x")), "both as a directory"),
    "link as root": (tar(link("./", "x")), "both as a directory"),
    "character device": (tar(entry("d", type=tarfile.CHRTYPE)), "character device"),
    "block device": (tar(entry("d", type=tarfile.BLKTYPE)), "block device"),
    "pipe": (tar(entry("d", type=tarfile.FIFOTYPE)), "named pipe"),
    "sparse": (tar(entry("d", type=tarfile.GNUTYPE_SPARSE)), "sparse"),
    "unknown": (tar(entry("d", type=b"Z")), "unknown kind"),
    "long name": (tar(entry("n" * 256, b"x")), "too long"),
    "long path": (tar(entry("n/" * 2500 + "n", b"x")), "too long"),
    "deep path": (tar(entry("n/" * 201 + "n", b"x")), "too long"),
    "cut header": (tar(entry("a", b"x" * 2000))[:300], "cut short"),
    "cut content": (tar(entry("a", b"x" * 2000))[:1500], "cut short"),
    "no end": (tar(entry("a", b"x"))[:1024], "cut short"),
    "nothing": (b"", "cut short"),
    "a word": (b"garbage", "no tar archive, neither a plain one nor one packed with gzip or zstd"),
    "no tar": (b"PK\x03\x04" + b"zip" * 1000, "no tar archive"),
    "damaged": (b"b" + tar(entry("a", b"x"))[1:], "no tar archive"),
}


@pytest.mark.parametrize("case", list(EVIL))
@pytest.mark.parametrize("form", ["plain", "zstd"])
def test_evil_archive_is_refused_and_leaves_nothing(tmp_path: Path, case: str, form: str) -> None:
    content, says = EVIL[case]
    source = stored(tmp_path, content, form)
    with pytest.raises(Invalid, match=says):
        inspect(source)
    with pytest.raises(Invalid, match=says):
        unpack(source, tmp_path / "out" / "deep")
    assert seen(tmp_path / "out") == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "out"]


def test_damaged_compression_is_refused(tmp_path: Path) -> None:
    for form in ("gzip", "zstd"):
        source = stored(tmp_path, GOOD, form)
        whole = source.read_bytes()
        for broken in (whole[: len(whole) // 2], whole[:20] + b"\0\0\0\0\0\0" + whole[26:]):
            source.write_bytes(broken)
            with pytest.raises(Invalid, match=r"damaged|cut short|no tar"):
                unpack(source, tmp_path / "out")


def test_links_that_lead_outside_are_kept_when_allowed_and_never_followed(tmp_path: Path) -> None:
    source = stored(tmp_path, tar(link("bin/python", "/usr/bin/python3"), link("up", "../../x")))
    unpack(source, tmp_path / "out", foreign_links=True)
    assert seen(tmp_path / "out") == {"bin": "/", "bin/python": "->/usr/bin/python3", "up": "->../../x"}
    through = stored(tmp_path, tar(link("etc", "/etc"), entry("etc/evil", b"x")))
    with pytest.raises(Invalid, match="no directory"):
        unpack(through, tmp_path / "other", foreign_links=True)


def test_links_in_a_circle_are_harmless(tmp_path: Path) -> None:
    source = stored(tmp_path, tar(link("a", "b"), link("b", "a"), link("c", "c/../c"), link("d", "nowhere/../x")))
    assert unpack(source, tmp_path / "out").files == 4


def test_later_file_takes_the_place_of_an_earlier_file_or_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("kept")
    content = tar(
        entry("a", b"old"),
        link("hard", "a", tarfile.LNKTYPE),
        entry("a", b"new"),
        link("s", "a"),
        entry("s", b"file"),
        entry("t", b"file"),
        link("t", "a"),
    )
    unpack(stored(tmp_path, content), tmp_path / "out")
    assert seen(tmp_path / "out") == {"a": "new", "hard": "old", "s": "file", "t": "->a"}
    assert outside.read_text() == "kept"


def test_too_much_of_anything_is_refused(tmp_path: Path) -> None:
    many = stored(tmp_path, tar(*(entry(f"f{i}", b"x" * 10) for i in range(50))))
    assert inspect(many, ArchiveLimits(max_files=50, max_bytes=500)) == Unpacked(50, 500)
    with pytest.raises(Invalid, match="more than 49 entries"):
        unpack(many, tmp_path / "out", limits=ArchiveLimits(max_files=49))
    with pytest.raises(Invalid, match="more than 499 B"):
        unpack(many, tmp_path / "out", limits=ArchiveLimits(max_bytes=499))
    assert seen(tmp_path / "out") == {}


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_bomb_is_refused_long_before_it_is_unpacked(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.blobs.ledger.RATIO_FREE", 32 << 20)
    bomb = stored(tmp_path, tar(entry("a", b"x"), entry("data/zeros", bytes(80 << 20))), form)
    with pytest.raises(Invalid, match=r"32\.0 MiB and more than 100 times its size: .*“data/zeros”") as refused:
        inspect(bomb, ArchiveLimits(max_ratio=100))
    assert ".lightrailignore" in str(refused.value)
    assert inspect(bomb, ArchiveLimits(max_ratio=1_000_000)).bytes == (80 << 20) + 1


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_file_of_zeros_beside_a_small_source_is_no_bomb_but_counts(tmp_path: Path, form: str) -> None:
    source = stored(tmp_path, tar(entry("main.py", b"x = 1\n"), entry("zeros", bytes(60 << 20))), form)
    assert inspect(source).bytes == (60 << 20) + 6
    with pytest.raises(Invalid, match="more than 50"):
        inspect(source, ArchiveLimits(max_bytes=50 << 20))


def test_claimed_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info, _ = entry("huge")
    info.size = 1 << 50
    with pytest.raises(Invalid, match="more than"):
        inspect(stored(tmp_path, info.tobuf(tarfile.GNU_FORMAT)))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers_that_ask_for_memory_are_refused(tmp_path: Path, kind: bytes) -> None:
    info, _ = entry("x", type=kind)
    info.size = 3 << 20
    with pytest.raises(Invalid, match="larger than 1 MiB"):
        inspect(stored(tmp_path, info.tobuf() + bytes(3 << 20)))


def test_endless_headers_without_entries_are_refused(tmp_path: Path) -> None:
    info, _ = entry("x", type=b"x")
    with pytest.raises(Invalid, match="entries"):
        inspect(stored(tmp_path, info.tobuf() * 1000), ArchiveLimits(max_files=10))


@pytest.mark.parametrize(
    "records", [b"5 a=b\n", b"6 a=b", b"x", b"999999 a=b\n", b"-6 a=b\n", b"6 a:bc\n", b"4 =\n\n", b"99999999999 a=\n"]
)
def test_broken_extended_headers_are_refused(tmp_path: Path, records: bytes) -> None:
    info, _ = entry("x", type=b"x")
    info.size = len(records)
    content = info.tobuf() + records.ljust(512, b"\0") + tar(entry("a", b"x"))
    with pytest.raises(Invalid, match="broken extended header"):
        inspect(stored(tmp_path, content))


@pytest.mark.parametrize("size", [b"-1", b"12a", b"", b"9" * 30])
def test_extended_size_must_be_a_number(tmp_path: Path, size: bytes) -> None:
    record = b" size=" + size + b"\n"
    record = str(len(record) + 2).encode() + record
    info, _ = entry("x", type=b"x")
    info.size = len(record)
    content = info.tobuf() + record.ljust(512, b"\0") + tar(entry("a", b"x"))
    with pytest.raises(Invalid, match=r"number that is none|broken"):
        inspect(stored(tmp_path, content))


def test_bytes_that_are_not_those_of_the_digest_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "f").write_text("x")
    packed = pack(tmp_path / "in", tmp_path / "packed")
    assert unpack(tmp_path / "packed", tmp_path / "out", digest=packed.digest).files == 1
    with (tmp_path / "packed").open("ab") as file:
        file.write(b"more")
    with pytest.raises(Invalid, match="not those of"):
        unpack(tmp_path / "packed", tmp_path / "other", digest=packed.digest)
    assert not (tmp_path / "other").exists()


def test_directory_that_is_not_empty_is_not_unpacked_into(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(Conflict, match="not empty"):
        unpack(stored(tmp_path, GOOD), tmp_path)
    assert (tmp_path / "mine").exists()


def test_packing_depends_on_content_alone(tmp_path: Path) -> None:
    digests = set()
    for number, names in enumerate((("b", "a", "sub/c"), ("sub/c", "a", "b"))):
        folder = tmp_path / str(number)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
            os.utime(folder / name, (number, number))
            (folder / name).chmod(0o600 if number else 0o644)
        (folder / "link").symlink_to("a")
        digests.add(pack(folder, tmp_path / "out", prefix="app/").digest)
    assert len(digests) == 1
    unpack(tmp_path / "out", tmp_path / "back")
    assert seen(tmp_path / "back" / "app") == {"a": "a", "b": "b", "link": "->a", "sub": "/", "sub/c": "sub/c"}


def test_packing_leaves_out_what_is_skipped_and_what_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "node_modules" / "x").mkdir(parents=True)
    (folder / "keep").write_text("k")
    os.mkfifo(folder / "pipe")
    packed = pack(folder, tmp_path / "out", skip=lambda name: name == "node_modules")
    assert packed == Packed(1, 1, packed.digest, (tmp_path / "out").stat().st_size)
    unpack(tmp_path / "out", tmp_path / "back")
    assert seen(tmp_path / "back") == {"keep": "k"}


def test_packing_stops_at_its_limits(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(Invalid, match="more than"):
        pack(folder, tmp_path / "out", limits=ArchiveLimits(max_bytes=1 << 30))
