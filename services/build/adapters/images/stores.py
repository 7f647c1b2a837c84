"""The stores that images of this platform lie in, for collections: each knows only what bears the platform's label."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from libs.kernel.errors import Unavailable
from services.build.adapters.images.buildah import BuildahBuilder
from services.build.adapters.images.engine import Engine
from services.build.adapters.images.kept import is_layer
from services.build.adapters.images.remembered import Remembered
from services.build.app.keeping import MadeImage
from services.build.app.ports import Cache

_PLATFORM: Final = "dev.lightrail.platform"
_BUILD: Final = "dev.lightrail.build"


@dataclass(frozen=True, slots=True)
class EngineImages:
    """Images in a container engine; `platform` is the value of the label."""

    engine: Engine
    platform: str
    remembered: Remembered[MadeImage]

    async def made(self) -> list[MadeImage]:
        """Every image of this platform's."""
        try:
            return await self.remembered.look(self._ask)
        except Unavailable:
            return []  # no engine, nothing of ours to remove; looked at again at the next collection

    async def remove(self, image: MadeImage) -> None:
        """Removes it under all of its names; harmless when it is gone or in use."""
        await self.engine.remove(image.names or [image.id])

    async def _ask(self) -> list[MadeImage]:
        found = await self.engine.labelled(f"{_PLATFORM}={self.platform}")
        return [_made(one["Id"], one["RepoTags"] or [], one["Config"], one["Created"], one["Size"]) for one in found]


@dataclass(frozen=True, slots=True)
class BuildahImages:
    """Images in buildah's store."""

    builder: BuildahBuilder
    platform: str

    async def made(self) -> list[MadeImage]:
        """Every image of this platform's."""
        try:
            said = await self.builder.ask(
                "images", "--json", "--no-trunc", "--filter", f"label={_PLATFORM}={self.platform}"
            )
        except Unavailable:
            return []  # no buildah, nothing of ours to remove; looked at again at the next collection
        listed = json.loads(said.out) if said.code == 0 and said.out.strip() else []
        made = []
        for one in listed or []:
            found = await self.builder.inspect(one["id"])
            if found is not None:
                size = sum(layer["size"] for layer in json.loads(found["Manifest"])["layers"])
                names = [name.removeprefix("localhost/") for name in one["names"] or []]
                made.append(_made(one["id"], names, found["OCIv1"]["config"], found["OCIv1"]["created"], size))
        return made

    async def remove(self, image: MadeImage) -> None:
        """Removes it under all of its names, with the layers that only it had; harmless when it is gone."""
        await self.builder.ask("rmi", *(image.names or [image.id]))


@dataclass(frozen=True, slots=True)
class BuildahCaches:
    """What buildah's store keeps for the next build: layers that no named image has, and folders of cache mounts."""

    builder: BuildahBuilder

    async def measure(self) -> list[Cache]:
        """All of them."""
        return await asyncio.to_thread(self.builder.shelf.measure)

    async def remove(self, cache: Cache) -> bool:
        """Removes one; False while anything is built. Harmless when it is gone."""
        shelf = self.builder.shelf
        with shelf.alone() as nobody_builds:
            if not nobody_builds:
                return False
            if not is_layer(cache):
                await asyncio.to_thread(shelf.remove_mount, cache)
                return True
            for image in await asyncio.to_thread(shelf.images_of, cache):
                await self.builder.ask("rmi", image)
            return not await asyncio.to_thread(shelf.has_layer, cache)


def _made(ident: str, names: list[str], config: dict[str, Any], created: str, size: int) -> MadeImage:
    moment = datetime.fromisoformat(created).astimezone(UTC)
    labels = config.get("Labels") or {}
    return MadeImage(ident, tuple(names), str(labels.get(_BUILD, "")), moment, size)
