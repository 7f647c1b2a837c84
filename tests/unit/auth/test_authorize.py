"""A credential becomes an identity, or a sentence that says why not."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from libs.kernel.context import Role
from libs.kernel.errors import Denied
from services.auth.app.authorize import authorize
from services.auth.app.tokens import list_tokens, revoke_token
from services.auth.app.workspaces import set_member
from services.auth.domain.model import IDENTITY_LIFETIME, Scope
from tests.unit.auth.world import GATEWAY, World

DEPLOY = "lightrail.deploy.v1.DeploymentService/CreateDeployment"
READ = "lightrail.deploy.v1.DeploymentService/GetDeployment"
SERVICE_ONLY = "lightrail.deploy.v1.DeploymentService/SampleInstances"
OPERATOR_ONLY = "lightrail.auth.v1.AuthService/CreateUser"


async def refusal(world: World, credential: str, method: str = "") -> Denied:
    with pytest.raises(Denied) as caught:
        await authorize(GATEWAY, world.parts, credential, method)
    return caught.value


async def test_an_identity_lives_a_minute(world: World) -> None:
    ada = await world.person("ada")
    authorized = await authorize(GATEWAY, world.parts, ada.credential, DEPLOY)
    assert authorized.expires_at == world.clock.now() + IDENTITY_LIFETIME
    world.clock.advance(61)
    with pytest.raises(Denied, match=r"expired"):
        world.identity.verify(authorized.identity.reveal(), now=world.clock.now())


async def test_an_identity_never_outlives_its_token(world: World) -> None:
    ada = await world.person("ada")
    made = await world.token(ada, lifetime=60)
    world.clock.advance(50)
    authorized = await authorize(GATEWAY, world.parts, made.secret.reveal(), "")
    assert authorized.expires_at == world.clock.now() + timedelta(seconds=10)


async def test_every_bad_credential_has_its_own_sentence(world: World) -> None:
    ada = await world.person("ada")
    expired = await world.token(ada, lifetime=60, name="nightly")
    revoked = await world.token(ada, name="laptop")
    await revoke_token(await world.ctx(ada), world.parts, revoked.token.id)
    world.clock.advance(61)
    sentences = {}
    for name, credential in {
        "empty": "",
        "malformed": "Bearer nonsense",
        "cut off": expired.secret.reveal()[:-1],
        "unknown token": "lr_" + "A" * 43,
        "unknown session": "ls_" + "A" * 43,
        "expired": expired.secret.reveal(),
        "revoked": revoked.secret.reveal(),
    }.items():
        denied = await refusal(world, credential)
        assert denied.unauthenticated, name
        assert denied.hint, name
        sentences[name] = denied.message
    assert sentences["malformed"] == sentences["cut off"]
    assert len(set(sentences.values())) == len(sentences) - 1
    assert "“nightly” expired on 2026-01-01" in sentences["expired"]
    assert "“laptop” was revoked on 2026-01-01" in sentences["revoked"]


@pytest.mark.parametrize(
    "credential", ["lr_", "ls_" + "é" * 43, "lr_" + "A" * 44, "LR_" + "A" * 43, "lr_" + "A" * 42 + "\n"]
)
async def test_malformed_credentials_never_reach_the_store(world: World, credential: str) -> None:
    assert "malformed" in (await refusal(world, credential)).message


async def test_the_door_of_the_method_is_checked(world: World) -> None:
    ada = await world.person("ada")
    await world.actor(ada.credential, DEPLOY)
    for method in (SERVICE_ONLY, OPERATOR_ONLY, "lightrail.deploy.v1.DeploymentService/Unheard"):
        denied = await refusal(world, ada.credential, method)
        assert not denied.unauthenticated


async def test_a_role_cap_narrows_every_workspace(world: World) -> None:
    ada = await world.person("ada")
    viewer = await world.token(ada, Scope(role=Role.VIEWER))
    actor = await world.actor(viewer.secret.reveal(), READ)
    assert set(actor.roles.values()) == {Role.VIEWER}
    denied = await refusal(world, viewer.secret.reveal(), DEPLOY)
    assert "developer" in denied.message


async def test_a_workspace_token_reaches_no_other_workspace(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    await set_member(await world.ctx(bob), world.parts, bob.workspace.id, "ada@example.com", Role.ADMIN)
    assert (await world.actor(ada.credential)).roles == {ada.workspace.id: Role.OWNER, bob.workspace.id: Role.ADMIN}
    made = await world.token(ada, Scope(bob.workspace.id, role=Role.NONE))
    actor = await world.actor(made.secret.reveal())
    assert actor.roles == {bob.workspace.id: Role.ADMIN}
    assert actor.token_id == made.token.id


async def test_a_token_never_gives_more_than_its_user_has_today(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    await set_member(await world.ctx(bob), world.parts, bob.workspace.id, "ada@example.com", Role.ADMIN)
    made = await world.token(ada, Scope(bob.workspace.id, role=Role.ADMIN))
    await set_member(await world.ctx(bob), world.parts, bob.workspace.id, "ada@example.com", Role.VIEWER)
    assert (await world.actor(made.secret.reveal())).roles == {bob.workspace.id: Role.VIEWER}
    await set_member(await world.ctx(bob), world.parts, bob.workspace.id, "ada@example.com", Role.NONE)
    assert (await world.actor(made.secret.reveal())).roles == {}
    assert not (await refusal(world, made.secret.reveal(), READ)).unauthenticated


async def test_only_an_unlimited_credential_makes_an_operator(world: World) -> None:
    root = await world.operator()
    assert (await world.actor(root.credential, OPERATOR_ONLY)).operator
    assert (await world.actor((await world.token(root)).secret.reveal(), OPERATOR_ONLY)).operator
    for scope in (Scope(role=Role.ADMIN), Scope(root.workspace.id)):
        limited = await world.token(root, scope)
        assert not (await world.actor(limited.secret.reveal())).operator
        await refusal(world, limited.secret.reveal(), OPERATOR_ONLY)


async def test_the_use_of_a_token_is_written_down_once_a_minute(world: World) -> None:
    ada = await world.person("ada")
    made = await world.token(ada)
    seen = []
    for seconds in (0, 30, 29, 2):
        world.clock.advance(seconds)
        await world.actor(made.secret.reveal())
        [token] = await list_tokens(await world.ctx(ada), world.parts)
        assert token.last_used_at is not None
        seen.append((world.clock.now() - token.last_used_at).total_seconds())
    assert seen == [0, 30, 59, 0]


async def test_secrets_are_stored_only_as_digests_and_never_print(world: World) -> None:
    ada = await world.person("ada")
    made = await world.token(ada)
    secret = made.secret.reveal()
    assert re.fullmatch(r"lr_[A-Za-z0-9_-]{43}", secret)
    assert made.token.prefix == secret[:10]
    assert secret not in repr(made)
    assert secret[10:] not in repr(await world.stores.tokens.get(made.token.id))
