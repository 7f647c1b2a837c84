from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from libs.attest.artifact import PREDICATE, STATEMENT, verify
from libs.attest.dsse import IN_TOTO, pae, seal, unseal
from libs.attest.keys import PublicKey, SigningKey
from libs.kernel.errors import Invalid

# The test vector of the DSSE specification, version 1.0.0 (protocol.md).
KIND, BODY = "http://example.com/HelloWorld", b"hello world"
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
D = 97358161215184420915383655311931858321456579547487070936769975997791359926199
RAW = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="

MANIFEST = b'{"layers":[]}'
DIGEST = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
KEY = SigningKey.generate()


def statement(**changes: Any) -> dict[str, Any]:
    subject = [{"name": "artifact", "digest": {"sha256": DIGEST.removeprefix("sha256:")}}]
    return {"_type": STATEMENT, "subject": subject, "predicateType": PREDICATE, "predicate": {}} | changes


def sealed(document: object, key: SigningKey = KEY, kind: str = IN_TOTO) -> bytes:
    return seal(kind, json.dumps(document).encode(), key)


def test_what_is_signed_is_that_of_the_specification() -> None:
    assert pae(KIND, BODY) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    # Lengths are of bytes, not of characters.
    assert pae("ü", b"") == "DSSEv1 2 ü 0 ".encode()


def test_the_specifications_own_signature_is_accepted() -> None:
    raw = base64.b64decode(RAW)
    signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    key = PublicKey(ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key())
    envelope = {
        "payload": "aGVsbG8gd29ybGQ=", "payloadType": KIND,
        "signatures": [{"sig": base64.urlsafe_b64encode(signature).decode()}],
    }  # fmt: skip
    assert unseal(json.dumps(envelope).encode(), KIND, key) == BODY


def test_a_signature_made_with_the_specifications_key_is_checked_with_it() -> None:
    key = SigningKey(ec.derive_private_key(D, ec.SECP256R1()))
    numbers = key.key.public_key().public_numbers()
    assert (numbers.x, numbers.y) == (X, Y)
    assert unseal(seal(KIND, BODY, key), KIND, key.public) == BODY


@pytest.mark.parametrize("field", ["payload", "payloadType", "sig"])
def test_an_envelope_that_was_changed_anywhere_is_refused(field: str) -> None:
    document = json.loads(seal(KIND, BODY, KEY))
    if field == "payload":
        document["payload"] = base64.b64encode(b"hello wOrld").decode()
    elif field == "payloadType":
        document["payloadType"] = "http://example.com/HelloWOrld"
    else:
        other = json.loads(seal(KIND, b"something else", KEY))
        document["signatures"] = other["signatures"]
    with pytest.raises(Invalid, match="not signed"):
        unseal(json.dumps(document).encode(), document["payloadType"], KEY.public)


def test_a_keyid_convinces_nobody() -> None:
    document = json.loads(seal(KIND, BODY, SigningKey.generate()))
    document["signatures"][0]["keyid"] = KEY.public.id
    with pytest.raises(Invalid, match="not signed"):
        unseal(json.dumps(document).encode(), KIND, KEY.public)


def test_one_good_signature_among_others_is_enough() -> None:
    strange, good = (json.loads(seal(KIND, BODY, key)) for key in (SigningKey.generate(), KEY))
    strange["signatures"] += good["signatures"]
    assert unseal(json.dumps(strange).encode(), KIND, KEY.public) == BODY


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"payload": 1, "payloadType": "a", "signatures": []}'])
def test_what_is_no_envelope_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid, match="no DSSE envelope"):
        unseal(text, KIND, KEY.public)


def test_a_right_artifact_gives_its_statement() -> None:
    assert verify(DIGEST, MANIFEST, sealed(statement()), KEY.public) == statement()


def test_every_wrong_artifact_is_refused_with_a_sentence() -> None:
    other = [{"name": "artifact", "digest": {"sha256": "0" * 64}}]
    wrong = {
        "it has no provenance": (MANIFEST, b""),
        "its manifest is not the one that was built": (b'{"layers":[ ]}', sealed(statement())),
        "not signed with the platform's": (MANIFEST, sealed(statement(), SigningKey.generate())),
        "speaks of another artifact": (MANIFEST, sealed(statement(subject=other))),
        "no SLSA provenance": (MANIFEST, sealed(statement(predicateType="https://slsa.dev/provenance/v0.2"))),
        "no in-toto statement": (MANIFEST, sealed([])),
        "not application/vnd.in-toto": (MANIFEST, sealed(statement(), kind="text/plain")),
    }
    for sentence, (manifest, envelope) in wrong.items():
        with pytest.raises(Invalid, match=sentence) as caught:
            verify(DIGEST, manifest, envelope, KEY.public)
        assert DIGEST in caught.value.message


def test_keys_are_read_from_files_that_are_right(tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_text(KEY.pem, encoding="utf-8")
    private.chmod(0o600)
    public.write_text(KEY.public.pem, encoding="utf-8")
    assert SigningKey.load(private).public.id == PublicKey.load(public).id == KEY.public.id
    private.chmod(0o640)
    with pytest.raises(Invalid, match="reached by others"):
        SigningKey.load(private)
    with pytest.raises(Invalid, match="no public key"):
        PublicKey.load(private)
    with pytest.raises(Invalid, match="cannot be read"):
        PublicKey.load(tmp_path / "nowhere")
    stranger = SigningKey(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(Invalid, match="another kind"):
        PublicKey.parse(stranger.public.pem.encode(), "it")
