"""One suite for every builder. A driver's test module imports `*` and gives the fixture `workshop`."""

from __future__ import annotations

import asyncio
import base64
import secrets

import pytest

from libs.plans.faults import BuildFault
from libs.testing.eventually import eventually
from tests.contract.workshop import Workshop, alive, holding

__all__ = [
    "test_an_example_becomes_an_artifact_with_its_files",
    "test_cancelled_build_has_no_process_left_within_two_seconds",
    "test_failing_command_is_named_with_its_exit_code_and_its_words",
    "test_failing_test_command_is_the_users_fault",
    "test_second_build_of_the_same_source_installs_nothing_again",
    "test_secret_is_seen_by_commands_and_is_nowhere_in_the_result_or_the_log",
]


@pytest.mark.parametrize(
    ("example", "start", "file"),
    [
        ("guestbook-python", "uvicorn main:app --host {address} --port $PORT", b"main.py"),
        ("node-express", "node server.js", b"server.js"),
        ("static-site", "lightrail-static /app", b"style.css"),
    ],
)
async def test_an_example_becomes_an_artifact_with_its_files(
    workshop: Workshop, example: str, start: str, file: bytes
) -> None:
    artifact = await workshop.build(example)
    address = "127.0.0.1" if workshop.driver == "slug" else "0.0.0.0"  # noqa: S104 - inside a container
    assert artifact.start_command == start.format(address=address)
    assert (artifact.image is None) == (workshop.driver == "slug")
    assert file in await workshop.contents(artifact)


async def test_second_build_of_the_same_source_installs_nothing_again(workshop: Workshop) -> None:
    first = {"requirements.txt": "itsdangerous==2.2.0\n", "main.py": "print(1)\n"}
    await workshop.build(first)
    assert any("itsdangerous" in text for text in workshop.heard.texts("install"))
    await workshop.build({**first, "main.py": "print(2)\n"})
    assert any("cached" in text for text in workshop.heard.texts("install"))
    assert not any("+ itsdangerous" in text for text in workshop.heard.texts("install"))


async def test_failing_command_is_named_with_its_exit_code_and_its_words(workshop: Workshop) -> None:
    source = {"main.py": "print(1)\n"}
    with pytest.raises(BuildFault) as fault:
        await workshop.build(source, build_command="echo fine; echo 'error: the sky is green' >&2; exit 7")
    assert "The step build failed" in str(fault.value)
    assert "ended with exit code 7: error: the sky is green" in str(fault.value)
    assert "fine" in workshop.heard.texts("build")


async def test_failing_test_command_is_the_users_fault(workshop: Workshop) -> None:
    source = {"main.py": "print(1)\n"}
    with pytest.raises(BuildFault, match=r"The step test failed: .* ended with exit code 3"):
        await workshop.build(source, build_command="echo built > built", test_command="grep built built; exit 3")
    assert "built" in workshop.heard.texts("test")


async def test_secret_is_seen_by_commands_and_is_nowhere_in_the_result_or_the_log(workshop: Workshop) -> None:
    value, word = f"s3cret-{secrets.token_hex(12)}", secrets.token_hex(8)
    # A file that only a stage on the way has, and whose content stands in no command: it must be found below.
    command = f'echo "the token is $API_TOKEN" && echo ${{#API_TOKEN}} > length && printf "on-%s" {word} > /var/tmp/way'
    if workshop.place is None:
        command = command.rpartition(" && ")[0]
    artifact = await workshop.build({"main.py": "print(1)\n"}, build_command=command, secrets={"API_TOKEN": value})
    assert "the token is •••" in workshop.heard.texts("build")
    everything = await workshop.contents(artifact)
    assert b"length" in everything
    for hidden in (value.encode(), base64.b64encode(value.encode()), value.encode().hex().encode()):
        assert hidden not in everything
        assert hidden not in artifact.canonical()
        assert hidden not in repr(workshop.origin).encode()
    assert not any(value in text for _, text in workshop.heard.lines)
    if workshop.place:
        # Every layer of every stage, every label and history, every cache and passing file of the builder's own.
        assert await asyncio.to_thread(holding, workshop.place, f"on-{word}")
        assert await asyncio.to_thread(holding, workshop.place, value) == []


async def test_cancelled_build_has_no_process_left_within_two_seconds(workshop: Workshop) -> None:
    word = str(10_000_000 + secrets.randbelow(80_000_000))
    command = f"trap '' TERM; sleep {word} & sleep {word}; true"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(workshop.build({"main.py": "print(1)\n"}, build_command=command))
        await eventually(lambda: len(alive(word)) == 2, within=60)
        task.cancel()
        await eventually(lambda: not alive(word), within=2)
    assert task.cancelled()
