"""`lr completion`: a script that completes commands and options in a shell."""

from __future__ import annotations

from typing import Literal

from libs.cli import screen
from libs.cli.main import build


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a completion script, as for: lr completion bash > ~/.local/share/bash-completion/completions/lr.

    Parameters
    ----------
    shell
        Which shell it is for.
    """
    screen.say(build().generate_completion(prog_name="lr", shell=shell))
    return 0
