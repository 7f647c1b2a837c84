"""Whatever an archive claims: it is refused with a sentence, or lands below its target, and nothing else changes."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.blobs.archive import ArchiveLimits, Unpacked, inspect, pack, unpack
from libs.kernel.errors import Invalid
from tests.unit.blobs.tars import entry, link, seen, stored, tar

names = st.lists(st.sampled_from(["a", "b", "c", ".", "..", "", "ü"]), min_size=1, max_size=4).map("/".join)
files = st.builds(entry, names.filter(bool), st.binary(max_size=20))
folders = st.builds(lambda name: entry(name, type=tarfile.DIRTYPE), names.filter(bool))
links = st.builds(link, names.filter(bool), names.filter(bool), st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE]))
odd = st.builds(
    lambda name, kind: entry(name, type=kind),
    names.filter(bool),
    st.sampled_from([tarfile.CHRTYPE, tarfile.FIFOTYPE, b"x", b"L", b"Q"]),
)
Entries = list[tuple[tarfile.TarInfo, bytes]]
archives = st.lists(st.one_of(files, folders, links, odd), max_size=8)
quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMITS = ArchiveLimits(max_bytes=1 << 20, max_files=100)


def judged(content: bytes, form: str = "plain") -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sentinel").write_text("untouched")
        source = stored(folder, content, form)
        out = folder / "jail" / "out"
        refused = refusal(lambda: unpack(source, out, limits=LIMITS))
        assert refusal(lambda: inspect(source, LIMITS)) == refused
        assert out.exists() == (refused is None)
        for path in out.rglob("*"):
            assert path.is_symlink() or path.is_file() or path.is_dir()
            assert not path.exists() or path.resolve().is_relative_to(out.resolve())
        if refused is None:
            assert_packs_again(out, folder)
        assert (folder / "sentinel").read_text() == "untouched"
        assert {path.name for path in folder.iterdir()} <= {"sentinel", "archive", "jail", "packed", "again"}


def refusal(read: Callable[[], Unpacked]) -> str | None:
    try:
        read()
    except Invalid as failure:
        return str(failure)
    return None


def assert_packs_again(out: Path, folder: Path) -> None:
    before = seen(out)
    pack(out, folder / "packed")
    unpack(folder / "packed", folder / "again")
    assert seen(folder / "again") == before


@quick
@given(archives)
def test_made_archives(entries: Entries) -> None:
    judged(tar(*entries))


@quick
@given(archives, st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=6), st.integers(0, 20_000))
def test_damaged_archives(entries: Entries, changes: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(tar(*entries))
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value
    judged(bytes(damaged[:cut] if cut % 3 == 0 else damaged))


@quick
@given(archives, st.data(), st.sampled_from(["gzip", "zstd"]))
def test_damaged_compressed_archives(entries: Entries, data: st.DataObject, form: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        damaged = bytearray(stored(Path(name), tar(*entries), form).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    judged(bytes(damaged))


@quick
@given(st.binary(max_size=3000))
def test_noise(content: bytes) -> None:
    judged(content)


@quick
@given(st.binary(max_size=512), st.binary(min_size=0, max_size=600))
def test_noise_with_a_good_sum(noise: bytes, rest: bytes) -> None:
    header = bytearray(noise.ljust(512, b"\0"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    judged(bytes(header) + rest + bytes(1024))
