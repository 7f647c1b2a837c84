"""The local keyring: what was sealed for one place opens for no other, and no bad key file is accepted."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from libs.keyring.local import LocalKeyring, read_key

PLACE = ("wsp_1", "env_1", "svc_1", "TOKEN", "open")
KEY = bytes(range(32))


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "key"
    path.write_text(text)
    path.chmod(mode)
    return path


async def test_a_value_comes_back(tmp_path: Path) -> None:
    keyring = LocalKeyring.from_file(key_file(tmp_path, base64.b64encode(KEY).decode() + "\n"), "variable")
    boxes = await keyring.seal([(PLACE, b"hunter2"), (PLACE, b""), (PLACE, b"hunter2")])
    assert await keyring.open([(PLACE, box) for box in boxes]) == [b"hunter2", b"", b"hunter2"]
    assert boxes[0] != boxes[2]
    assert all(b"hunter2" not in box for box in boxes)


@pytest.mark.parametrize("part", range(len(PLACE)))
async def test_a_box_in_another_place_does_not_open(part: int) -> None:
    keyring = LocalKeyring(Secret(KEY), "variable")
    box = (await keyring.seal([(PLACE, b"hunter2")]))[0]
    moved = tuple(text + "x" if index == part else text for index, text in enumerate(PLACE))
    with pytest.raises(Invalid, match="changed or moved"):
        await keyring.open([(moved, box)])


async def test_places_that_read_alike_are_not_alike() -> None:
    keyring = LocalKeyring(Secret(KEY), "variable")
    box = (await keyring.seal([(("a", "bc"), b"x")]))[0]
    with pytest.raises(Invalid):
        await keyring.open([(("ab", "c"), box)])
    with pytest.raises(Invalid, match="zero byte"):
        await keyring.seal([(("a\0b",), b"x")])


async def test_a_changed_byte_anywhere_is_noticed() -> None:
    keyring = LocalKeyring(Secret(KEY), "variable")
    box = (await keyring.seal([(PLACE, b"hunter2")]))[0]
    for index in range(len(box)):
        changed = bytearray(box)
        changed[index] ^= 1
        with pytest.raises(Invalid):
            await keyring.open([(PLACE, bytes(changed))])
    with pytest.raises(Invalid):
        await keyring.open([(PLACE, box[:20])])


async def test_another_key_opens_nothing_and_has_another_id() -> None:
    one, other = LocalKeyring(Secret(KEY), "variable"), LocalKeyring(Secret(KEY[::-1]), "variable")
    assert one.key_id == LocalKeyring(Secret(KEY), "variable").key_id != other.key_id
    with pytest.raises(Invalid, match="another key"):
        await other.open([(PLACE, (await one.seal([(PLACE, b"x")]))[0])])


async def test_a_box_of_another_purpose_does_not_open() -> None:
    box = (await LocalKeyring(Secret(KEY), "deployment").seal([(PLACE, b"x")]))[0]
    with pytest.raises(Invalid, match="changed or moved"):
        await LocalKeyring(Secret(KEY), "variable").open([(PLACE, box)])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has 0 bytes"),
        ("changeme", "has 6 bytes"),
        ("not base64!", "is not base64"),
        (base64.b64encode(bytes(16)).decode(), "has 16 bytes"),
        (base64.b64encode(bytes(32)).decode(), "is a placeholder"),
        (base64.b64encode(b"secret" * 5 + b"se").decode(), "is a placeholder"),
    ],
)
def test_a_file_without_a_real_key_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence) as caught:
        read_key(key_file(tmp_path, text))
    assert "openssl rand" in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(Invalid, match=f"mode {mode:04o}"):
        read_key(key_file(tmp_path, base64.b64encode(KEY).decode(), mode))


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        read_key(tmp_path / "nothing")
    with pytest.raises(Invalid, match="cannot be read"):
        read_key(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Invalid, match="no regular file"):
        read_key(tmp_path / "pipe")


def test_the_key_is_in_no_message(tmp_path: Path) -> None:
    text = base64.b64encode(KEY).decode()
    with pytest.raises(Invalid) as caught:
        read_key(key_file(tmp_path, text, 0o644))
    assert text not in str(caught.value)
    assert text not in repr(read_key(key_file(tmp_path, text)))
