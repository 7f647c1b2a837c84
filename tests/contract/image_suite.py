"""What builders of images promise beside what all builders do."""

from __future__ import annotations

import pytest

from libs.kernel.errors import Unavailable
from libs.kernel.secret import Secret
from libs.plans.faults import BuildFault
from services.build.adapters.images.registry import Registry
from tests.contract.engines import PASSWORD, USER
from tests.contract.workshop import Workshop

__all__ = [
    "test_an_image_is_pushed_and_had_again_by_its_digest_alone",
    "test_an_image_says_whose_it_is_and_runs_as_nobody_special",
    "test_broken_example_is_told_with_its_failing_line",
    "test_changed_variable_runs_the_build_again_and_an_unchanged_one_does_not",
    "test_collection_sees_and_removes_only_what_bears_the_platforms_own_label",
    "test_fault_in_the_users_own_dockerfile_names_its_line",
    "test_file_that_is_not_there_is_named_with_the_line_that_wants_it",
    "test_the_users_own_dockerfile_is_built_as_it_is",
    "test_what_the_host_needs_to_reach_registries_is_seen_and_not_kept",
    "test_wrong_password_of_the_registry_is_the_platforms_fault_and_is_not_told",
]

OWN = """\
FROM lightrail/debian:run AS first
ARG COLOUR=red
RUN echo "$COLOUR" \\
    > /colour.txt

FROM first AS second
RUN echo not-this-one > /second.txt
"""


async def test_broken_example_is_told_with_its_failing_line(workshop: Workshop) -> None:
    with pytest.raises(
        BuildFault, match=r"The step install failed: .*uv pip install.* ended with exit code 1: "
    ) as fault:
        await workshop.build("broken-build")
    assert "flask==99.0.0" in str(fault.value)


async def test_an_image_says_whose_it_is_and_runs_as_nobody_special(workshop: Workshop) -> None:
    artifact = await workshop.build({"main.py": "print(1)\n"})
    settings = await workshop.settings(artifact)
    labels = settings["Labels"]
    assert labels["dev.lightrail.platform"] == "tests"
    assert labels["dev.lightrail.workspace"] == "wsp_1"
    assert labels["dev.lightrail.service"] == "svc_1"
    assert labels["dev.lightrail.build"].startswith("bld_")
    assert settings["User"] == "10001:10001"
    assert workshop.origin.driver == workshop.driver
    bases = {one.name: one.digest for one in workshop.origin.materials}
    assert bases["lightrail/debian:run"].startswith("sha256:")
    assert bases["Dockerfile"].startswith("sha256:")
    assert settings["WorkingDir"] == "/app"


async def test_changed_variable_runs_the_build_again_and_an_unchanged_one_does_not(workshop: Workshop) -> None:
    source, command = {"main.py": "print(1)\n"}, "echo colour is $COLOUR"
    seen = []
    for colour in ("red", "red", "blue"):
        await workshop.build(source, build_command=command, secrets={"COLOUR": f"a-{colour}-one"})
        seen.append("colour is •••" in workshop.heard.texts("build"))
    assert seen == [True, False, True]


async def test_the_users_own_dockerfile_is_built_as_it_is(workshop: Workshop) -> None:
    # The images it stands on are there once something else was built.
    await workshop.build({"main.py": "print(1)\n"})
    artifact = await workshop.build(
        {"docker/Other": OWN, "main.py": "print(1)\n"}, dockerfile="docker/Other", target="first",
        arguments={"COLOUR": "very-blue-indeed"},
    )  # fmt: skip
    everything = await workshop.contents(artifact)
    assert artifact.provider == "dockerfile"
    assert b"very-blue-indeed\n" in everything
    assert b"not-this-one\n" not in everything


async def test_fault_in_the_users_own_dockerfile_names_its_line(workshop: Workshop) -> None:
    await workshop.build({"main.py": "print(1)\n"})
    text = "FROM lightrail/debian:run\n\n# Why not.\nRUN echo fine && \\\n    echo 'error: no such colour' && exit 9\n"
    with pytest.raises(BuildFault) as fault:
        await workshop.build({"Dockerfile": text})
    assert str(fault.value).startswith("Dockerfile, line 4: The step build failed:")
    assert "ended with exit code 9: error: no such colour" in str(fault.value)


async def test_file_that_is_not_there_is_named_with_the_line_that_wants_it(workshop: Workshop) -> None:
    with pytest.raises(BuildFault) as fault:
        await workshop.build({"Dockerfile": 'FROM scratch\nLABEL note="a: b"\nCOPY no-such.css /site/\n'})
    said = str(fault.value)
    assert said.startswith("Dockerfile, line 3: The step build failed: “COPY no-such.css /site/” failed: ")
    assert "no-such.css" in said.rpartition("” failed: ")[2]
    assert str(workshop.site.home) not in said
    assert not any("dev.lightrail" in text for text in workshop.heard.texts("build"))


async def test_what_the_host_needs_to_reach_registries_is_seen_and_not_kept(workshop: Workshop) -> None:
    workshop.show_host("MIRROR_TOKEN", "held-by-the-host-only")
    source = {"main.py": "print(1)\n"}
    artifact = await workshop.build(source, build_command='echo "seen: $MIRROR_TOKEN"')
    assert "seen: held-by-the-host-only" in workshop.heard.texts("build")
    everything = await workshop.contents(artifact)
    assert b"held-by-the-host-only" not in everything


async def test_an_image_is_pushed_and_had_again_by_its_digest_alone(workshop: Workshop, registry_address: str) -> None:
    assert workshop.pushing
    assert workshop.pull
    there = Registry(f"{registry_address}/team", USER, Secret(PASSWORD), insecure=True)
    pushing = workshop.pushing(there)
    artifact = await pushing.build({"main.py": "print(1)\n"})
    assert artifact.image
    assert artifact.image.reference == f"{registry_address}/team/svc_1@{artifact.image.digest}"
    assert ("publish", f"pushed {artifact.image.reference}") in pushing.heard.lines
    assert await workshop.pull(artifact.image.reference, there) == "/app"


async def test_wrong_password_of_the_registry_is_the_platforms_fault_and_is_not_told(
    workshop: Workshop, registry_address: str
) -> None:
    assert workshop.pushing
    wrong = "a-wrong-password"
    pushing = workshop.pushing(Registry(registry_address, USER, Secret(wrong), insecure=True))
    with pytest.raises(Unavailable, match="could not be pushed") as fault:
        await pushing.build({"main.py": "print(1)\n"})
    assert wrong not in str(fault.value)


async def test_collection_sees_and_removes_only_what_bears_the_platforms_own_label(workshop: Workshop) -> None:
    store = workshop.store
    assert store
    artifact = await workshop.build({"main.py": "print('to be collected')\n"})
    assert artifact.image
    made = await store.made()
    named = {name for one in made for name in one.names}
    assert artifact.image.reference in named
    # The stack's own images bear another label.
    assert not any(name.startswith("lightrail/debian") for name in named)
    mine = next(one for one in made if artifact.image.reference in one.names)
    assert mine.build_id.startswith("bld_")
    assert abs((mine.created_at - workshop.site.clock.now()).total_seconds()) < 600
    await store.remove(mine)
    assert artifact.image.reference not in {name for one in await store.made() for name in one.names}
    await store.remove(mine)
    await workshop.build({"main.py": "print('the stack is still there')\n"})
