"""How the platform's database, its roles and their URLs are named. No driver is loaded for it."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from libs.embedded.home import Home
from libs.kernel.secret import Secret

# Databases that every PostgreSQL has: a URL naming one of these means the server, not that database.
_MAINTENANCE = ("", "postgres", "template1")
_DEFAULT = "lightrail"


def database_of(admin: Secret[str]) -> str:
    """Returns the database the platform uses: the URL's own, or `lightrail` when that is a maintenance database."""
    name = urlsplit(admin.reveal()).path.lstrip("/")
    return _DEFAULT if name in _MAINTENANCE else name


def role_of(admin: Secret[str], service: str) -> str:
    """Returns a service's role. Roles belong to the whole server, so the database's name is part of it."""
    return f"{database_of(admin)}_{service}"


def passwords(home: Home) -> dict[str, Secret[str]]:
    """Returns service -> password of its role, as the provisioner made them. FileNotFoundError before that."""
    return {service: Secret(text) for service, text in json.loads(home.database_passwords.read_text()).items()}


def service_urls(home: Home, admin: Secret[str]) -> dict[str, Secret[str]]:
    """Returns service -> the URL of its own role on the same server. FileNotFoundError before provisioning."""
    parts = urlsplit(admin.reveal())
    place = parts.netloc.rpartition("@")[2]
    return {
        service: Secret(
            parts._replace(
                netloc=f"{role_of(admin, service)}:{password.reveal()}@{place}", path=f"/{database_of(admin)}"
            ).geturl()
        )
        for service, password in passwords(home).items()
    }
