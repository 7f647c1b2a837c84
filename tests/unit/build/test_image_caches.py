from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.build.adapters.images.kept import spare

START = datetime(2026, 11, 1, tzinfo=UTC)


def image(ident: str, layer: str, minutes: int, *names: str) -> dict[str, Any]:
    created = (START + timedelta(minutes=minutes)).isoformat().replace("+00:00", ".123456789Z")
    return {"id": ident, "layer": layer, "created": created, **({"names": list(names)} if names else {})}


def layer(ident: str, parent: str, size: int) -> dict[str, Any]:
    return {"id": ident, "diff-size": size, **({"parent": parent} if parent else {})}


# base ── deps ── one        (two builds of one source: they share what they install)
#    │       └─── two
#    └─── final              (named)
LAYERS = [
    layer("base", "", 1000), layer("deps", "base", 100), layer("one", "deps", 10), layer("two", "deps", 1),
    layer("final", "base", 5),
]  # fmt: skip
IMAGES = [
    image("i-base", "base", 0, "lightrail/debian:build"), image("i-arg", "base", 1), image("i-deps", "deps", 2),
    image("i-one", "one", 3), image("i-one-env", "one", 4), image("i-two", "two", 5),
    image("i-copied", "final", 6), image("i-final", "final", 6, "lightrail/svc_1:bld_1"),
]  # fmt: skip


def found(images: list[dict[str, Any]], used: dict[str, datetime]) -> list[tuple[str, int]]:
    return [(cache.name, cache.size_bytes) for cache in spare(images, LAYERS, used)]


def test_only_ends_that_no_named_image_stands_on_go_and_the_last_takes_along_what_they_shared() -> None:
    assert found(IMAGES, {}) == [("layer one", 10), ("layer two", 101)]
    moments = [cache.used_at for cache in spare(IMAGES, LAYERS, {})]
    assert moments == [START + timedelta(minutes=n, microseconds=123456) for n in (4, 5)]


def test_what_a_later_build_took_over_goes_after_what_was_made_meanwhile() -> None:
    assert found(IMAGES, {"i-one": START + timedelta(hours=1)}) == [("layer two", 1), ("layer one", 110)]


def test_everything_stays_that_a_name_is_given_to() -> None:
    named = [{**one, "names": ["mine"]} if one["id"] == "i-one" else one for one in IMAGES]
    assert found(named, {}) == [("layer two", 1)]
    assert found([], {}) == []
