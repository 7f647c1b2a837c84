"""How a repository elsewhere is reached: which addresses, which keys, and what its refusals mean."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.git.url import RepoUrl, repo_url
from libs.kernel.errors import Invalid
from libs.outbound.addresses import NOTHING, Allowance, literal
from libs.outbound.resolve import resolve
from libs.plans.faults import BuildFault
from libs.sandbox.spec import Mount
from services.build.adapters.git import PLACE, Ran, Room
from services.build.app.fetching import SourceSecrets

KEYS: Final = f"{PLACE}/keys"
_KEY: Final = "key"
_KNOWN: Final = "known_hosts"
_LONGEST: Final = 64 * 1024
_CA: Final = "/git/ca.pem"
_SSH: Final = (
    "ssh -F /dev/null -o BatchMode=yes -o IdentitiesOnly=yes -o PreferredAuthentications=publickey"
    " -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o UpdateHostKeys=no -o HashKnownHosts=no"
    " -o CheckHostIP=no -o GlobalKnownHostsFile=/dev/null -o ConnectTimeout=15 -o ServerAliveInterval=15"
    " -o ServerAliveCountMax=4 -o ForwardAgent=no -o ClearAllForwardings=yes -o ControlMaster=no"
    f" -o UserKnownHostsFile={KEYS}/{_KNOWN} -o IdentityFile={KEYS}/{_KEY}"
)
_CLOSED: Final = ("could not read username", "authentication failed", "error: 403")
_MISSING: Final = (
    ("not found", "does not appear to be a git repository"),
    "There is no repository at {url}, or it is not shown to this platform.",
    "",
)
# Words of git's or ssh's, what they mean, and what to do; by whether it is reached by ssh.
_REFUSALS: Final = {
    True: (
        (
            ("host key verification failed", "remote host identification has changed"),
            (
                "{host} shows another key than the one it showed when it was first asked, so it was not trusted:"
                " somebody may be answering in its place."
            ),
            "If the host did change its key, an admin lets it be trusted anew: lr source trust",
        ),
        (
            ("permission denied",),
            "{host} does not accept this service's deploy key for {path}.",
            "Add it there; lr source key shows it.",
        ),
        _MISSING,
    ),
    False: (
        (
            _CLOSED,
            "{url} is not open to everyone, or does not exist.",
            "Set a user name and a token with lr source set, or use ssh with a deploy key: lr source key",
        ),
        _MISSING,
        (
            ("error: 30", "redirect"),
            "{url} leads elsewhere, and redirects are not followed.",
            "Use the final address.",
        ),
        (("certificate", "ssl"), "The certificate of {host} is not to be trusted: {complaint}", ""),
    ),
}
# Worth another try.
_PASSING: Final = (
    "timed out",
    "reset by peer",
    "early eof",
    "unexpected disconnect",
    "failed to connect",
    "couldn't connect",
    "connection refused",
    "error: 5",
)


@dataclass(frozen=True, slots=True)
class Remotes:
    """What an operator allows: protocols, private hosts and networks, certificates of an authority of their own."""

    protocols: Collection[str] = ("https", "ssh")
    allowance: Allowance = NOTHING
    authorities: Path | None = None

    async def room(self, url: RepoUrl, secrets: SourceSecrets, owner: str, mounts: Sequence[Mount]) -> Room:
        """A room in which git reaches this repository and nothing else. BuildFault when it may not."""
        if url.scheme not in self.protocols:
            allowed = " and ".join(sorted(self.protocols))
            raise BuildFault(f"{url} is not reached by {allowed}, which is all that this platform allows.")
        try:
            addresses = await resolve(url.host, url.port, self.allowance)
        except Invalid as failure:
            raise BuildFault(str(failure)) from failure
        settings = {f"protocol.{url.scheme}.allow": "always"}
        if url.scheme == "ssh":
            if secrets.private_key is None:
                raise BuildFault(
                    f"{url} is reached by ssh, and this service has no deploy key.",
                    hint="Make one, and add it at the repository's host: lr source key",
                )
            environment = {"GIT_SSH_COMMAND": _ssh(url, addresses[0], secrets), "GIT_SSH_VARIANT": "ssh"}
            return Room(owner, mounts, settings, environment, network=True)
        if literal(url.host) is None:
            shown = ",".join(f"[{one}]" if ":" in one else one for one in addresses)
            settings["http.curloptResolve"] = f"{url.host}:{url.port}:{shown}"
        if secrets.password is not None and _opened(url, secrets):
            basic = base64.b64encode(f"{secrets.username or 'git'}:{secrets.password.reveal()}".encode()).decode()
            settings[f"http.{url.scheme}://{_authority(url)}/.extraHeader"] = f"Authorization: Basic {basic}"
        if self.authorities is not None:
            settings["http.sslCAInfo"] = _CA
            mounts = [*mounts, Mount(self.authorities, _CA)]
        return Room(owner, mounts, settings, network=True)


def _opened(url: RepoUrl, secrets: SourceSecrets) -> bool:
    """Whether there is a password for this host."""
    return url.scheme != "ssh" and secrets.password is not None and repo_url(secrets.url).origin == url.origin


def alias(url: RepoUrl) -> str:
    """The name under which an ssh host's key is known."""
    return url.host if url.port == 22 else f"[{url.host}]:{url.port}"  # noqa: PLR2004 - ssh's own port


def write_keys(folder: Path, secrets: SourceSecrets) -> None:
    """Writes what ssh reads; blocking."""
    folder.mkdir(mode=0o700)
    if secrets.private_key is not None:
        with os.fdopen(os.open(folder / _KEY, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.private_key.reveal())
    (folder / _KNOWN).write_text("".join(f"{line}\n" for line in secrets.known_hosts))


def new_host_keys(folder: Path, secrets: SourceSecrets) -> tuple[str, ...]:
    """Lines that ssh added to what was known; blocking. The file may be anything: ssh ran there."""
    handle = os.open(folder / _KNOWN, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ()
        lines = file.read(_LONGEST).decode("utf-8", "replace").splitlines()
    return tuple(line for line in lines if line.strip() and line not in secrets.known_hosts)


def passing(ran: Ran) -> bool:
    """Whether the same may work a moment later."""
    said = ran.err.lower()
    return not ran.exit.timed_out and any(word in said for word in _PASSING)


def refused(url: RepoUrl, ran: Ran, secrets: SourceSecrets) -> BuildFault:
    """What a failed fetch means for the service's owner."""
    said = ran.err.lower()
    if _opened(url, secrets) and any(word in said for word in _CLOSED):
        return BuildFault(
            f"{url} does not accept the user name and the token of this service, or does not exist.",
            hint="Set others: lr source set --username NAME --password-stdin",
        )
    for words, sentence, hint in _REFUSALS[url.scheme == "ssh"]:
        if any(word in said for word in words):
            shown = sentence.format(url=url, host=alias(url), path=url.path, complaint=ran.complaint)
            return BuildFault(shown, hint=hint or None)
    return BuildFault(f"{url} could not be fetched: {ran.complaint}")


def _ssh(url: RepoUrl, address: str, secrets: SourceSecrets) -> str:
    """Constants, and parts whose letters were checked: git gives this line to a shell."""
    known = any(line.split(" ", 1)[0] == alias(url) for line in secrets.known_hosts)
    check = "yes" if known else "accept-new"
    return f"{_SSH} -o HostKeyAlias={alias(url)} -o HostName={address} -o StrictHostKeyChecking={check}"


def _authority(url: RepoUrl) -> str:
    return str(url).split("/")[2]
