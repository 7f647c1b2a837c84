"""`python -m libs.embedded.provision`: makes keys, database roles and schemas, and ends. Harmless to repeat.

A process of its own, so that what it loads does not stay in the supervisor for months.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libs.attest.keys import SigningKey
from libs.db.provision import Tenant, provision
from libs.embedded import database, files
from libs.embedded.home import Home
from libs.embedded.settings import SERVICES, read
from libs.kernel.errors import Failure
from libs.kernel.secret import Secret

# The supervisor gives the superuser's URL here, embedded or external alike.
ADMIN_VARIABLE = "LIGHTRAIL_DATABASE_URL"


def make_keys(home: Home) -> None:
    """Makes the keys that are not there yet, each readable by its owner only."""
    if not home.identity_key.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files.write_private(home.identity_key, pem.decode())
    if not home.secrets_key.exists():
        files.write_private(home.secrets_key, base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    if not home.provenance_key.exists():
        files.write_private(home.provenance_key, SigningKey.generate().pem)
        home.provenance_public_key.unlink(missing_ok=True)
    if not home.provenance_public_key.exists():
        files.write_private(home.provenance_public_key, SigningKey.load(home.provenance_key).public.pem)
    if not home.setup_token.exists():
        files.write_private(home.setup_token, secrets.token_urlsafe(24) + "\n")
    if not home.edge_token.exists():
        files.write_private(home.edge_token, secrets.token_urlsafe(32) + "\n")
    passwords = database.passwords(home) if home.database_passwords.exists() else {}
    if missing := [service for service in SERVICES if service not in passwords]:
        known = {service: password.reveal() for service, password in passwords.items()}
        made = {service: secrets.token_urlsafe(24) for service in missing}
        files.write_private(home.database_passwords, json.dumps(known | made, indent=1) + "\n")


def main() -> int:
    """Returns 0 when everything is there, 1 with a sentence when it cannot be made."""
    home = Home(read(os.environ).home)
    admin = Secret(os.environ[ADMIN_VARIABLE])
    try:
        make_keys(home)
        asyncio.run(provision(admin, database.database_of(admin), _tenants(home, admin)))
    except (Failure, OSError) as failure:
        sys.stderr.write(f"The database could not be prepared: {failure}\n")
        return 1
    return 0


def _tenants(home: Home, admin: Secret[str]) -> list[Tenant]:
    return [
        Tenant(schema=service, role=database.role_of(admin, service), password=password)
        for service, password in database.passwords(home).items()
    ]


if __name__ == "__main__":
    raise SystemExit(main())
