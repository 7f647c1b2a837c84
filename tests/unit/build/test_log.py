from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.build.domain.log import LONGEST_LINE, LONGEST_PART, MASK, Lines, Masker, Needles, credentials, telling

TEXT = st.text(alphabet="ab\n\rx:€", max_size=60)


def lines_of(chunks: list[bytes], secrets: list[str]) -> list[str]:
    lines = Lines(secrets)
    return [line for chunk in chunks for line in lines.feed(chunk)] + lines.end()


@given(text=TEXT, cuts=st.lists(st.integers(0, 80), max_size=8))
def test_lines_do_not_depend_on_how_the_output_was_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    chunks = [data[start:end] for start, end in pairwise(places)]
    assert lines_of(chunks, ["aab:b", "b€x"]) == lines_of([data], ["aab:b", "b€x"])


@given(before=TEXT, after=TEXT, cuts=st.lists(st.integers(0, 80), max_size=8))
def test_a_secret_is_masked_wherever_the_output_was_cut(before: str, after: str, cuts: list[int]) -> None:
    text = f"{before}hunter2-abx{after}"
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    masker = Masker(["hunter2-abx", "abx:"])
    shown = "".join(masker.feed(text[a:b]) for a, b in pairwise(places)) + masker.rest()
    assert "hunter2" not in shown
    assert MASK in shown


def test_each_line_of_a_key_is_masked() -> None:
    key = "-----BEGIN KEY-----\nMIIEabcdef\n-----END KEY-----\n"
    assert lines_of([b"got MIIEabcdef here\n"], [key]) == [f"got {MASK} here"]


@given(cuts=st.lists(st.integers(0, 9_000), max_size=8))
def test_a_long_secret_is_masked_as_a_whole_and_little_of_it_is_ever_kept_back(cuts: list[int]) -> None:
    secret = "".join(f"{number:05}-" for number in range(1_000))
    text = f"key={secret}; rest\n"
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    masker = Masker([secret])
    shown = ""
    for start, end in pairwise(places):
        shown += masker.feed(text[start:end])
        assert len(masker._held) <= 2 * LONGEST_PART
    assert (shown + masker.rest()).replace(MASK, "") == "key=; rest\n"
    assert lines_of([text.encode()], [secret]) == [f"key={MASK}; rest"]


def test_a_part_of_a_long_secret_is_masked_too() -> None:
    secret = "".join(f"{number:05}-" for number in range(100))
    shown = lines_of([f"{secret[100:400]}\n".encode()], [secret])[0]
    assert MASK in shown
    assert len(shown) < 2 * LONGEST_PART
    assert Needles([secret]).longest <= LONGEST_PART


def test_a_percent_encoded_secret_is_masked() -> None:
    assert lines_of([b"https://u:p%40ss%2Fword@host\n"], ["p@ss/word"]) == [f"https://u:{MASK}@host"]


def test_words_that_any_log_holds_are_not_masked() -> None:
    assert lines_of([b"1 of true\n"], ["1", "of", ""]) == ["1 of true"]


def test_an_endless_line_is_cut_once_and_its_end_dropped() -> None:
    chunks = [b"y" * 10_000] * 20 + [b"tail\nnext\n"]
    first, second = lines_of(chunks, [])
    assert first.startswith("y" * LONGEST_LINE)
    assert "cut" in first[LONGEST_LINE:]
    assert second == "next"


def test_colours_stay_and_progress_bars_show_their_last_state() -> None:
    assert lines_of([b"\x1b[31mred\x1b[0m\r\n10%\r50%\r100%\n"], []) == ["\x1b[31mred\x1b[0m", "100%"]


def test_a_last_line_without_an_end_is_a_line() -> None:
    assert lines_of([b"one\ntw", b"o"], []) == ["one", "two"]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert lines_of([b"\xff\xfe\x00ok\n"], []) == ["\ufffd\ufffd\ufffdok"]


def test_passwords_in_addresses_are_found() -> None:
    assert credentials(["https://user:s3cret@host/simple", "http://host/"]) == {"s3cret"}


def test_the_telling_line_is_the_last_that_speaks_of_an_error() -> None:
    assert (
        telling(["fetching", "\x1b[31mERROR\x1b[0m: no version 99 of flask", "bye"]) == "ERROR: no version 99 of flask"
    )
    assert telling(["one", "two", "  ---"]) == "two"
    said = ["➤ YN0000: · Yarn 4.5.1", "➤ YN0028: · The lockfile would have been modified by this install"]
    assert telling([*said, "➤ YN0000: · Failed with errors in 0s 17ms"]) == said[1].removeprefix("➤ ")
    assert telling([]) == ""
