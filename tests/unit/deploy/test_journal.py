from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.deploy.app.journal import LONGEST_LINE, hidden, mask, secret_looking, split


def test_line_without_an_end_waits_until_the_process_ended() -> None:
    assert split(b"one\ntwo", ended=False) == (["one"], 4)
    assert split(b"one\ntwo", ended=True) == (["one", "two"], 7)


def test_endless_line_is_cut_between_characters() -> None:
    chunk = "ä".encode() * LONGEST_LINE
    lines, used = split(b"x" + chunk, ended=False)
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(lines)
    assert used >= LONGEST_LINE


def test_carriage_returns_and_zero_bytes_do_not_reach_the_log() -> None:
    assert split(b"a\r\n\x00b\n", ended=False)[0] == ["a", "\N{REPLACEMENT CHARACTER}b"]


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=30), max_size=20)
)
def test_lines_come_back_in_order_and_once_however_they_are_read(lines: list[str]) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    for size in (7, 64, len(data) + 1):
        got: list[str] = []
        offset = 0
        pending = b""
        while offset < len(data) or pending:
            chunk = data[offset - len(pending) : offset + size]
            found, used = split(chunk, ended=offset + size >= len(data))
            got += found
            pending = chunk[used:]
            offset += size
            if offset >= len(data) + size:
                break
        assert got == lines


def test_every_line_of_a_secret_is_hidden_too() -> None:
    pem = "-----BEGIN KEY-----\nAAAABBBB\nxy\n-----END KEY-----"
    assert mask("it is AAAABBBB, not xy", hidden([pem, "short"])) == "it is ••••••, not xy"


def test_names_that_look_secret_are_taken_as_such() -> None:
    assert secret_looking({"API_TOKEN": "", "PORT": "", "db_password": "", "NAME": ""}) == ("API_TOKEN", "db_password")


def test_secrets_are_hidden_longest_first() -> None:
    assert mask("token=abcdefgh123 and abcdefgh", ["abcdefgh123", "abcdefgh"]) == "token=•••••• and ••••••"
