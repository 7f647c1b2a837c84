"""Identities: what is signed is believed, and nothing else is."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from libs.kernel.context import Actor, Role
from libs.kernel.errors import Conflict, Denied, Invalid
from libs.rpc.identity import HEADER, LONGEST, REMEMBERED, Identity

NOW = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)
ACTOR = Actor(
    kind="user",
    id="usr_1",
    roles={"wsp_1": Role.OWNER, "wsp_2": Role.VIEWER},
    operator=True,
    project_id="prj_1",
    environment_id="env_1",
    token_id="tok_1",
)
KEY = ec.generate_private_key(ec.SECP256R1())
IDENTITY = Identity(KEY)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def forged(header: dict[str, Any] | None = None, **changed: object) -> str:
    """A token made with the right key but with other words in it."""
    parts = IDENTITY.sign(ACTOR, lifetime=60, now=NOW).reveal().split(".")
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    claims |= changed
    claims = {name: value for name, value in claims.items() if value is not ...}
    return jwt.encode(header or dict(HEADER), claims, ECKey.import_key(KEY), ["ES256"])


def refused(token: str, now: datetime = NOW, *, by: Identity = IDENTITY) -> str:
    with pytest.raises(Denied) as caught:
        by.verify(token, now=now)
    assert caught.value.unauthenticated
    assert caught.value.message.endswith(".")
    return caught.value.message


def test_what_was_signed_comes_back_whole() -> None:
    assert IDENTITY.verify(IDENTITY.sign(ACTOR, lifetime=60, now=NOW).reveal(), now=NOW) == ACTOR


@pytest.mark.parametrize("kind", ["user", "service", "anonymous"])
def test_every_kind_of_caller_can_be_signed(kind: Literal["user", "service", "anonymous"]) -> None:
    actor = Actor(kind=kind)
    assert IDENTITY.verify(IDENTITY.sign(actor, lifetime=1, now=NOW).reveal(), now=NOW) == actor


def test_expires_after_its_lifetime_also_when_remembered() -> None:
    token = IDENTITY.sign(ACTOR, lifetime=60, now=NOW).reveal()
    IDENTITY.verify(token, now=later(59))
    assert "expired" in refused(token, later(61))
    assert "expired" in refused(token, later(61), by=Identity(KEY))


def test_is_not_good_before_its_time() -> None:
    token = IDENTITY.sign(ACTOR, lifetime=600, now=NOW).reveal()
    IDENTITY.verify(token, now=later(-3))
    refused(token, later(-30))


def test_another_platforms_key_is_not_believed() -> None:
    other = Identity(ec.generate_private_key(ec.SECP256R1()))
    refused(other.sign(ACTOR, lifetime=60, now=NOW).reveal())


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=1, max_value=255))
def test_one_changed_character_is_noticed(where: int, by: int) -> None:
    token = IDENTITY.sign(ACTOR, lifetime=60, now=NOW).reveal()
    where %= len(token)
    refused(token[:where] + chr((ord(token[where]) + by) % 256) + token[where + 1 :])


@given(st.text(max_size=200))
def test_any_text_is_refused_with_a_sentence(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b", "a.b.c.d", "====.====.====", "e30.e30.", "\x00.\x00.\x00", "é.é.é", "a" * (LONGEST + 1)],
)
def test_malformed_tokens_are_refused(token: str) -> None:
    assert "malformed" in refused(token)


def test_padding_and_stray_bits_do_not_make_a_second_spelling() -> None:
    token = IDENTITY.sign(ACTOR, lifetime=60, now=NOW).reveal()
    refused(token + "=")
    refused(token + "==")
    refused(token + "\n")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 64 bytes in 86 characters leave four bits that say nothing.
    spellings = {token[:-1] + alphabet[alphabet.index(token[-1]) ^ bit] for bit in range(1, 16)}
    for spelling in spellings:
        refused(spelling)


def test_other_algorithms_and_headers_are_refused() -> None:
    claims = IDENTITY.sign(ACTOR, lifetime=60, now=NOW).reveal().split(".")[1]
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"lightrail-identity+jwt"}').rstrip(b"=").decode()
    refused(f"{none}.{claims}.")
    refused(f"{none}.{claims}.AAAA")
    for header in ({"alg": "HS256"}, {**HEADER, "alg": "HS256"}):
        refused(jwt.encode(header, {"iss": "lightrail"}, OctKey.import_key(b"0" * 32), ["HS256"]))
    refused(forged({"alg": "ES256"}))
    refused(forged({**HEADER, "kid": "other"}))
    refused(forged({**HEADER, "jwk": ECKey.import_key(KEY).as_dict(private=False)}))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "someone"},
        {"iss": ...},
        {"aud": "someone"},
        {"aud": ...},
        {"aud": []},
        {"exp": ...},
        {"exp": "never"},
        {"exp": None},
        {"exp": True},
        {"nbf": ...},
        {"nbf": "yesterday"},
        {"sub": ...},
        {"sub": 7},
        {"kind": "root"},
        {"kind": ["user"]},
        {"kind": ...},
        {"roles": ["wsp_1"]},
        {"roles": {"wsp_1": 99}},
        {"roles": None},
        {"iat": 99_999_999_999},
    ],
)
def test_claims_that_do_not_fit_are_refused(changed: dict[str, Any]) -> None:
    refused(forged(**changed))


def test_truthy_words_make_nobody_an_operator() -> None:
    assert IDENTITY.verify(forged(operator="yes"), now=NOW).operator is False


def test_only_so_many_tokens_are_remembered() -> None:
    identity = Identity(KEY)
    for number in range(REMEMBERED + 10):
        identity._memo[str(number)] = (ACTOR, 0, 0)  # type: ignore[assignment]
    identity.verify(identity.sign(ACTOR, lifetime=60, now=NOW).reveal(), now=NOW)
    assert len(identity._memo) == REMEMBERED


def test_a_made_key_is_private_and_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity.pem"
    made = Identity.generate(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["identity.pem"]
    token = made.sign(ACTOR, lifetime=60, now=NOW).reveal()
    assert Identity.load(path).verify(token, now=NOW) == ACTOR


def test_a_key_in_use_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    Identity.generate(path)
    before = path.read_bytes()
    with pytest.raises(Conflict):
        Identity.generate(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["identity.pem"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o610])
def test_a_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "identity.pem"
    Identity.generate(path)
    path.chmod(mode)
    with pytest.raises(Invalid, match=r"can be read by others"):
        Identity.load(path)


def test_a_missing_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"There is no identity key"):
        Identity.load(tmp_path / "none.pem")
    with pytest.raises(Invalid, match=r"cannot be read"):
        Identity.load(tmp_path)


@pytest.mark.parametrize("content", ["", "changeme", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_placeholder_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "identity.pem"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(Invalid, match=r"placeholder"):
        Identity.load(path)


def test_keys_of_other_kinds_and_curves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    other = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(
        other.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    path.chmod(0o600)
    with pytest.raises(Invalid, match=r"secp384r1"):
        Identity.load(path)
    path.write_bytes(
        other.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        ),
    )
    with pytest.raises(Invalid, match=r"placeholder"):
        Identity.load(path)
