"""`lr completion`: a script that completes commands and options in a shell."""

from __future__ import annotations

from typing import Literal

from libs.cli import screen
from libs.cli.main import build
from libs.cli.session import Json


def completion(shell: Literal["bash", "zsh", "fish"], /, *, as_json: Json = False) -> int:
    """Print a completion script, as for: lr completion bash > ~/.local/share/bash-completion/completions/lr.

    Parameters
    ----------
    shell
        Which shell it is for.
    """
    script = build().generate_completion(prog_name="lr", shell=shell)
    if as_json:
        screen.emit({"shell": shell, "script": script})
    else:
        screen.say(script)
    return 0
