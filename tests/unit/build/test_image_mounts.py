from __future__ import annotations

import pytest

from services.build.adapters.images.mounts import reaching_out


@pytest.mark.parametrize(
    "text",
    [
        "RUN --mount=type=bind,source=link,target=/x ls /x",
        "RUN --mount=type=cache,id=../../../etc,target=/x ls",
        "RUN --mount=target=/x ls",
        "run  --MOUNT=Type=Bind,target=/x ls",
        'RUN --mount="type=bind",target=/x ls',
        "RUN --mou\\\n# nothing\n\nnt=type=bind,target=/x ls",
        "RUN --mount=type=secret,id=a\\\n  --mount=type=bind,target=/x ls",
        "RUN --mount=type=secret,id=a --mount=type=cache,target=/x ls",
        "RUN --mount=type=$KIND,target=/x ls",
        "ONBUILD RUN --mount=type=bind,target=/x ls",
        "RUN --mount=type=bind,target=/x \\",
    ],
)
def test_mount_that_may_lead_out_is_found_where_its_instruction_begins(text: str) -> None:
    assert reaching_out(f"FROM scratch\n# Why.\n{text}\n") == 3


def test_other_instructions_are_let_be() -> None:
    text = "FROM a\nRUN --mount=type=secret,id=npm --mount=id=b,type=tmpfs,target=/t \\\n  npm ci\nRUN mount\n"
    assert reaching_out(text) == 0
