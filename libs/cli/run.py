"""`lr run -- CMD`: a local command with the service's variables."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Annotated

from cyclopts import Parameter

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid, NotFound


async def run(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Run a local command with the service's variables; its exit code is this command's.

    Parameters
    ----------
    command
        The command and its arguments, after “--”.
    as_json
        Print the variables instead of running anything.
    """
    if not command and not as_json:
        raise Invalid("Say what to run.", hint="lr run -- python manage.py shell")
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        variables = await client.variables(found.service_id, found.environment_id, rendered=True)
    values = {row.name: row.value for row in variables.items if row.value is not None}
    sealed = [row.name for row in variables.items if row.value is None]
    if as_json:
        screen.emit({"variables": values, "sealed": sealed})
        return 0
    if sealed:
        screen.note(f"Sealed variables cannot be read and are not set: {', '.join(sealed)}.")
    program = shutil.which(command[0], path=values.get("PATH") or os.environ.get("PATH"))
    if program is None:
        raise NotFound(f"There is no command “{command[0]}” here.", hint="Is it installed, and in PATH?")
    sys.stdout.flush()
    sys.stderr.flush()
    # Takes this process's place: signals, the terminal and the exit code are the command's own.
    return os.execve(program, list(command), {**os.environ, **values})  # noqa: S606 - argv as written, no shell
