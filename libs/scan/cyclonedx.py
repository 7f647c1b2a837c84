"""Software bills of materials as CycloneDX 1.6 documents: the same packages give the same bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from libs.scan.inventory import Inventory
from libs.scan.locks.reading import rows, table, text
from libs.scan.package import Package

MEDIA_TYPE: Final = "application/vnd.cyclonedx+json; version=1.6"
# Ids of the SPDX list that packages use; any other name is written as a name, which is always right.
_SPDX: Final = frozenset(
    {
        "0BSD", "AFL-2.1", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-2.0", "Artistic-2.0", "BSD-2-Clause",
        "BSD-3-Clause", "BSL-1.0", "BlueOak-1.0.0", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "EPL-2.0", "EUPL-1.2",
        "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "HPND", "ISC", "LGPL-2.1-only",
        "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "OFL-1.1",
        "PSF-2.0", "Python-2.0", "Ruby", "Unicode-3.0", "Unlicense", "WTFPL", "ZPL-2.1", "Zlib", "MIT-Modern-Variant",
    }
)  # fmt: skip
_WORD: Final = re.compile(r"[A-Za-z0-9.+-]+")
_ACCOUNT: Final = re.compile(r"://[^/@\s]{1,500}@")
_TOGETHER: Final = frozenset({"AND", "OR"})


def document(inventory: Inventory, *, name: str, version: str = "") -> dict[str, Any]:
    """The bill of materials of `name`; what could not be read is said in the document too."""
    components = [_component(package) for package in inventory.packages]
    notes = [{"name": "lightrail:note", "value": note} for note in inventory.notes]
    files = [{"name": "lightrail:read", "value": path} for path in inventory.files]
    subject: dict[str, Any] = {"type": "application", "bom-ref": "source", "name": name}
    if version:
        subject["version"] = version
    told: dict[str, Any] = {
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [{"type": "application", "name": "lightrail"}]},
        "component": subject,
    }
    if notes or files:
        told["properties"] = [*files, *notes]
    known = {package.purl for package in inventory.packages}
    edges = [(package.purl, [one for one in package.needs if one in known]) for package in inventory.packages]
    graph = [{"ref": ref, "dependsOn": needs} for ref, needs in edges if needs]
    return _sealed(
        {
            **({"dependencies": graph} if graph else {}),
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": told,
            "components": components,
            "compositions": [{"aggregate": "incomplete" if inventory.notes else "unknown"}],
        }
    )


def settled(foreign: Mapping[str, Any]) -> dict[str, Any]:
    """Another tool's document without what differs from run to run: its time and number; its parts in order."""
    whole = dict(table(_without_passwords(foreign)))
    whole.pop("serialNumber", None)
    whole["metadata"] = {key: value for key, value in table(whole.get("metadata")).items() if key != "timestamp"}
    for part, key in (("components", "bom-ref"), ("dependencies", "ref")):
        if part in whole:
            whole[part] = sorted(rows(whole[part]), key=lambda one, key=key: text(one.get(key)))  # type: ignore[misc]
    return _sealed(whole)


def _without_passwords(value: Any) -> Any:  # noqa: ANN401 - JSON values are of every type
    """The value with no user and no password in any address: lock files of private registries hold them."""
    if isinstance(value, str):
        return _ACCOUNT.sub("://", value)
    if isinstance(value, Mapping):
        return {key: _without_passwords(one) for key, one in value.items()}
    return [_without_passwords(one) for one in value] if isinstance(value, list) else value


def spelled(whole: Mapping[str, Any]) -> bytes:
    """The document's one spelling."""
    return (json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def libraries(whole: Mapping[str, Any]) -> int:
    """How many packages the document names."""
    return sum(1 for one in rows(whole.get("components")) if text(one.get("purl")))


def _sealed(whole: dict[str, Any]) -> dict[str, Any]:
    """With a number made of the content: the same content has the same one."""
    digest = hashlib.sha256(spelled(whole)).digest()
    return {**whole, "serialNumber": f"urn:uuid:{UUID(bytes=digest[:16], version=5)}"}


def _component(package: Package) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "scope": "excluded" if package.development else "required",
    }
    if package.namespace:
        component["group"] = package.namespace
    if licences := _licences(package.licences):
        component["licenses"] = licences
    if package.found_in:
        component["properties"] = [{"name": "lightrail:found_in", "value": package.found_in}]
    return component


def _licences(names: tuple[str, ...]) -> list[dict[str, Any]]:
    plain = [name.strip("() ") for name in names if name.strip("() ")]
    if len(plain) == 1 and _is_expression(plain[0]):
        return [{"expression": names[0].strip()}]
    unique = dict.fromkeys(plain)
    return [{"license": {"id": name} if name in _SPDX else {"name": name}} for name in unique]


def _is_expression(name: str) -> bool:
    words = _WORD.findall(name)
    plain = "(" not in name and ")" not in name
    joined = [word in _TOGETHER for word in words]
    alternate = all(is_joint == (place % 2 == 1) for place, is_joint in enumerate(joined))
    known = all(word in _SPDX for word in words[::2])
    return plain and len(words) > 1 and len(words) % 2 == 1 and alternate and known and name == " ".join(words)
