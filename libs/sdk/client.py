"""The client: one method for each call the API offers to people and programs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO, Final, TypeVar

import msgspec

from libs.kernel.units import KIB
from libs.sdk import models, scans, upkeep
from libs.sdk.operating import Operating
from libs.sdk.transport import Params, part

T = TypeVar("T")
NOTHING: Final = type(None)
CHUNK: Final = 256 * KIB
# Seconds for one upload.
UPLOAD_SECONDS: Final = 1800.0


class _Items(msgspec.Struct):
    items: list[msgspec.Raw]
    next_cursor: str | None = None


class Client(Operating):
    """`async with Client(api, token) as client: …`. Every method raises the Failure that the API told of."""

    # Session and accounts

    async def setup_status(self) -> models.SetupStatus:
        """Whether the platform has its first account."""
        return await self.call("GET", "/setup", models.SetupStatus)

    async def set_up(self, setup_token: str, email: str, password: str, name: str = "") -> models.Session:
        """Makes the first account with the one-time set-up token."""
        body = {"setup_token": setup_token, "email": email, "password": password, "name": name}
        return await self.call("POST", "/setup", models.Session, body=body)

    async def login(self, email: str, password: str) -> models.Session:
        """Begins a session."""
        return await self.call("POST", "/login", models.Session, body={"email": email, "password": password})

    async def logout(self) -> None:
        """Ends the session behind the client's credential."""
        await self.call("POST", "/logout", NOTHING, repeatable=True)

    async def me(self) -> models.Me:
        """Who the credential stands for."""
        return await self.call("GET", "/me", models.Me)

    async def health(self) -> models.Health:
        """Whether the platform is ready; Unavailable when it is not."""
        return await self.call("GET", "/health", models.Health, repeatable=False)

    async def tokens(self) -> list[models.Token]:
        """The caller's tokens."""
        return await self._list("/tokens", models.Token)

    async def create_token(
        self,
        name: str,
        *,
        workspace_id: str | None = None,
        project_id: str | None = None,
        environment_id: str | None = None,
        role: str | None = None,
        lifetime_seconds: int | None = None,
    ) -> models.CreatedToken:
        """Makes a token; its secret is in the answer and nowhere else."""
        body = {
            "name": name,
            "workspace_id": workspace_id,
            "project_id": project_id,
            "environment_id": environment_id,
            "role": role,
            "lifetime_seconds": lifetime_seconds,
        }
        return await self.call("POST", "/tokens", models.CreatedToken, body=body)

    async def revoke_token(self, token_id: str) -> None:
        """Revokes a token."""
        await self.call("DELETE", f"/tokens/{part(token_id)}", NOTHING)

    # Projects and services

    async def projects(self) -> list[models.Project]:
        """Every project the caller may see."""
        return [project async for project in self._pages("/projects", {}, models.Project)]

    async def project(self, project_id: str) -> models.Project:
        """One project."""
        return await self.call("GET", f"/projects/{part(project_id)}", models.Project)

    async def create_project(self, name: str, *, workspace_id: str | None = None) -> models.Project:
        """Makes a project with the environment “production”."""
        return await self.call("POST", "/projects", models.Project, body={"name": name, "workspace_id": workspace_id})

    async def update_project(
        self, project_id: str, *, scan_policy: str | None = None, scan_severity: str | None = None
    ) -> models.Project:
        """Changes what is given."""
        body = {"scan_policy": scan_policy, "scan_severity": scan_severity}
        return await self.call("PATCH", f"/projects/{part(project_id)}", models.Project, body=body, repeatable=True)

    async def services(self, project_id: str, *, environment_id: str = "") -> list[models.Service]:
        """Services of a project as they are in an environment; its first one unless told."""
        params = {"project_id": project_id, "environment_id": environment_id}
        return await self._list("/services", models.Service, params)

    async def service(self, service_id: str, *, environment_id: str = "") -> models.Service:
        """One service as it is in an environment; the project's first one unless told."""
        params = {"environment_id": environment_id}
        return await self.call("GET", f"/services/{part(service_id)}", models.Service, params=params)

    async def create_service(self, project_id: str, name: str) -> models.Service:
        """Makes a service."""
        return await self.call("POST", "/services", models.Service, body={"project_id": project_id, "name": name})

    async def set_settings(
        self, service_id: str, environment_id: str, settings: Mapping[str, object]
    ) -> models.Service:
        """Changes the settings that are given; None puts one back to its default."""
        body = {"environment_id": environment_id, "settings": settings}
        return await self.call("PATCH", f"/services/{part(service_id)}", models.Service, body=body, repeatable=True)

    # Variables; `service_id` empty means those the environment's services share

    async def variables(self, service_id: str, environment_id: str, *, rendered: bool = False) -> models.Variables:
        """Variables as written, or rendered."""
        path, params = _variables(service_id, environment_id)
        return await self.call("GET", path, models.Variables, params={**params, "rendered": str(rendered).lower()})

    async def set_variables(
        self,
        service_id: str,
        environment_id: str,
        values: Mapping[str, str],
        *,
        replace: bool = False,
        skip_deploys: bool = False,
        sealed: bool = False,
    ) -> models.VariablesVersion:
        """Sets variables; with `replace` those not given are deleted."""
        path, params = _variables(service_id, environment_id)
        body = {"values": dict(values), "skip_deploys": skip_deploys, "sealed": sealed, **params}
        method = "PUT" if replace else "PATCH"
        return await self.call(method, path, models.VariablesVersion, body=body, repeatable=True)

    async def delete_variable(
        self, service_id: str, environment_id: str, name: str, *, skip_deploys: bool = False
    ) -> models.VariablesVersion:
        """Deletes one variable."""
        path, params = _variables(service_id, environment_id)
        query = {**params, "skip_deploys": str(skip_deploys).lower()}
        return await self.call(
            "DELETE", f"{path}/{part(name)}", models.VariablesVersion, params=query, repeatable=False
        )

    # Deployments

    async def upload_snapshot(
        self, service_id: str, archive: BinaryIO, size: int, *, progress: Callable[[int], None] | None = None
    ) -> models.Snapshot:
        """Sends a gzipped tar of `size` bytes in pieces; `progress` hears how many bytes have gone."""

        async def pieces() -> AsyncIterator[bytes]:
            sent = 0
            while piece := archive.read(CHUNK):
                yield piece
                sent += len(piece)
                if progress is not None:
                    progress(sent)

        return await self.call(
            "POST",
            f"/services/{part(service_id)}/snapshots",
            models.Snapshot,
            headers={"Content-Type": "application/gzip", "Content-Length": str(size)},
            content=pieces(),
            seconds=UPLOAD_SECONDS,
        )

    async def create_deployment(
        self, service_id: str, environment_id: str, snapshot_id: str, *, key: str
    ) -> models.Deployment:
        """Asks for a deployment; the same `key` within a day gives the same one."""
        body = {"service_id": service_id, "environment_id": environment_id or None, "snapshot_id": snapshot_id}
        headers = {"Idempotency-Key": key}
        return await self.call("POST", "/deployments", models.Deployment, body=body, headers=headers, repeatable=True)

    async def create_git_deployment(
        self, service_id: str, environment_id: str, *, url: str = "", ref: str = "", key: str
    ) -> models.Deployment:
        """Asks for a deployment of a commit; what is left out is the service's source's."""
        git = {"url": url or None, "ref": ref or None}
        body = {"service_id": service_id, "environment_id": environment_id or None, "git": git}
        headers = {"Idempotency-Key": key}
        return await self.call("POST", "/deployments", models.Deployment, body=body, headers=headers, repeatable=True)

    async def source(self, service_id: str, environment_id: str) -> models.Source:
        """Where a service's source comes from."""
        params: Params = {"environment_id": environment_id}
        return await self.call("GET", f"/services/{part(service_id)}/source", models.Source, params=params)

    async def set_source(self, service_id: str, environment_id: str, source: dict[str, object]) -> models.Source:
        """Sets where a service's source comes from; what is left out is unset."""
        body = {"environment_id": environment_id or None, **source}
        return await self.call("PUT", f"/services/{part(service_id)}/source", models.Source, body=body)

    async def clear_source(self, service_id: str, environment_id: str) -> None:
        """Forgets where a service's source comes from."""
        params: Params = {"environment_id": environment_id}
        await self.call("DELETE", f"/services/{part(service_id)}/source", NOTHING, params=params)

    async def create_deploy_key(self, service_id: str, *, renew: bool = False) -> models.DeployKey:
        """The public half of the service's ssh key, which is made when there is none."""
        path = f"/services/{part(service_id)}/deploy-key"
        params: Params = {"renew": "true" if renew else "false"}
        return await self.call("POST", path, models.DeployKey, params=params)

    async def delete_deploy_key(self, service_id: str) -> None:
        """Forgets the service's ssh key."""
        await self.call("DELETE", f"/services/{part(service_id)}/deploy-key", NOTHING)

    async def forget_host_keys(self, service_id: str) -> None:
        """Forgets the keys that ssh hosts showed first."""
        await self.call("DELETE", f"/services/{part(service_id)}/host-keys", NOTHING)

    async def deployments(
        self, *, service_id: str = "", environment_id: str = "", project_id: str = "", limit: int = 20
    ) -> list[models.Deployment]:
        """The newest deployments, newest first."""
        params: Params = {
            "service_id": service_id,
            "environment_id": environment_id,
            "project_id": project_id,
            "limit": limit,
        }
        return await self._list("/deployments", models.Deployment, params)

    async def deployment(self, deployment_id: str) -> models.Deployment:
        """One deployment with its instances."""
        return await self.call("GET", f"/deployments/{part(deployment_id)}", models.Deployment)

    async def delete_deployment(self, deployment_id: str) -> models.Deployment:
        """Cancels or stops a deployment."""
        return await self.call("DELETE", f"/deployments/{part(deployment_id)}", models.Deployment)

    async def redeploy(self, deployment_id: str) -> models.Deployment:
        """Builds the same source again."""
        return await self.call("POST", f"/deployments/{part(deployment_id)}/redeploy", models.Deployment)

    async def rollback(self, deployment_id: str) -> models.Deployment:
        """Starts an older deployment's artifact, variables and settings again."""
        return await self.call("POST", f"/deployments/{part(deployment_id)}/rollback", models.Deployment)

    async def watch(self, deployment_id: str) -> AsyncGenerator[models.Deployment, None]:
        """The deployment now and on each change of state, until it is active or over."""
        path = f"/deployments/{part(deployment_id)}/events"
        async for event in self.events(path):
            yield msgspec.json.decode(event.data, type=models.Deployment)

    # Builds

    async def build(self, build_id: str) -> models.Build:
        """One build with its stages."""
        return await self.call("GET", f"/builds/{part(build_id)}", models.Build)

    async def builds(self, deployment_ids: Sequence[str]) -> list[models.Build]:
        """The builds of these deployments, newest first; not all of them have one."""
        found: list[models.Build] = []
        # An address of bounded length: many ids are asked about in turns.
        for start in range(0, len(deployment_ids), 50):
            asked = "&".join(f"deployment_id={part(one)}" for one in deployment_ids[start : start + 50])
            found += await self._list(f"/builds?{asked}", models.Build)
        return found

    async def build_caches(self, *, workspace_id: str = "", service_id: str = "") -> list[upkeep.BuildCache]:
        """What builds keep for the next one, of a workspace or of one service."""
        params = {"workspace_id": workspace_id or None, "service_id": service_id or None}
        return await self._list("/build-caches", upkeep.BuildCache, params)

    async def clear_build_caches(
        self, *, workspace_id: str = "", service_id: str = "", tool: str = ""
    ) -> upkeep.ClearedCaches:
        """Forgets what builds keep: all of a workspace, one service's dependencies, or one tool's downloads."""
        params = {"workspace_id": workspace_id or None, "service_id": service_id or None, "tool": tool or None}
        return await self.call("DELETE", "/build-caches", upkeep.ClearedCaches, params=params)

    async def provenance(self, *, build_id: str = "", artifact_digest: str = "") -> models.Provenance:
        """The signed statement of a build, or of the newest build that made an artifact."""
        path = f"/builds/{part(build_id)}" if build_id else f"/artifacts/{part(artifact_digest)}"
        return await self.call("GET", f"{path}/provenance", models.Provenance)

    async def provenance_key(self) -> str:
        """The platform's public key, in PEM."""
        return (await self.call("GET", "/platform/provenance-key", models.ProvenanceKey)).pem

    async def scan(self, build_id: str) -> scans.Scan:
        """What the scan of a build's source found."""
        return await self.call("GET", f"/builds/{part(build_id)}/scan", scans.Scan)

    async def sbom(self, build_id: str) -> bytes:
        """The bill of materials of a build's source: a CycloneDX document."""
        return bytes(await self.call("GET", f"/builds/{part(build_id)}/sbom", msgspec.Raw))

    # Logs

    async def build_log(
        self, deployment_id: str, *, follow: bool = False, after: int = 0, tail: int = 0
    ) -> AsyncGenerator[models.BuildLine, None]:
        """The build's log from its first line, or the last `tail`; with `follow` until the build ends."""
        path = f"/deployments/{part(deployment_id)}/build-logs"
        params: Params = {"follow": str(follow).lower(), "after": after, "tail": tail}
        async for event in self.events(path, params=params, forever=follow):
            yield msgspec.json.decode(event.data, type=models.BuildLine)

    async def logs(
        self,
        *,
        service_id: str = "",
        environment_id: str = "",
        deployment_id: str = "",
        follow: bool = False,
        tail: int = 100,
        after: int = 0,
    ) -> AsyncGenerator[models.LogLine, None]:
        """What a deployment's instances printed, or a service's; with `follow` also what comes."""
        path = f"/deployments/{part(deployment_id)}/logs" if deployment_id else f"/services/{part(service_id)}/logs"
        params: Params = {"follow": str(follow).lower(), "tail": tail, "after": after, "environment_id": environment_id}
        async for event in self.events(path, params=params, forever=follow):
            yield msgspec.json.decode(event.data, type=models.LogLine)

    async def facts(self, *, project_id: str = "") -> AsyncGenerator[models.Event, None]:
        """Facts of the caller's workspaces from now on."""
        async for event in self.events("/events", params={"project_id": project_id}):
            yield msgspec.json.decode(event.data, type=models.Event)

    # The platform

    async def usage(
        self,
        *,
        project_id: str = "",
        service_id: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> models.Usage:
        """Use per service with its price; this month unless told."""
        params = {
            "project_id": project_id,
            "service_id": service_id,
            "start": start.isoformat() if start else None,
            "end": end.isoformat() if end else None,
        }
        return await self.call("GET", "/usage", models.Usage, params=params)

    async def timeline(self, deployment_id: str) -> models.Timeline:
        """What happened to a deployment over all services."""
        return await self.call("GET", f"/deployments/{part(deployment_id)}/timeline", models.Timeline)

    async def _list(self, path: str, item: type[T], params: Params | None = None) -> list[T]:
        answer = await self.call("GET", path, _Items, params=params)
        return [msgspec.json.decode(raw, type=item) for raw in answer.items]

    async def _pages(self, path: str, params: Params, item: type[T]) -> AsyncGenerator[T, None]:
        cursor = ""
        while True:
            answer = await self.call("GET", path, _Items, params={**params, "limit": 200, "cursor": cursor})
            for raw in answer.items:
                yield msgspec.json.decode(raw, type=item)
            if not answer.next_cursor:
                return
            cursor = answer.next_cursor


def _variables(service_id: str, environment_id: str) -> tuple[str, dict[str, str]]:
    """The path of a service's variables, or of those an environment's services share."""
    if service_id:
        return f"/services/{part(service_id)}/variables", {"environment_id": environment_id} if environment_id else {}
    return f"/environments/{part(environment_id)}/variables", {}
