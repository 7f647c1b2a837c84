"""`lightrail`, alias `lr`. Commands are imported when they are called, so that every other one starts fast."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

# Nothing else here: Ctrl-C during an import outside of `main` is a traceback.
if TYPE_CHECKING:
    from cyclopts import App

    from libs.kernel.errors import Failure

_HERE: Final = "libs.cli"
# Name, where it lives, its one line in the list of commands.
_COMMANDS: Final = (
    ("login", "account:login", "Sign in; the first time, make the first account."),
    ("logout", "account:logout", "End the session."),
    ("whoami", "account:whoami", "Show who is signed in, and where."),
    ("init", "projects:init", "Make a project and link this directory to it."),
    ("link", "projects:link", "Link this directory to a project and a service."),
    ("list", "projects:list_projects", "List projects and their services."),
    ("settings", "projects:settings", "Show or change the linked project's settings."),
    ("status", "projects:status", "Show the linked project's services and where they answer."),
    ("open", "projects:open_service", "Open the service in a browser."),
    ("up", "up:up", "Deploy a directory and follow it until it is live."),
    ("deployments", "deployments:deployments", "List deployments, newest first."),
    ("logs", "logs:logs", "Show what a service prints, or a build's log."),
    ("redeploy", "deployments:redeploy", "Build the same source again."),
    ("rollback", "deployments:rollback", "Bring an older deployment back, without a build."),
    ("down", "deployments:down", "Stop the service."),
    ("run", "run:run", "Run a local command with the service's variables."),
    ("usage", "usage:usage", "Show what was used this month, and what it costs."),
    ("completion", "completion:completion", "Print a completion script for a shell."),
)
_GROUPS: Final = (
    ("variables", "variables:app", "List, set and delete variables."),
    ("service", "service:app", "Show and change how a service is built and run."),
    ("source", "source:app", "Say where a service's source comes from, and deploy it from there."),
    ("build", "build:app", "Show how a directory would be built, and how a build went."),
    ("config", "build:config", "Check the files that say how a directory is built."),
    ("tokens", "tokens:app", "Make, list and revoke API tokens."),
    ("platform", "platform:app", "Start, stop and look after the platform on this machine."),
)


def build() -> App:
    """The command line as a whole."""
    from cyclopts import App  # noqa: PLC0415 - see above

    app = App(
        name="lr",
        help="Lightrail: push code, get a live URL, on a machine you own.",
        version=_version,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, place, line in _COMMANDS:
        app.command(f"{_HERE}.{place}", name=name, help=line)
    for name, place, line in _GROUPS:
        app.command(f"{_HERE}.{place}", name=name, help=line)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code is 0 only when it did what was asked."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has gone, as in `| head`: nothing more to say, to anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(arguments: list[str]) -> int:
    from cyclopts import CycloptsError  # noqa: PLC0415 - see above

    from libs.kernel.errors import Failure  # noqa: PLC0415 - see above

    as_json = "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
    try:
        result = build()(arguments, print_error=not as_json, exit_on_error=False)
    except CycloptsError as error:
        if as_json:
            _emit_error("invalid", str(error), "See: lr --help")
        return 2
    except Failure as failure:
        return _failed(failure, as_json=as_json)
    return result if isinstance(result, int) else 0


def _failed(failure: Failure, *, as_json: bool) -> int:
    from libs.kernel.errors import Denied  # noqa: PLC0415 - see above

    hint = failure.hint
    if isinstance(failure, Denied) and failure.unauthenticated and "lr login" not in str(failure):
        hint = "Sign in with: lr login"
    if as_json:
        _emit_error(failure.kind, failure.message, hint, failure.field)
    else:
        sys.stdout.flush()
        sys.stderr.write(f"{failure.message}{f' {hint}' if hint else ''}\n")
    return 1


def _emit_error(kind: str, message: str, hint: str | None, field: str | None = None) -> None:
    from libs.cli import screen  # noqa: PLC0415 - only when it is needed

    screen.emit_line({"error": {"kind": kind, "message": message, "hint": hint, "field": field}})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - only for --version

    try:
        return version("lightrail")
    except PackageNotFoundError:
        return "0.0.0 (not installed)"


if __name__ == "__main__":
    raise SystemExit(main())
