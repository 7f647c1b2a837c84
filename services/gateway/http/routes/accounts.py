"""Users, workspaces and their members, tokens."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter

from libs.protogen.lightrail.auth.v1 import auth_pb2
from libs.protogen.lightrail.common.v1 import authorization_pb2
from services.gateway.http.doors import AUTH, Caller, To, authorized
from services.gateway.http.models.accounts import (
    CreatedToken,
    CreatedUser,
    Member,
    NewToken,
    NewUser,
    NewWorkspace,
    Token,
    User,
    Workspace,
)
from services.gateway.http.models.base import Items, TokenId, WorkspaceId
from services.gateway.http.wire import ROLES

router = APIRouter(tags=["accounts"])


@router.post("/users", operation_id="createUser", status_code=HTTPStatus.CREATED)
async def create_user(
    body: NewUser, caller: Annotated[Caller, authorized(f"{AUTH}/CreateUser")], to: To
) -> CreatedUser:
    """Adds an account with its own workspace. Operators only."""
    message = auth_pb2.CreateUserRequest(email=body.email.strip(), password=body.password, name=body.name.strip())
    answer = await to.auth.peer.call(to.auth.stub.CreateUser, message, caller.ctx)
    return CreatedUser(user=User.of(answer.user), workspace=Workspace.of(answer.workspace))


@router.get("/workspaces", operation_id="listWorkspaces")
async def list_workspaces(caller: Annotated[Caller, authorized(f"{AUTH}/ListWorkspaces")], to: To) -> Items[Workspace]:
    """Workspaces the caller is a member of."""
    answer = await to.auth.peer.call(to.auth.stub.ListWorkspaces, auth_pb2.ListWorkspacesRequest(), caller.ctx)
    return Items(items=[Workspace.of(row) for row in answer.workspaces])


@router.post("/workspaces", operation_id="createWorkspace", status_code=HTTPStatus.CREATED)
async def create_workspace(
    body: NewWorkspace, caller: Annotated[Caller, authorized(f"{AUTH}/CreateWorkspace")], to: To
) -> Workspace:
    """Makes a workspace; the caller becomes its owner."""
    message = auth_pb2.CreateWorkspaceRequest(name=body.name)
    answer = await to.auth.peer.call(to.auth.stub.CreateWorkspace, message, caller.ctx)
    # The caller's roles have changed: what is remembered of them is old.
    caller.credentials.forget_all()
    return Workspace.of(answer.workspace)


@router.put("/workspaces/{workspace_id}/members", operation_id="setMember", status_code=HTTPStatus.NO_CONTENT)
async def set_member(
    workspace_id: WorkspaceId, body: Member, caller: Annotated[Caller, authorized(f"{AUTH}/SetMember")], to: To
) -> None:
    """Gives a person a role in the workspace, or takes it away."""
    role = ROLES[body.role] if body.role else authorization_pb2.ROLE_UNSPECIFIED
    message = auth_pb2.SetMemberRequest(workspace_id=workspace_id, email=body.email.strip(), role=role)
    await to.auth.peer.call(to.auth.stub.SetMember, message, caller.ctx)
    caller.credentials.forget_all()


@router.get("/tokens", operation_id="listTokens")
async def list_tokens(caller: Annotated[Caller, authorized(f"{AUTH}/ListTokens")], to: To) -> Items[Token]:
    """The caller's tokens, without their secrets."""
    answer = await to.auth.peer.call(to.auth.stub.ListTokens, auth_pb2.ListTokensRequest(), caller.ctx)
    return Items(items=[Token.of(row) for row in answer.tokens])


@router.post("/tokens", operation_id="createToken", status_code=HTTPStatus.CREATED)
async def create_token(
    body: NewToken, caller: Annotated[Caller, authorized(f"{AUTH}/CreateToken")], to: To
) -> CreatedToken:
    """Makes a token; its secret is in this answer and nowhere else."""
    message = auth_pb2.CreateTokenRequest(
        name=body.name,
        workspace_id=body.workspace_id or "",
        project_id=body.project_id or "",
        environment_id=body.environment_id or "",
        role=ROLES[body.role] if body.role else authorization_pb2.ROLE_UNSPECIFIED,
        lifetime_seconds=body.lifetime_seconds or 0,
    )
    answer = await to.auth.peer.call(to.auth.stub.CreateToken, message, caller.ctx)
    return CreatedToken(token=Token.of(answer.token), secret=answer.secret)


@router.delete("/tokens/{token_id}", operation_id="revokeToken", status_code=HTTPStatus.NO_CONTENT)
async def revoke_token(token_id: TokenId, caller: Annotated[Caller, authorized(f"{AUTH}/RevokeToken")], to: To) -> None:
    """Revokes a token; it stops working at once here, and within five seconds everywhere."""
    await to.auth.peer.call(to.auth.stub.RevokeToken, auth_pb2.RevokeTokenRequest(token_id=token_id), caller.ctx)
    caller.credentials.forget_all()
