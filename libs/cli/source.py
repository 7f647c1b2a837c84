"""`lr source set|show|clear|deploy|key|trust`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from libs.cli import screen, session, target
from libs.cli.session import EnvironmentName, Json, ServiceName
from libs.kernel.errors import Invalid

if TYPE_CHECKING:
    from libs.sdk.models import Source

app = App(name="source", help="Say where a service's source comes from, and deploy it from there.")
_PasswordStdin = Annotated[bool, Parameter(negative="", help="Read a password or an access token from standard input.")]


@app.command(name="set")
async def set_source(  # noqa: PLR0913 - the options of a source
    *,
    git: str | None = None,
    branch: str | None = None,
    watch: Annotated[list[str] | None, Parameter(name="--watch", negative="", consume_multiple=True)] = None,
    image: str | None = None,
    username: str | None = None,
    password_stdin: _PasswordStdin = False,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Set where the source comes from. What is not given stays as it was; "" unsets it.

    Parameters
    ----------
    git
        The repository: https://…, ssh://… or user@host:path.
    branch
        The branch that is deployed, and that pushes to the platform deploy.
    watch
        Patterns as in .gitignore: a push that changes none of these files is skipped.
    image
        A container image instead: registry.example/name:tag.
    username
        Name at the registry, or at the repository's host.
    """
    given = {"git_url": git, "branch": branch, "image": image, "username": username}
    password = sys.stdin.read().strip() if password_stdin else None
    if password is None and watch is None and all(value is None for value in given.values()):
        raise Invalid("There is nothing to set.", hint="Write --git URL, --branch NAME, or --watch PATTERN.")
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        now = await client.source(found.service_id, found.environment_id)
        source: dict[str, object] = {
            name: getattr(now, name) if value is None else value or None for name, value in given.items()
        }
        source["watch_paths"] = now.watch_paths if watch is None else [pattern for pattern in watch if pattern]
        if git and image is None:
            source["image"] = None
        if image and git is None:
            source["git_url"] = None
        if password is not None:
            source["password"] = password
        kept = await client.set_source(found.service_id, found.environment_id, source)
    return _shown(kept, as_json=as_json)


@app.command(name="show")
async def show(*, service: ServiceName = None, environment: EnvironmentName = None, as_json: Json = False) -> int:
    """Show where the source comes from."""
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        return _shown(await client.source(found.service_id, found.environment_id), as_json=as_json)


@app.command(name="clear")
async def clear(*, service: ServiceName = None, environment: EnvironmentName = None, as_json: Json = False) -> int:
    """Forget where the source comes from; the deploy key stays."""
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        await client.clear_source(found.service_id, found.environment_id)
    if as_json:
        screen.emit({"cleared": found.service_id})
    else:
        screen.say(
            f"{found.service_name} in {found.environment_name} has no source now. Deploy a directory with: lr up"
        )
    return 0


@app.command(name="deploy")
async def deploy(
    *,
    ref: str | None = None,
    detach: Annotated[bool, Parameter(name=["--detach", "-d"], negative="", help="Return at once.")] = False,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Deploy what the source says, and follow it.

    Parameters
    ----------
    ref
        A branch, a tag or a commit instead of the source's branch.
    """
    from libs.cli.up import deploy_git  # noqa: PLC0415 - only where something is deployed

    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        return await deploy_git(client, found, url="", ref=ref or "", detach=detach, as_json=as_json)


@app.command(name="key")
async def key(
    *,
    renew: Annotated[bool, Parameter(negative="", help="Make a new key although there is one.")] = False,
    delete: Annotated[bool, Parameter(negative="", help="Forget the key.")] = False,
    service: ServiceName = None,
    environment: EnvironmentName = None,
    as_json: Json = False,
) -> int:
    """Show the service's deploy key, which is made when there is none: add it at the repository's host."""
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        if delete:
            await client.delete_deploy_key(found.service_id)
            screen.emit({"deleted": found.service_id}) if as_json else screen.say("The deploy key is forgotten.")
            return 0
        made = await client.create_deploy_key(found.service_id, renew=renew)
    if as_json:
        screen.emit(made)
    else:
        screen.say(made.deploy_key)
        screen.note("Add this line as a deploy key (read access) where the repository is.")
    return 0


@app.command(name="trust")
async def trust(*, service: ServiceName = None, environment: EnvironmentName = None, as_json: Json = False) -> int:
    """Forget the ssh host keys that were seen first: the next fetch trusts what it finds."""
    async with session.connect() as client:
        found = await target.find_service(client, service=service, environment=environment)
        await client.forget_host_keys(found.service_id)
    if as_json:
        screen.emit({"forgotten": found.service_id})
    else:
        screen.say(f"The next fetch of {found.service_name} trusts the key that its host shows.")
    return 0


def _shown(source: Source, *, as_json: bool) -> int:
    if as_json:
        screen.emit(source)
        return 0
    rows = [
        ("repository", source.git_url),
        ("branch", source.branch),
        ("image", source.image),
        ("watched", ", ".join(source.watch_paths)),
        ("user name", source.username),
        ("password", "(sealed)" if source.has_password else None),
        ("deploy key", source.deploy_key),
        *(("host key", f"{row.host} {row.kind} {row.fingerprint}") for row in source.host_keys),
    ]
    for name, value in rows:
        if value:
            screen.say(f"{name}: {value}")
    if not any(value for _, value in rows):
        screen.note("No source is set. Set one with: lr source set --git URL")
    return 0
