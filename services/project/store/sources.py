"""Sources, deploy keys and host keys in PostgreSQL; what is secret is encrypted for its place."""

from __future__ import annotations

from collections.abc import Sequence

from libs.db import Database
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from services.project.app.ports import Keyring, Place
from services.project.app.sources import KeyPair
from services.project.domain.model import Service, Setup
from services.project.domain.source import HostKey, Source


class PostgresSources:
    """The tables `service_sources`, `deploy_keys` and `host_keys`."""

    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    async def check_key(self) -> None:
        """Passes when the keyring opens what is kept; Invalid when it was encrypted under another key."""
        other = await self._db.fetchval(
            "select (select count(*) from service_sources where box is not null and key_id <> $1)"
            " + (select count(*) from deploy_keys where key_id <> $1)",
            self._keyring.key_id,
        )
        if other:
            raise Invalid(
                f"{other} keys and passwords are encrypted under another key than the one in"
                " LIGHTRAIL_SECRETS_KEY_FILE.",
                hint="Put the old key file back: nothing else opens them.",
            )

    async def load(self, setup: Setup) -> Source:
        """The source of a service in an environment; an empty one when nothing is set."""
        row = await self._db.fetchrow(
            "select git_url, branch, watch_paths, image, username, box from service_sources"
            " where service_id = $1 and environment_id = $2 and workspace_id = $3",
            *_key(setup),
        )
        if row is None:
            return Source()
        password = None
        if row["box"] is not None:
            (plain,) = await self._keyring.open([(_password(setup), row["box"])])
            password = Secret(plain.decode())
        return Source(row["git_url"], row["branch"], tuple(row["watch_paths"]), row["image"], row["username"], password)

    async def save(self, setup: Setup, source: Source) -> None:
        """Takes the place of what was set."""
        box = None
        if source.password is not None:
            (box,) = await self._keyring.seal([(_password(setup), source.password.reveal().encode())])
        await self._db.execute(
            "insert into service_sources"
            " (service_id, environment_id, workspace_id, git_url, branch, watch_paths, image, username, key_id, box)"
            " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (service_id, environment_id) do update"
            " set git_url = excluded.git_url, branch = excluded.branch, watch_paths = excluded.watch_paths,"
            " image = excluded.image, username = excluded.username, key_id = excluded.key_id, box = excluded.box",
            *_key(setup),
            source.git_url,
            source.branch,
            list(source.watch_paths),
            source.image,
            source.username,
            self._keyring.key_id,
            box,
        )

    async def clear(self, setup: Setup) -> None:
        """Forgets it; harmless when there is none."""
        await self._db.execute(
            "delete from service_sources where service_id = $1 and environment_id = $2 and workspace_id = $3",
            *_key(setup),
        )

    async def key(self, service: Service) -> KeyPair | None:
        """The service's deploy key."""
        row = await self._db.fetchrow(
            "select public, box from deploy_keys where service_id = $1 and workspace_id = $2",
            service.id,
            service.workspace_id,
        )
        if row is None:
            return None
        (plain,) = await self._keyring.open([(_private(service), row["box"])])
        return KeyPair(row["public"], Secret(plain.decode()))

    async def add_key(self, service: Service, pair: KeyPair, *, replace: bool) -> None:
        """Keeps a key; one that is there stays unless it is to be replaced."""
        (box,) = await self._keyring.seal([(_private(service), pair.private.reveal().encode())])
        await self._db.execute(
            "insert into deploy_keys (service_id, workspace_id, public, key_id, box) values ($1, $2, $3, $4, $5)"
            " on conflict (service_id) do update set public = excluded.public, key_id = excluded.key_id,"
            " box = excluded.box where $6",
            service.id,
            service.workspace_id,
            pair.public,
            self._keyring.key_id,
            box,
            replace,
        )

    async def delete_key(self, service: Service) -> None:
        """Forgets the key; harmless when there is none."""
        await self._db.execute(
            "delete from deploy_keys where service_id = $1 and workspace_id = $2", service.id, service.workspace_id
        )

    async def host_keys(self, service: Service) -> list[HostKey]:
        """Keys that hosts showed first."""
        rows = await self._db.fetch(
            "select host, kind, key from host_keys where service_id = $1 and workspace_id = $2 order by host, kind",
            service.id,
            service.workspace_id,
        )
        return [HostKey(**row) for row in rows]

    async def keep_host_keys(self, service: Service, keys: Sequence[HostKey]) -> None:
        """Remembers keys of hosts of which none is known; those of other hosts stay as they are."""
        async with self._db.tx():
            await self._db.execute("select pg_advisory_xact_lock(hashtext($1))", f"host_keys:{service.id}")
            known = {key.host for key in await self.host_keys(service)}
            await self._db.executemany(
                "insert into host_keys (service_id, workspace_id, host, kind, key) values ($1, $2, $3, $4, $5)"
                " on conflict do nothing",
                [
                    (service.id, service.workspace_id, key.host, key.kind, key.key)
                    for key in keys
                    if key.host not in known
                ],
            )

    async def forget_host_keys(self, service: Service) -> None:
        """Forgets all of them."""
        await self._db.execute(
            "delete from host_keys where service_id = $1 and workspace_id = $2", service.id, service.workspace_id
        )


def _key(setup: Setup) -> tuple[str, str, str]:
    return setup.service.id, setup.environment.id, setup.service.workspace_id


def _password(setup: Setup) -> Place:
    return setup.service.workspace_id, setup.environment.id, setup.service.id, "", "source password"


def _private(service: Service) -> Place:
    return service.workspace_id, "", service.id, "", "deploy key"
