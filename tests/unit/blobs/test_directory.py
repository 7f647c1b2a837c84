from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.blobs.directory import DirectoryBlobs, DirectoryWriter
from libs.blobs.port import Blob, Blobs, hex_of
from libs.kernel.errors import Exhausted, Invalid, NotFound, Unavailable


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return DirectoryBlobs(tmp_path / "blobs")


def blob_of(content: bytes) -> Blob:
    return Blob(f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))


async def content_of(blobs: Blobs, digest: str) -> bytes:
    return b"".join([chunk async for chunk in blobs.open_read(digest)])


async def test_what_is_put_comes_back_under_its_digest(blobs: Blobs) -> None:
    content = b"x" * 3_000_000 + b"end"
    blob = await blobs.put_bytes(content)
    assert blob == blob_of(content)
    assert await content_of(blobs, blob.digest) == content
    assert (await blobs.path(blob.digest)).read_bytes() == content
    assert await blobs.exists(blob.digest)
    assert await blobs.list() == [blob]


async def test_file_is_copied_or_moved(blobs: Blobs, tmp_path: Path) -> None:
    kept, moved = tmp_path / "kept", tmp_path / "moved"
    kept.write_bytes(b"kept")
    moved.write_bytes(b"moved")
    assert await blobs.put_file(kept) == blob_of(b"kept")
    assert await blobs.put_file(moved, move=True) == blob_of(b"moved")
    assert (kept.exists(), moved.exists()) == (True, False)
    assert await content_of(blobs, blob_of(b"moved").digest) == b"moved"


async def test_same_bytes_are_stored_once_also_at_the_same_time(blobs: Blobs) -> None:
    made = await asyncio.gather(*(blobs.put_bytes(b"same") for _ in range(8)))
    assert set(made) == {blob_of(b"same")}
    assert await blobs.list() == [blob_of(b"same")]


async def test_stream_becomes_a_blob_only_when_it_ends_well(blobs: Blobs, tmp_path: Path) -> None:
    async with blobs.writer() as writer:
        await writer.write(b"one")
        assert (writer.size, writer.blob) == (3, None)
        await writer.write(b"two")
    assert writer.blob == blob_of(b"onetwo")
    with pytest.raises(Unavailable):
        await _torn(blobs)
    assert await blobs.list() == [blob_of(b"onetwo")]
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []


async def _torn(blobs: Blobs) -> None:
    async with blobs.writer() as writer:
        await writer.write(b"torn")
        raise Unavailable("the line went dead")


async def test_missing_blob_is_said(blobs: Blobs) -> None:
    digest = blob_of(b"nothing").digest
    assert not await blobs.exists(digest)
    with pytest.raises(NotFound, match="not stored"):
        await blobs.path(digest)
    with pytest.raises(NotFound):
        await content_of(blobs, digest)
    await blobs.delete(digest)


async def test_deleted_blob_is_gone(blobs: Blobs) -> None:
    blob = await blobs.put_bytes(b"x")
    await blobs.delete(blob.digest)
    assert await blobs.list() == []


async def test_opening_removes_what_dead_writers_left_and_spares_what_is_being_written(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    (tmp_path / "incoming" / "abandoned").write_bytes(b"half")
    async with blobs.writer() as writer:
        await writer.write(b"alive")
        DirectoryBlobs(tmp_path)
        assert len(list((tmp_path / "incoming").iterdir())) == 1
    assert await blobs.list() == [blob_of(b"alive")]


async def test_full_disk_is_said_as_such(blobs: Blobs, tmp_path: Path) -> None:
    writer = DirectoryWriter(tmp_path / "blobs" / "incoming")
    writer._file.close()
    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230 - a test
        writer._file = full
        with pytest.raises(Exhausted, match="full"):
            await writer.write(b"x")
    writer.close()
    assert await blobs.list() == []


@pytest.mark.parametrize("wrong", ["", "sha256:", "sha256:../../x", "md5:" + "0" * 64, "sha256:" + "A" * 64, "0" * 64])
async def test_what_is_no_digest_is_never_a_path(blobs: Blobs, wrong: str) -> None:
    for call in (blobs.path(wrong), blobs.exists(wrong), blobs.delete(wrong)):
        with pytest.raises(Invalid, match="no digest"):
            await call


@settings(max_examples=50)
@given(st.text(max_size=80))
def test_digests_have_one_shape(text: str) -> None:
    try:
        digits = hex_of(text)
    except Invalid:
        return
    assert text == f"sha256:{digits}"
    assert len(digits) == 64
