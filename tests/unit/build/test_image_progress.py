from __future__ import annotations

from pathlib import Path

from services.build.adapters.images.progress import Begun, Ended, Event, Line, Progress
from services.build.adapters.images.recipes import Recipe
from services.build.adapters.images.telling import Teller, line_of
from tests.contract.workshop import Heard

PRINTED = """\
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile: 292B done
#1 DONE 0.0s

#4 [build 1/3] FROM lightrail/debian:build
#4 CACHED

#5 [build 2/3] RUN make all
#5 0.062 [build] not an instruction
#5 0.063 #6 DONE 0.1s
#5 ...

#6 [build 3/3] RUN make more
#6 0.010 half
#6 ERROR: executor failed running [/bin/sh -c make more]: exit code: 2

#5 [build 2/3] RUN make all
#5 CANCELED
------
 > [build 3/3] RUN make more:
#6 0.010 half
------
executor failed running [/bin/sh -c make more]: exit code: 2
"""


def events(text: str) -> tuple[Progress, list[Event]]:
    progress = Progress()
    return progress, [event for line in text.splitlines() for event in progress.read(line)]


def test_output_of_commands_is_told_apart_from_what_the_engine_says() -> None:
    progress, found = events(PRINTED)
    assert found == [
        Begun("FROM lightrail/debian:build"),
        Ended("FROM lightrail/debian:build", "CACHED"),
        Begun("RUN make all"),
        Line("RUN make all", "[build] not an instruction"),
        Line("RUN make all", "#6 DONE 0.1s"),
        Begun("RUN make more"),
        Line("RUN make more", "half"),
        Ended("RUN make more", "ERROR"),
        Ended("RUN make all", "CANCELED"),
    ]
    assert (progress.failed, progress.code) == ("RUN make more", 2)


def test_a_command_cannot_make_another_one_fail_by_what_it_prints() -> None:
    progress, _ = events("#5 [a 1/1] RUN x\n#5 0.1 #5 ERROR: exit code: 9\n#5 DONE 0.2s\n")
    assert (progress.failed, progress.code) == ("", None)


def test_the_line_of_an_instruction_is_where_it_begins() -> None:
    text = "FROM a\n# RUN make all\nRUN make \\\n    all\n\nRUN  make   more\nRUN echo $COLOUR and more\n"
    assert line_of(text, "RUN make     all") == 3
    assert line_of(text, "RUN make more") == 6
    assert line_of(text, "RUN echo red and more") == 7
    assert line_of(text, "RUN nothing like it") == 0


async def test_fault_outside_of_all_instructions_is_the_engines_own_sentence() -> None:
    place = Path("Dockerfile")
    recipe = Recipe(place, place, {}, {}, {}, {}, "", (), (), (), own=True)
    last = (
        "failed to solve with frontend dockerfile.v0: failed to create LLB definition: "
        "dockerfile parse error line 3: unknown instruction: RUNN"
    )
    fault = Teller(recipe, Heard(frozenset())).fault("", None, last)
    assert str(fault) == "The image could not be built: dockerfile parse error line 3: unknown instruction: RUNN"
