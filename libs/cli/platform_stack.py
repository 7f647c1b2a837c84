"""`lr platform stack …`: makes and lists the images that builds of images stand on, without an image registry."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from cyclopts import App

from libs.cli import platform_start, screen
from libs.cli.session import Json
from libs.embedded.home import Home
from libs.kernel.units import show_bytes
from libs.stacks.debian import make_stack, read_stack

app = App(name="stack", help="Images that builds of images stand on, made on this machine.")


@app.command
def build(*mirrors: str, as_json: Json = False) -> int:
    """Make the stack “debian” anew: Debian's Python, Node and a file server, from packages.

    Parameters
    ----------
    mirrors
        Debian archives, as mmdebstrap takes them: addresses, or files of sources. Left out: its own choice.
    """
    began = time.monotonic()
    stack = make_stack(_folder(), _quiet if as_json else screen.say, mirrors=mirrors)
    seconds = time.monotonic() - began
    if as_json:
        screen.emit({**asdict(stack), "seconds": round(seconds, 3)})
    else:
        screen.say(f"{stack.name}: {stack.holds}; {show_bytes(stack.bytes)} in {seconds:.0f} s.")
        screen.say("Builders load it when they need it.")
    return 0


@app.command(name="list")
def show_list(*, as_json: Json = False) -> int:
    """Show the stacks on this machine, with the ids of their images."""
    stack = read_stack(_folder())
    if as_json:
        screen.emit([asdict(stack)] if stack else [])
        return 0
    if stack is None:
        screen.say("There is no stack on this machine. To make one: lr platform stack build")
        return 0
    screen.say(f"{stack.name}: {stack.holds}; {show_bytes(stack.bytes)}")
    for name, ident in stack.images.items():
        screen.say(f"  {name:28} {ident}")
    return 0


def _folder() -> Path:
    return Home(platform_start.configured(None).home).path / "stacks"


def _quiet(_text: str) -> None:
    """Says nothing."""
