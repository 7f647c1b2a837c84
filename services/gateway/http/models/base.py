"""What all models share: strictness, ids, text that every part can store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from libs.kernel.errors import NotFound
from libs.kernel.ids import is_id

ItemT = TypeVar("ItemT")
INT32: Final = 2**31 - 1
INT64: Final = 2**63 - 1


class Asked(BaseModel):
    """A request body: unknown fields and wrong types are errors, never guesses."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Answered(BaseModel):
    """A response body."""

    model_config = ConfigDict(extra="forbid")


class Items(Answered, Generic[ItemT]):
    """A complete list."""

    items: Sequence[ItemT]


class Page(Answered, Generic[ItemT]):
    """A part of a list; pass `next_cursor` back as `cursor`. Null means the end."""

    items: Sequence[ItemT]
    next_cursor: str | None = None


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("It holds a NUL character, which nothing here can store.")
    return value


def _id_of(kind: str) -> AfterValidator:
    def check(value: str) -> str:
        if not is_id(value, kind):
            raise NotFound(f"{kind.capitalize()} “{value[:80]}” does not exist, or is not yours to see.")
        return value

    return AfterValidator(check)


Text = Annotated[str, Field(max_length=2048), AfterValidator(_storable)]
LongText = Annotated[str, Field(max_length=64 * 1024), AfterValidator(_storable)]
Name = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_storable)]
Password = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_storable)]
Email = Annotated[str, Field(min_length=3, max_length=320), AfterValidator(_storable)]

WorkspaceId = Annotated[str, _id_of("workspace")]
TokenId = Annotated[str, _id_of("token")]
ProjectId = Annotated[str, _id_of("project")]
EnvironmentId = Annotated[str, _id_of("environment")]
ServiceId = Annotated[str, _id_of("service")]
BuildId = Annotated[str, _id_of("build")]
SnapshotId = Annotated[str, _id_of("snapshot")]
DeploymentId = Annotated[str, _id_of("deployment")]
