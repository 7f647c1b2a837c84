"""Where services' source comes from."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from libs.protogen.lightrail.project.v1 import source_pb2
from services.gateway.http.models.base import Answered, Asked, EnvironmentId, LongText, Text
from services.gateway.http.wire import text


class HostKey(Answered):
    """A key that an ssh host showed when it was first asked."""

    host: str
    kind: str
    fingerprint: str


class Source(Answered):
    """Where a service's source comes from when nothing is uploaded."""

    git_url: str | None
    branch: str | None = Field(description="Null: the repository's default; main or master for pushes.")
    watch_paths: list[str] = Field(
        description="Patterns as in .gitignore; a push that changes none of them is skipped."
    )
    image: str | None
    username: str | None
    has_password: bool
    deploy_key: str | None = Field(description="Public half of the service's ssh key.")
    host_keys: list[HostKey]

    @classmethod
    def of(cls, wire: source_pb2.Source) -> Self:
        """Reads it from its message."""
        return cls(
            git_url=text(wire.git_url),
            branch=text(wire.branch),
            watch_paths=list(wire.watch_paths),
            image=text(wire.image),
            username=text(wire.username),
            has_password=wire.has_password,
            deploy_key=text(wire.deploy_key),
            host_keys=[HostKey(host=key.host, kind=key.kind, fingerprint=key.fingerprint) for key in wire.host_keys],
        )


class NewSource(Asked):
    """A source; it takes the place of the one that was set."""

    environment_id: EnvironmentId | None = Field(default=None, description="Null: the project's first environment.")
    git_url: Text | None = Field(default=None, description="https://…, ssh://…, or user@host:path")
    branch: Text | None = None
    watch_paths: Annotated[list[Text], Field(max_length=100)] = Field(default_factory=list)
    image: Text | None = None
    username: Text | None = None
    password: LongText | None = Field(
        default=None,
        description="Written once, never readable. Null: the one that is kept, for the same host and name.",
    )

    def wire(self, service_id: str) -> source_pb2.SetSourceRequest:
        """The request for project."""
        return source_pb2.SetSourceRequest(
            service_id=service_id,
            environment_id=self.environment_id or "",
            source=source_pb2.Source(
                git_url=self.git_url or "",
                branch=self.branch or "",
                watch_paths=self.watch_paths,
                image=self.image or "",
                username=self.username or "",
            ),
            password=self.password or "",
        )


class DeployKey(Answered):
    """The public half of a service's ssh key, as a line of authorized_keys."""

    deploy_key: str
