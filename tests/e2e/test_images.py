"""A builder of images on a running platform: what it makes is named by its digest, and what is missing is said."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import pytest

from tests.contract.engines import require
from tests.e2e.application import Application

Make = Callable[..., Awaitable[Application]]
# Stands on nothing, so that no other image is needed; the tests of the builders have those that do.
DOCKERFILE = """\
FROM scratch AS pages
COPY index.html /site/

FROM pages
ARG COLOUR=none
ENV COLOUR=$COLOUR
COPY {style} /site/
"""
CONFIG = '[build]\nbuilder = "buildah"\n\n[build.arguments]\nCOLOUR = "very-blue"\n'


@pytest.mark.parametrize("platform", ["all"], indirect=True)
async def test_image_of_a_users_own_dockerfile_is_built_named_and_not_started(application: Make) -> None:
    require("buildah")
    app = await application("static-site")
    await app.up()
    live = (await app.deployments())[0]["id"]
    app.write("Dockerfile", DOCKERFILE.format(style="style.css"))
    app.write("lightrail.toml", CONFIG)
    app.edit("index.html", "Served as it lies", "Served from an image")

    run = await app.up(check=False)
    assert run.code != 0
    made = (await app.deployments())[0]
    assert made["state"] == "failed"
    assert "images need the docker runtime, which it does not have" in made["reason"]
    assert made["reason"] in run.text
    assert (await app.deployment(live))["state"] == "active", "what was live stays"
    assert "Served as it lies" in await app.text()

    build = (await app.lr("build", "status", "--json")).json()
    states = {stage["name"]: stage["state"] for stage in build["stages"]}
    assert states == dict.fromkeys(("fetch", "detect", "scan", "build", "publish"), "succeeded") | {"test": "skipped"}
    shown = (await app.lr("build", "status")).out
    assert all(re.search(rf"^{stage} +{state} ", shown, re.MULTILINE) for stage, state in states.items())
    log = (await app.lr("logs", "--build")).out
    assert re.search(r"^build +\$ COPY style\.css /site/$", log, re.MULTILINE)
    assert "LABEL" not in log, "what the platform adds is no line of theirs"
    image = f"lightrail/{app.id}:{build['id']}"
    assert re.search(rf"^publish +image {image}, sha256:[0-9a-f]{{64}}, [\d.]+ KiB$", log, re.MULTILINE)
    assert image in made["reason"]
    assert re.search(r"builder +buildah$", (await app.lr("build", "verify")).out, re.MULTILINE)

    app.write("Dockerfile", DOCKERFILE.format(style="no-such.css"))
    failed = await app.up(check=False)
    assert failed.code != 0
    assert "Dockerfile, line 7: The step build failed: “COPY no-such.css /site/” failed" in failed.text
    states = {stage["name"]: stage["state"] for stage in (await app.lr("build", "status", "--json")).json()["stages"]}
    assert (states["build"], states["publish"]) == ("failed", "skipped")
    assert "Served as it lies" in await app.text()
