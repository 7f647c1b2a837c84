"""What things may be called: names of services and environments become host names, names of projects do not."""

from __future__ import annotations

import unicodedata
from typing import Final

from libs.kernel.errors import Invalid
from libs.kernel.names import MAX_SLUG, SHARED_WORD, environment_name, invisible, proposal, service_name, shown

__all__ = [
    "FIRST_ENVIRONMENT",
    "MAX_PROJECT_NAME",
    "MAX_SLUG",
    "SHARED_WORD",
    "environment_name",
    "project_key",
    "project_name",
    "proposal",
    "service_name",
    "shown",
]

FIRST_ENVIRONMENT: Final = "production"
MAX_PROJECT_NAME: Final = 100


def project_name(text: str) -> str:
    """Returns the name trimmed and in its composed form (NFC); Invalid when a project cannot be called that."""
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise Invalid("A project needs a name.", field="name", hint="Give it 1 to 100 characters.")
    if len(name) > MAX_PROJECT_NAME:
        raise Invalid(
            f"The name has {len(name)} characters; a project's name has at most {MAX_PROJECT_NAME}.", field="name"
        )
    if any(invisible(character) for character in name):
        raise Invalid(
            "The name holds a control character or another invisible one.", field="name", hint="Type it without."
        )
    return name


def project_key(name: str) -> str:
    """Returns what two names of projects must not have in common: the name without its case."""
    return unicodedata.normalize("NFKC", name).casefold()
