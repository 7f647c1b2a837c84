"""Layers of artifacts, as they are unpacked before they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.blobs.archive import pack
from libs.blobs.directory import DirectoryBlobs
from libs.kernel.units import MIB
from services.deploy.adapters.layers import Layers


async def test_a_build_may_leave_a_file_of_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Below it nobody asks how much smaller an archive is than its content.
    monkeypatch.setattr("libs.blobs.ledger.RATIO_FREE", MIB)
    made, blobs = tmp_path / "made", DirectoryBlobs(tmp_path / "blobs")
    made.mkdir()
    with (made / "empty.img").open("wb") as file:
        file.truncate(64 * MIB)
    packed = pack(made, tmp_path / "layer")
    assert packed.bytes > 2_000 * packed.size
    await blobs.put_file(tmp_path / "layer")
    place = await Layers(tmp_path / "layers", blobs).shared(packed.digest)
    assert (place / "empty.img").stat().st_size == 64 * MIB
