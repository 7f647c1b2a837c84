"""Reads settings from the environment: every mistake is named at once, in one error."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret

T = TypeVar("T")


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED: Final = _Required()
_TRUE: Final = {"1", "true", "yes", "on"}
_FALSE: Final = {"0", "false", "no", "off", ""}


def setting(
    name: str,
    *,
    doc: str,
    default: object = REQUIRED,
    parse: Callable[[str], Any] | None = None,
) -> Any:  # noqa: ANN401 - the field's own annotation says what it is
    """Declares a dataclass field read from the environment variable `name`."""
    return field(metadata={"name": name, "doc": doc, "default": default, "parse": parse})


def load(cls: type[T], environ: Mapping[str, str]) -> T:
    """Builds `cls` from `environ`. Invalid names every variable that is missing or wrong."""
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    hints = get_type_hints(cls)
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]  # T is a dataclass by contract
        meta = item.metadata
        raw = environ.get(meta["name"])
        if raw is None:
            if meta["default"] is REQUIRED:
                mistakes.append(f"{meta['name']} is not set ({meta['doc']})")
            else:
                values[item.name] = meta["default"]
            continue
        try:
            values[item.name] = meta["parse"](raw) if meta["parse"] else _convert(raw, hints[item.name])
        except (ValueError, TypeError, Invalid) as error:
            mistakes.append(f"{meta['name']} is wrong: {error} ({meta['doc']})")
    if mistakes:
        raise Invalid("The settings are not usable: " + "; ".join(mistakes) + ".")
    return cls(**values)


def describe(cls: type[Any], environ: Mapping[str, str]) -> list[dict[str, str]]:
    """Lists each setting with its value where it differs from the default; secrets stay hidden."""
    rows = []
    loaded = load(cls, environ)
    for item in dataclasses.fields(cls):
        value = getattr(loaded, item.name)
        default = item.metadata["default"]
        if value != default:
            rows.append({"name": item.metadata["name"], "value": str(value), "default": str(default)})
    return rows


def _convert(raw: str, wanted: Any) -> Any:  # noqa: ANN401 - types are data here
    if wanted is str:
        return raw
    if wanted is int:
        return int(raw)
    if wanted is float:
        return float(raw)
    if wanted is Path:
        return Path(raw).expanduser()
    if wanted is bool:
        lowered = raw.strip().lower()
        if lowered in _TRUE | _FALSE:
            return lowered in _TRUE
        raise ValueError(f"“{raw}” is neither yes nor no")
    if getattr(wanted, "__origin__", None) is Secret or wanted is Secret:
        if not raw.strip():
            raise ValueError("it is empty")
        return Secret(raw)
    raise TypeError(f"settings of type {wanted} need a parser")
