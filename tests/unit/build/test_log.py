from __future__ import annotations

from itertools import pairwise

import pytest
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


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param(
            "npm warn deprecated inflight@1.0.6\nnpm error code ETARGET\n"
            "npm error notarget No matching version found for ms@99.0.0.\n"
            "npm error notarget In most cases you or one of your dependencies are requesting\n"
            "npm error notarget a package version that doesn't exist.\n"
            "npm error Log files were not written due to the config logs-max=0\nnpm notice New version of npm\n",
            "npm error notarget No matching version found for ms@99.0.0.",
            id="npm-version",
        ),
        pytest.param(
            "npm ERR! code E404\nnpm ERR! 404 Not Found - GET https://registry.example/nosuch\nnpm ERR! 404\n"
            "npm ERR! 404 Note that you can also install from a\n\n"
            "npm ERR! A complete log of this run can be found in:\n",
            "npm ERR! 404 Not Found - GET https://registry.example/nosuch",
            id="npm-8-name",
        ),
        pytest.param(
            "npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages when in sync.\nnpm error\n"
            "npm error Missing: ms@2.1.3 from lock file\nnpm error Options:\nnpm error   --foreground-scripts\n"
            'npm error Run "npm help ci" for more info\n'
            "npm error Log files were not written due to the config logs-max=0\n",
            "npm error `npm ci` can only install packages when in sync.",
            id="npm-lock",
        ),
        pytest.param(
            "> x@1.0.0 postinstall\n> node fetch.js\n\nCannot reach it\nnpm error code 3\nnpm error path /app\n"
            "npm error command failed\nnpm error command sh -c node fetch.js\n"
            "npm error Log files were not written due to the config logs-max=0\n",
            "Cannot reach it",
            id="npm-own-script",
        ),
        pytest.param(
            "npm error code 1\nnpm error path /app/node_modules/bad\nnpm error command failed\n"
            "npm error command sh -c node-gyp rebuild\nnpm error gyp ERR! stack Error: not found: make\n"
            "npm error gyp ERR! not ok\n",
            "npm error gyp ERR! stack Error: not found: make",
            id="npm-script-of-a-dependency",
        ),
        pytest.param(
            "npm error code 3\nnpm error command failed\nnpm error command sh -c exit 3\n",
            "npm error command sh -c exit 3",
            id="npm-silent-script",
        ),
        pytest.param(
            "npm error code E404\nnpm error 404 Not Found\nSyntaxError: Unexpected token\n",
            "SyntaxError: Unexpected token",
            id="npm-did-not-end-it",
        ),
        pytest.param(
            " ERR_PNPM_NO_MATCHING_VERSION  No matching version found for ms@99.0.0\n\n"
            "This error happened while installing a direct dependency of /app\n",
            "ERR_PNPM_NO_MATCHING_VERSION  No matching version found for ms@99.0.0",
            id="pnpm-version",
        ),
        pytest.param(
            ' ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with "frozen-lockfile"\n\n  Failure reason:\n'
            "* 1 dependencies were added: ms@2.1.3\n",
            'ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with "frozen-lockfile"',
            id="pnpm-lock",
        ),
        pytest.param(
            "src/a.ts(1,1): error TS2304: Cannot find name 'x'.\n ELIFECYCLE  Command failed with exit code 2.\n",
            "src/a.ts(1,1): error TS2304: Cannot find name 'x'.",
            id="pnpm-script",
        ),
        pytest.param(
            'error Couldn\'t find any versions for "ms" that matches "99.0.0"\n'
            "info Visit https://yarnpkg.com/en/docs/cli/install for documentation about this command.\n",
            'error Couldn\'t find any versions for "ms" that matches "99.0.0"',
            id="yarn-1-version",
        ),
        pytest.param(
            "sh: 1: tsc: not found\nerror Command failed with exit code 127.\ninfo Visit https://yarnpkg.com\n",
            "sh: 1: tsc: not found",
            id="yarn-1-script",
        ),
        pytest.param(
            "➤ YN0000: ┌ Resolution step\n➤ YN0082: │ ms@npm:99.0.0: No candidates found\n➤ YN0000: └ Completed\n"
            "➤ YN0000: · Failed with errors in 0s 99ms\n",
            "YN0082: │ ms@npm:99.0.0: No candidates found",
            id="yarn-4-version",
        ),
        pytest.param(
            "➤ YN0028: │ +  linkType: soft\n➤ YN0028: │ The lockfile would have been modified by this install.\n"
            "➤ YN0000: └ Completed\n➤ YN0000: · Failed with errors in 0s 63ms\n",
            "YN0028: │ The lockfile would have been modified by this install.",
            id="yarn-4-lock",
        ),
        pytest.param(
            'error: No version matching "99.0.0" found for specifier "ms"\nerror: ms@99.0.0 failed to resolve\n',
            "error: ms@99.0.0 failed to resolve",
            id="bun",
        ),
        pytest.param(
            "error: No solution found when resolving dependencies\n"
            "  cause: Because there is no version of flask==99, your requirements are unsatisfiable.\n",
            "cause: Because there is no version of flask==99, your requirements are unsatisfiable.",
            id="uv",
        ),
        pytest.param(
            "error: Failed to build `mysqlclient==2.2.0`\n  cause: The build backend returned an error\n"
            "         Exception: Can not find valid pkg-config name.\n         Specify MYSQLCLIENT_CFLAGS\n\n"
            "hint: Build failures usually indicate a problem with the package or the build environment\n",
            "Exception: Can not find valid pkg-config name.",
            id="uv-builds",
        ),
        pytest.param(
            "ERROR: Could not find a version that satisfies the requirement flask==99\n"
            "ERROR: No matching distribution found for flask==99\n[notice] A new release of pip is available\n",
            "ERROR: No matching distribution found for flask==99",
            id="pip",
        ),
    ],
)
def test_what_package_managers_say_of_a_failure_is_found_in_their_words(said: str, told: str) -> None:
    assert telling(said.splitlines()) == told
