"""Syft: how it is asked, and what it answers."""

from __future__ import annotations

import json
from typing import Any, Final

from libs.scan.cyclonedx import settled
from libs.scan.locks.reading import Unreadable, rows, table, text

ENVIRONMENT: Final = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}


def ask(program: str, folder: str) -> list[str]:
    """The command that lists the packages below a folder."""
    return [program, "scan", "--quiet", f"dir:{folder}", "--base-path", folder, "--output", "cyclonedx-json"]


def read_answer(output: str, *, name: str) -> tuple[dict[str, Any], str]:
    """The bill of materials, the same for the same source, and Syft's version. Unreadable when it is none."""
    try:
        answer = dict(table(json.loads(output)))
    except (json.JSONDecodeError, RecursionError) as error:
        raise Unreadable("its answer is no JSON") from error
    if answer.get("bomFormat") != "CycloneDX":
        raise Unreadable("its answer is no CycloneDX document")
    told = dict(table(answer.get("metadata")))
    tools = rows(table(told.get("tools")).get("components"))
    told["component"] = {"type": "application", "bom-ref": "source", "name": name}
    # Files are listed for the sake of packages; the source itself says more about them.
    answer["components"] = [one for one in rows(answer.get("components")) if text(one.get("purl"))]
    answer["metadata"] = told
    return settled(answer), next((text(one.get("version")) for one in tools), "")
