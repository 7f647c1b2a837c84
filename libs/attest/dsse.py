"""DSSE 1.0: an envelope with a payload, its type, and signatures over both."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

from libs.attest.keys import PublicKey, SigningKey
from libs.kernel.errors import Invalid

IN_TOTO: Final = "application/vnd.in-toto+json"


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: type and payload, each with its length, so that neither can be taken for the other."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(payload_type: str, payload: bytes, key: SigningKey) -> bytes:
    """The envelope as JSON, with one signature."""
    signature = key.sign(pae(payload_type, payload))
    envelope = {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.public.id, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


def unseal(envelope: bytes, payload_type: str, key: PublicKey) -> bytes:
    """The payload, once a signature by this key over it and this type was found. Invalid says what is wrong."""
    try:
        document: Any = json.loads(envelope)
        payload = _decoded(document["payload"])
        kind = str(document["payloadType"])
        signatures = [_decoded(one["sig"]) for one in document["signatures"]]
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("It is no DSSE envelope.") from error
    # Whose signature it is says the key alone; keyid is a hint that anybody can write.
    if not any(key.signed(signature, pae(kind, payload)) for signature in signatures):
        raise Invalid("It is not signed with the platform's provenance key.")
    if kind != payload_type:
        raise Invalid(f"It holds “{kind[:100]}”, not {payload_type}.")
    return payload


def _decoded(text: str) -> bytes:
    """Bytes of standard or URL-safe base64: the specification has verifiers take both."""
    try:
        return base64.b64decode(text.translate({ord("-"): "+", ord("_"): "/"}), validate=True)
    except (binascii.Error, AttributeError) as error:
        raise ValueError(str(error)) from error
