"""The host's own configuration of package registries, as far as builds may see it."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from libs.sandbox.spec import Mount
from services.build.domain.log import credentials

_PREFIXES: Final = ("PIP_", "UV_", "npm_config_", "NPM_CONFIG_")
_NAMES: Final = frozenset(
    {"NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
    | {f"{kind}_proxy" for kind in ("http", "https", "no", "all")}
    | {f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "NO", "ALL")}
)
# Variables of these tools that say where things lie on the host; the builder says that itself.
_PLACES: Final = re.compile(
    r"^(PIP|UV|npm_config|NPM_CONFIG)_(\w*CACHE\w*|\w*_DIR|PYTHON\w*|PROJECT\w*|LINK_MODE|TARGET|PREFIX|USER|USERCONFIG"
    r"|GLOBALCONFIG|ROOT|LOG|cache|prefix|userconfig|globalconfig|logs_dir|tmp|NO_INPUT|REQUIRE_VIRTUALENV)$"
)
# Variables whose value is a file or folder that must be seen inside at the same path.
_FILES: Final = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE",
    "npm_config_cafile", "PIP_CONFIG_FILE", "UV_CONFIG_FILE", "PIP_FIND_LINKS", "UV_FIND_LINKS",
)  # fmt: skip
# The host's own settings, and the variable that tells a tool where they are inside: /etc is the sandbox's.
_SHOWN: Final = {
    "/etc/pip.conf": "PIP_CONFIG_FILE",
    "/etc/npmrc": "NPM_CONFIG_GLOBALCONFIG",
    "/etc/uv/uv.toml": "UV_CONFIG_FILE",
}
_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_INSIDE: Final = "/opt/lightrail/host"
_ALREADY: Final = ("/usr/", "/etc/ssl/", "/etc/pki/", "/etc/ca-certificates")
# Lines of a person's npmrc that say where packages are, not who the person is.
_NPMRC: Final = re.compile(r"^\s*(registry|@[\w.-]+:registry|cafile|strict-ssl|proxy|https-proxy|noproxy)\s*=")


@dataclass(frozen=True, slots=True)
class Registries:
    """Environment and files that steps get, and what of them no log may show."""

    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    # Content of the npmrc that a build's home gets.
    npmrc: str = ""
    secrets: frozenset[str] = frozenset()


def read_registries(environ: Mapping[str, str], home: Path) -> Registries:
    """Reads what the operator set for the host's own tools; `home` is the operator's home directory."""
    environment = {
        name: value
        for name, value in environ.items()
        if name in _NAMES or (name.startswith(_PREFIXES) and not _PLACES.match(name))
    }
    environment |= _index(environ, home)
    # uv and npm bring their own authorities; the machine's may hold one more: a company's, a proxy's.
    bundle = next((path for path in _BUNDLES if Path(path).exists()), None)
    if bundle:
        environment = {"SSL_CERT_FILE": bundle, "NODE_EXTRA_CA_CERTS": bundle, **environment}
    for path, variable in _SHOWN.items():
        if variable not in environment and Path(path).exists():
            environment[variable] = path
    mounts = {}
    for name in (*_FILES, *_SHOWN.values()):
        path = environment.get(name, "")
        if path.startswith("/") and not path.startswith(_ALREADY) and Path(path).exists():
            environment[name] = f"{_INSIDE}{path}" if path.startswith("/etc/") else path
            mounts[path] = Mount(Path(path), environment[name])
    npmrc = _npmrc(home / ".npmrc")
    secrets = credentials([*environment.values(), npmrc])
    return Registries(environment, tuple(mounts.values()), npmrc, frozenset(secrets))


def _index(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Uv does not read pip's configuration: a mirror that is set for pip counts for uv unless uv has its own."""
    if any(name in environ for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE")):
        return {}
    if "PIP_INDEX_URL" in environ:
        return {"UV_DEFAULT_INDEX": environ["PIP_INDEX_URL"]}
    for path in (home / ".config" / "pip" / "pip.conf", home / ".pip" / "pip.conf", Path("/etc/pip.conf")):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # not there, or not for us to judge: pip itself would say what is wrong with it
        url = parser.get("global", "index-url", fallback="")
        if url:
            return {"UV_DEFAULT_INDEX": url}
    return {}


def _npmrc(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""  # not there, or not readable as text: npm has its defaults
    return "".join(f"{line}\n" for line in lines if _NPMRC.match(line))
