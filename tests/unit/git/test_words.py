from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.git import pkt
from libs.git.refs import branch_of, is_commit, may_be_commit, ref_name
from libs.git.url import beside, repo_url
from libs.kernel.errors import Invalid


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("https://Git.Example/Team/app.git", "https://git.example/Team/app.git"),
        ("https://git.example:8443/app", "https://git.example:8443/app"),
        ("https://git.example:443/app", "https://git.example/app"),
        ("ssh://git.example/team/app", "ssh://git@git.example/team/app"),
        ("git@git.example:team/app.git", "ssh://git@git.example/team/app.git"),
        ("ssh://me@[::1]:2222/app", "ssh://me@[::1]:2222/app"),
        ("http://127.0.0.1:80/app", "http://127.0.0.1/app"),
    ],
)
def test_an_address_has_one_spelling(text: str, spelled: str) -> None:
    assert str(repo_url(text)) == spelled
    assert str(repo_url(spelled)) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "", "/etc", "file:///etc", "ext::sh -c id", "git://host/app", "ftp://host/app", "https://host", "https://host/",
        "https:///app", "--upload-pack=id", "-x", "ssh://-oProxyCommand=id/app", "git@-oProxyCommand=id:app",
        "ssh://git@host/-x", "https://a:b@host/app", "https://token@host/app", "https://host/app?x=1",
        "https://host/app#x", "https://host/../app", "https://ho st/app", "https://host/a\nb", "https://host/a\\b",
        "https://host:0/app", "https://host:99999/app", "https://host:x/app", "ssh://-u@host/app", "git@host:-x",
        "https://host;id/app", "https://$(id)/app", "ssh://git@host`id`/app", "https://é.example/app",
        "https://host/" + "a" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_address_or_could_be_taken_for_something_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        repo_url(text)


@given(st.text(max_size=60))
def test_any_text_is_an_address_that_begins_with_its_scheme_or_invalid(text: str) -> None:
    try:
        found = repo_url(text)
    except Invalid:
        return
    assert str(found).startswith(("https://", "http://", "ssh://"))
    assert not found.host.startswith("-")
    assert not set(str(found)) & set(" \n\"'`$;|&<>()\\") or found.path


def test_a_submodules_address_may_be_relative_but_does_not_leave_the_host() -> None:
    base = repo_url("https://git.example/team/app.git")
    assert str(beside(base, "../lib.git")) == "https://git.example/team/lib.git"
    assert str(beside(base, "./inner")) == "https://git.example/team/app.git/inner"
    assert str(beside(base, "https://other.example/x")) == "https://other.example/x"
    for text in ("../../..", "../../../etc", "../-x", "file:///x"):
        with pytest.raises(Invalid):
            beside(base, text)


@pytest.mark.parametrize("text", ["main", "feature/a-b", "v1.2.3", "refs/heads/main", "ab12345", "ünï"])
def test_names_that_git_knows_are_taken(text: str) -> None:
    assert ref_name(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "-x", "--all", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "/a", "a/", "a//b", ".a", "a/.b",
     "a.lock", "a.lock/b", "a.", "@", "a@{1}", "a\n", "a" * 251],
)  # fmt: skip
def test_names_that_git_does_not_know_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        ref_name(text)


def test_commits_are_told_from_names() -> None:
    assert is_commit("a" * 40)
    assert is_commit("0" * 64)
    assert not is_commit("a" * 39)
    assert may_be_commit("abcdef1")
    assert not may_be_commit("main")
    assert branch_of("refs/heads/a/b") == "a/b"
    assert branch_of("refs/tags/a") == ""


def test_a_push_is_read_up_to_its_pack() -> None:
    new, old = "1" * 40, pkt.ZERO
    data = pkt.line(f"{old} {new} refs/heads/main\0 report-status side-band-64k\n") + pkt.FLUSH
    found = pkt.commands(data + b"PACK...")
    assert found.wishes == (pkt.Command(old, new, "refs/heads/main"),)
    assert found.capabilities == {"report-status", "side-band-64k"}
    assert found.size == len(data)


def test_a_push_from_a_shallow_clone_says_where_it_ends() -> None:
    new = "1" * 40
    wish = pkt.line(f"{pkt.ZERO} {new} refs/heads/main\0 report-status\n")
    found = pkt.commands(pkt.line(f"shallow {'2' * 40}") + wish + pkt.FLUSH)
    assert found.shallow == ("2" * 40,)
    assert found.wishes == (pkt.Command(pkt.ZERO, new, "refs/heads/main"),)
    assert found.capabilities == {"report-status"}


def test_a_push_moves_each_ref_once() -> None:
    wish = pkt.line(f"{pkt.ZERO} {'1' * 40} refs/heads/main")
    with pytest.raises(Invalid, match="once"):
        pkt.commands(wish * 2 + pkt.FLUSH)


@pytest.mark.parametrize("data", [b"", b"00", b"zzzz", b"0010abc", pkt.line("push-cert\0x"), pkt.line("x y z\n")])
def test_what_is_no_push_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        pkt.commands(data)


@given(st.binary(max_size=200_000))
def test_a_band_carries_any_bytes(data: bytes) -> None:
    carried = b"".join((content or b"")[1:] for content, _ in pkt.lines(pkt.band(pkt.PROGRESS, data)))
    assert carried == data
