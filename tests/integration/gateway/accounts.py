"""Auth as the gateway meets it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from libs.kernel.context import Actor
from libs.kernel.errors import Conflict, Denied, NotFound
from libs.kernel.ids import new_id
from libs.protogen.lightrail.auth.v1 import auth_pb2, auth_pb2_grpc
from libs.protogen.lightrail.common.v1 import authorization_pb2
from libs.rpc.authorization import permits, rule
from tests.integration.gateway.world import (
    PASSWORD,
    SETUP_TOKEN,
    World,
    seen,
)


class Auth(auth_pb2_grpc.AuthServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def GetSetupStatus(self, request: Any, context: Any) -> Any:
        seen(self.world, "GetSetupStatus")
        return auth_pb2.GetSetupStatusResponse(claimed=self.world.claimed)

    async def CompleteSetup(self, request: Any, context: Any) -> Any:
        seen(self.world, "CompleteSetup")
        if self.world.claimed:
            raise Conflict("This platform is set up already.")
        if request.setup_token != SETUP_TOKEN:
            raise Denied("This is not the set-up token.")
        self.world.claimed = True
        session = self.world.sign_up(request.email, operator=True)
        actor = self.world.actors[session]
        workspace = self.world.workspaces[next(iter(actor.roles))]
        return auth_pb2.CompleteSetupResponse(session_token=session, user=self.world.user(actor), workspace=workspace)

    async def Login(self, request: Any, context: Any) -> Any:
        seen(self.world, "Login")
        for session, actor in self.world.actors.items():
            known = session.startswith("ls_") and self.world.emails[actor.id] == request.email
            if known and request.password == PASSWORD:
                answer = auth_pb2.LoginResponse(session_token=session, user=self.world.user(actor))
                answer.expires_at.FromDatetime(self.world.now() + timedelta(days=30))
                return answer
        raise Denied("The e-mail address or the password is wrong.", unauthenticated=True)

    async def Logout(self, request: Any, context: Any) -> Any:
        seen(self.world, "Logout")
        self.world.actors.pop(request.session_token, None)
        return auth_pb2.LogoutResponse()

    async def Authorize(self, request: Any, context: Any) -> Any:
        seen(self.world, "Authorize")
        actor = self.world.actors.get(request.credential)
        if actor is None:
            raise Denied("This session or token is unknown, expired or revoked.", unauthenticated=True)
        if request.method:
            permits(rule(request.method), actor)
        signed = self.world.identity.sign(actor, lifetime=60, now=self.world.now())
        answer = auth_pb2.AuthorizeResponse(identity=signed.reveal())
        answer.expires_at.FromDatetime(self.world.now() + timedelta(seconds=60))
        return answer

    async def GetMe(self, request: Any, context: Any) -> Any:
        actor = seen(self.world, "GetMe").actor
        answer = auth_pb2.GetMeResponse(user=self.world.user(actor), workspaces=self._of(actor))
        if actor.token_id:
            answer.token.CopyFrom(self.world.tokens[actor.token_id])
        return answer

    async def CreateUser(self, request: Any, context: Any) -> Any:
        seen(self.world, "CreateUser")
        actor = self.world.actors[self.world.sign_up(request.email)]
        return auth_pb2.CreateUserResponse(user=self.world.user(actor), workspace=self._of(actor)[0])

    async def ListWorkspaces(self, request: Any, context: Any) -> Any:
        return auth_pb2.ListWorkspacesResponse(workspaces=self._of(seen(self.world, "ListWorkspaces").actor))

    async def CreateWorkspace(self, request: Any, context: Any) -> Any:
        seen(self.world, "CreateWorkspace")
        made = auth_pb2.Workspace(id=new_id("workspace", self.world.clock), name=request.name)
        made.role = authorization_pb2.ROLE_OWNER
        made.created_at.FromDatetime(self.world.now())
        self.world.workspaces[made.id] = made
        return auth_pb2.CreateWorkspaceResponse(workspace=made)

    async def SetMember(self, request: Any, context: Any) -> Any:
        seen(self.world, "SetMember").allow(request.workspace_id, what=f"Workspace {request.workspace_id}")
        return auth_pb2.SetMemberResponse()

    async def CreateToken(self, request: Any, context: Any) -> Any:
        actor = seen(self.world, "CreateToken").actor
        token_id = new_id("token", self.world.clock)
        made = auth_pb2.Token(id=token_id, name=request.name, prefix="lr_abc", role=request.role)
        made.workspace_id, made.project_id = request.workspace_id, request.project_id
        made.environment_id = request.environment_id
        made.created_at.FromDatetime(self.world.now())
        self.world.tokens[token_id] = made
        secret = f"lr_{hashlib.sha256(token_id.encode()).hexdigest()}"
        self.world.actors[secret] = Actor(
            kind="user", id=actor.id, roles=actor.roles, project_id=request.project_id, token_id=token_id
        )
        return auth_pb2.CreateTokenResponse(token=made, secret=secret)

    async def ListTokens(self, request: Any, context: Any) -> Any:
        seen(self.world, "ListTokens")
        return auth_pb2.ListTokensResponse(tokens=self.world.tokens.values())

    async def RevokeToken(self, request: Any, context: Any) -> Any:
        seen(self.world, "RevokeToken")
        if self.world.tokens.pop(request.token_id, None) is None:
            raise NotFound(f"Token {request.token_id} does not exist.")
        self.world.actors = {
            key: actor for key, actor in self.world.actors.items() if actor.token_id != request.token_id
        }
        return auth_pb2.RevokeTokenResponse()

    def _of(self, actor: Actor) -> list[auth_pb2.Workspace]:
        return [self.world.workspaces[workspace] for workspace in actor.roles]
