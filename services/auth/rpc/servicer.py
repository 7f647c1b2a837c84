"""AuthService: each method is one use case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.kernel.context import Role
from libs.protogen.lightrail.auth.v1 import auth_pb2 as pb
from libs.protogen.lightrail.auth.v1 import auth_pb2_grpc
from libs.rpc import current
from libs.rpc.server import Servicer
from services.auth.app import accounts, authorize, sessions, tokens, workspaces
from services.auth.app.accounts import NewAccount
from services.auth.app.ports import Parts
from services.auth.rpc import codec

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[object, object]


class AuthServicer(auth_pb2_grpc.AuthServiceServicer):
    """Answers lightrail.auth.v1.AuthService."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def GetSetupStatus(self, request: pb.GetSetupStatusRequest, context: Context) -> pb.GetSetupStatusResponse:
        """Whether the first account exists."""
        return pb.GetSetupStatusResponse(claimed=await accounts.setup_claimed(current(), self._parts))

    async def CompleteSetup(self, request: pb.CompleteSetupRequest, context: Context) -> pb.CompleteSetupResponse:
        """Makes the operator's account."""
        wanted = NewAccount(request.email, request.password, request.name)
        account, secret = await accounts.complete_setup(current(), self._parts, request.setup_token, wanted)
        return pb.CompleteSetupResponse(
            session_token=secret.reveal(),
            user=codec.user(account.user),
            workspace=codec.workspace(account.workspace, Role.OWNER),
        )

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        """Opens a session."""
        signed_in = await sessions.login(
            current(),
            self._parts,
            request.email,
            request.password,
            request.remote_address,
        )
        return pb.LoginResponse(
            session_token=signed_in.secret.reveal(),
            user=codec.user(signed_in.user),
            expires_at=codec.timestamp(signed_in.session.expires_at),
        )

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """Ends a session."""
        await sessions.logout(current(), self._parts, request.session_token)
        return pb.LogoutResponse()

    async def Authorize(self, request: pb.AuthorizeRequest, context: Context) -> pb.AuthorizeResponse:
        """Exchanges a credential for a signed identity."""
        authorized = await authorize.authorize(current(), self._parts, request.credential, request.method)
        return pb.AuthorizeResponse(
            identity=authorized.identity.reveal(),
            expires_at=codec.timestamp(authorized.expires_at),
        )

    async def GetMe(self, request: pb.GetMeRequest, context: Context) -> pb.GetMeResponse:
        """Tells the caller who they are."""
        me = await accounts.get_me(current(), self._parts)
        return pb.GetMeResponse(
            user=codec.user(me.user),
            workspaces=codec.workspaces(me.workspaces),
            token=codec.token(me.token) if me.token else None,
        )

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        """Adds an account."""
        wanted = NewAccount(request.email, request.password, request.name)
        account = await accounts.create_user(current(), self._parts, wanted)
        return pb.CreateUserResponse(
            user=codec.user(account.user),
            workspace=codec.workspace(account.workspace, Role.OWNER),
        )

    async def ListWorkspaces(self, request: pb.ListWorkspacesRequest, context: Context) -> pb.ListWorkspacesResponse:
        """Lists the caller's workspaces."""
        found = await workspaces.list_workspaces(current(), self._parts)
        return pb.ListWorkspacesResponse(workspaces=codec.workspaces(found))

    async def CreateWorkspace(
        self,
        request: pb.CreateWorkspaceRequest,
        context: Context,
    ) -> pb.CreateWorkspaceResponse:
        """Makes a workspace."""
        made = await workspaces.create_workspace(current(), self._parts, request.name)
        return pb.CreateWorkspaceResponse(workspace=codec.workspace(made, Role.OWNER))

    async def SetMember(self, request: pb.SetMemberRequest, context: Context) -> pb.SetMemberResponse:
        """Changes who is in a workspace."""
        role = codec.role(request.role)
        await workspaces.set_member(current(), self._parts, request.workspace_id, request.email, role)
        return pb.SetMemberResponse()

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenResponse:
        """Makes an API token."""
        scope = codec.scope(request)
        made = await tokens.create_token(current(), self._parts, request.name, scope, request.lifetime_seconds)
        return pb.CreateTokenResponse(token=codec.token(made.token), secret=made.secret.reveal())

    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensResponse:
        """Lists the caller's tokens."""
        found = await tokens.list_tokens(current(), self._parts)
        return pb.ListTokensResponse(tokens=[codec.token(token) for token in found])

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Context) -> pb.RevokeTokenResponse:
        """Ends an API token."""
        await tokens.revoke_token(current(), self._parts, request.token_id)
        return pb.RevokeTokenResponse()


def servicer(parts: Parts) -> Servicer:
    """Returns the service behind the function that adds it to a server."""
    return auth_pb2_grpc.add_AuthServiceServicer_to_server, AuthServicer(parts)
