"""Checks that an artifact is the one its signed provenance speaks of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from libs.attest.dsse import IN_TOTO, unseal
from libs.attest.keys import PublicKey
from libs.kernel.errors import Invalid

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
_AGAIN: Final = "Deploy the source again: what is built now is signed."


def verify(digest: str, manifest: bytes, envelope: bytes, key: PublicKey) -> Mapping[str, Any]:
    """The SLSA statement about the artifact, once its signature, its subject and the manifest are found right.

    `digest` is the artifact wanted, as sha256:<hex>; `manifest` its canonical JSON. Invalid says what is wrong. Layers
    are named in the manifest by their own digests, and are checked by whoever unpacks them.
    """
    begin = f"The artifact {digest} is not trusted"
    if not envelope:
        raise Invalid(f"{begin}: it has no provenance.", hint=_AGAIN)
    if f"sha256:{hashlib.sha256(manifest).hexdigest()}" != digest:
        raise Invalid(f"{begin}: its manifest is not the one that was built; its digest is wrong.", hint=_AGAIN)
    try:
        statement = _statement(unseal(envelope, IN_TOTO, key))
    except Invalid as error:
        raise Invalid(f"{begin}: its provenance is wrong. {error.message}", hint=_AGAIN) from error
    if {"sha256": digest.removeprefix("sha256:")} not in [one.get("digest") for one in statement["subject"]]:
        raise Invalid(f"{begin}: its provenance speaks of another artifact.", hint=_AGAIN)
    return statement


def _statement(payload: bytes) -> Mapping[str, Any]:
    try:
        statement: Any = json.loads(payload)
        kinds = (statement["_type"], statement["predicateType"])
        good = isinstance(statement["predicate"], dict) and all(isinstance(one, dict) for one in statement["subject"])
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("It is no in-toto statement.") from error
    if kinds != (STATEMENT, PREDICATE) or not good:
        raise Invalid("It is no SLSA provenance of version 1.")
    found: Mapping[str, Any] = statement
    return found
