"""Signed identities: how one part of the platform tells another who is calling.

Auth exchanges a session or an API token for one of these, services sign their own, and every server verifies them. All
parts hold the same ES256 key, so a token is proof that some part of this platform vouches for the caller.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import re
import secrets
import stat
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey

from libs.kernel.context import Actor, Role
from libs.kernel.errors import Conflict, Denied, Invalid
from libs.kernel.secret import Secret

ALGORITHM: Final = "ES256"
ISSUER: Final = "lightrail"
AUDIENCE: Final = "lightrail.services"
# The only header accepted. One fixed header leaves no room for `alg`, `jwk`, `kid` or `crit` tricks.
HEADER: Final = {"alg": ALGORITHM, "typ": "lightrail-identity+jwt"}
# Seconds that the clocks of two machines may differ.
SKEW: Final = 5
# Characters; an actor with some hundred workspaces fits.
LONGEST: Final = 32_768
# Verified tokens remembered: verifying costs 0.1 ms, remembering 1 µs.
REMEMBERED: Final = 2_048
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NOT_SIGNED: Final = "The identity sent with this call was not signed by this platform."
_KINDS: Final[Mapping[str, Literal["user", "service", "anonymous"]]] = {
    "user": "user",
    "service": "service",
    "anonymous": "anonymous",
}


class _Verified(NamedTuple):
    actor: Actor
    not_before: int
    expires: int


class Identity:
    """Signs and verifies identities with the platform's one ES256 key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(key.curve, ec.SECP256R1):
            raise Invalid(
                f"The identity key is on the curve {key.curve.name}; ES256 needs P-256.",
                field="LIGHTRAIL_IDENTITY_KEY_FILE",
            )
        # Told apart, so that joserfc itself refuses to verify with a key meant to sign, and the other way round.
        self._signing = ECKey.import_key(key, {"alg": ALGORITHM, "use": "sig", "key_ops": ["sign"]})
        self._checking = ECKey.import_key(key.public_key(), {"alg": ALGORITHM, "use": "sig", "key_ops": ["verify"]})
        self._memo: OrderedDict[str, _Verified] = OrderedDict()

    @classmethod
    def load(cls, path: Path) -> Identity:
        """Reads the key from a PEM file that only its owner may read. Invalid says what is wrong with the file."""
        name = "LIGHTRAIL_IDENTITY_KEY_FILE"
        fresh = "Remove it and start the platform: it makes a new one. All sessions between services begin anew."
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(16_384)
        except FileNotFoundError:
            raise Invalid(f"There is no identity key at {path}.", field=name, hint="Start the platform once.") from None
        except OSError as error:
            raise Invalid(f"The identity key at {path} cannot be read: {error.strerror}.", field=name) from error
        if mode & 0o077:
            raise Invalid(
                f"The identity key at {path} can be read by others (mode {mode:04o}).",
                field=name,
                hint="Take it back with: chmod 600. If others use this machine, replace the key.",
            )
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError) as error:
            raise Invalid(f"{path} holds no private key but a placeholder.", field=name, hint=fresh) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Invalid(f"{path} holds a key of another kind; ES256 needs an EC key.", field=name, hint=fresh)
        return cls(key)

    @classmethod
    def generate(cls, path: Path) -> Identity:
        """Makes a new key and writes it to `path` with mode 0600; the file appears whole or not at all.

        Conflict when the file exists: a key in use is never replaced by accident.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        content = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - born 0600
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            raise Conflict(f"There is already an identity key at {path}.") from None
        finally:
            draft.unlink()
        return cls(key)

    def sign(self, actor: Actor, *, lifetime: float, now: datetime) -> Secret[str]:
        """Returns a token that says who `actor` is, good for `lifetime` seconds from `now`."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": actor.id,
            "nbf": math.floor(now.timestamp()) - SKEW,
            "exp": math.ceil(now.timestamp() + lifetime),
            "kind": actor.kind,
            "roles": {workspace: int(role) for workspace, role in actor.roles.items()},
            "operator": actor.operator,
            "project": actor.project_id,
            "environment": actor.environment_id,
            "token": actor.token_id,
        }
        return Secret(jwt.encode(dict(HEADER), claims, self._signing, [ALGORITHM]))

    def verify(self, token: str, *, now: datetime) -> Actor:
        """Returns the actor that a token of this platform names.

        Denied (unauthenticated) when it is malformed, tampered with, expired, not valid yet or meant for others.
        """
        seconds = math.floor(now.timestamp())
        known = self._memo.get(token)
        if known is not None and known.not_before <= seconds < known.expires:
            self._memo.move_to_end(token)
            return known.actor
        verified = self._verify(token, seconds)
        self._memo[token] = verified
        while len(self._memo) > REMEMBERED:
            self._memo.popitem(last=False)
        return verified.actor

    def _verify(self, token: str, seconds: int) -> _Verified:
        _refuse_odd_encoding(token)
        registry = jwt.JWTClaimsRegistry(
            now=seconds,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            sub={"essential": True, "allow_blank": True},
            nbf={"essential": True},
            exp={"essential": True},
        )
        try:
            claims = jwt.decode(token, self._checking, [ALGORITHM]).claims
            registry.validate(claims)
        except ExpiredTokenError:
            raise Denied("The identity sent with this call has expired.", unauthenticated=True) from None
        except (JoseError, ValueError, TypeError) as error:
            raise Denied(_NOT_SIGNED, unauthenticated=True) from error
        return _Verified(_actor(claims), int(claims["nbf"]), int(claims["exp"]))


def _refuse_odd_encoding(token: str) -> None:
    """Passes only the one way to write a token: libraries accept stray padding bits, which make two texts of one."""
    malformed = Denied("The identity sent with this call is malformed.", unauthenticated=True)
    segments = token.split(".") if len(token) <= LONGEST else []
    if len(segments) != 3:  # noqa: PLR2004 - header, claims, signature
        raise malformed
    decoded = []
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise malformed
        try:
            raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        except (binascii.Error, ValueError):
            raise malformed from None
        if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
            raise malformed
        decoded.append(raw)
    try:
        header = json.loads(decoded[0])
    except ValueError:
        raise malformed from None
    if header != HEADER:
        raise Denied(_NOT_SIGNED, unauthenticated=True)


def _actor(claims: Mapping[str, Any]) -> Actor:
    try:
        return Actor(
            kind=_KINDS[claims["kind"]],
            id=claims["sub"],
            roles={str(workspace): Role(role) for workspace, role in claims["roles"].items()},
            operator=claims["operator"] is True,
            project_id=str(claims["project"]),
            environment_id=str(claims["environment"]),
            token_id=str(claims["token"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Denied(
            "The identity sent with this call was made by another version of the platform.",
            unauthenticated=True,
        ) from error
