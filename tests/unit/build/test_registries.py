from __future__ import annotations

from pathlib import Path

from services.build.adapters.registries import Registries, read_registries

# Set by the machine the test runs on, when it has such files.
MACHINES = {"PIP_CONFIG_FILE", "NPM_CONFIG_GLOBALCONFIG", "UV_CONFIG_FILE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"}


def told(found: Registries) -> dict[str, str]:
    return {name: value for name, value in found.environment.items() if name not in MACHINES}


def test_only_what_concerns_registries_passes(tmp_path: Path) -> None:
    environ = {
        "PIP_INDEX_URL": "https://user:s3cret@mirror/simple",
        "UV_CACHE_DIR": "/home/me/.cache",
        "UV_PYTHON": "3.9",
        "npm_config_registry": "https://mirror/npm",
        "npm_config_cache": "/x",
        "NPM_CONFIG_USERCONFIG": "/x",
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "localhost",
        "AWS_SECRET_ACCESS_KEY": "never",
        "LIGHTRAIL_BUILD_DATABASE_URL": "never",
        "HOME": "/home/me",
    }
    found = read_registries(environ, tmp_path)
    assert told(found) == {
        "PIP_INDEX_URL": "https://user:s3cret@mirror/simple",
        "UV_DEFAULT_INDEX": "https://user:s3cret@mirror/simple",
        "npm_config_registry": "https://mirror/npm",
        "HTTPS_PROXY": "http://proxy:3128",
        "no_proxy": "localhost",
    }
    assert found.secrets == {"s3cret"}


def test_certificates_outside_of_the_system_are_shown_at_their_path(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    environ = {
        "SSL_CERT_FILE": str(bundle),
        "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
        "PIP_CERT": "/gone",
    }
    targets = {mount.target for mount in read_registries(environ, tmp_path).mounts}
    assert str(bundle) in targets
    assert targets.isdisjoint({"/etc/ssl/certs/ca-certificates.crt", "/gone"})


def test_a_persons_npmrc_passes_without_the_person(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text(
        "registry=https://mirror/npm\n@acme:registry = https://acme/npm\n//mirror/:_authToken=s3cret\nemail=me@x\nfund=false\n"
    )
    assert read_registries({}, tmp_path).npmrc == "registry=https://mirror/npm\n@acme:registry = https://acme/npm\n"


def test_a_mirror_set_for_pip_counts_for_uv_unless_uv_has_its_own(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "pip"
    folder.mkdir(parents=True)
    (folder / "pip.conf").write_text("[global]\nindex-url = https://mirror/simple\n")
    assert told(read_registries({}, tmp_path)) == {"UV_DEFAULT_INDEX": "https://mirror/simple"}
    own = {"UV_DEFAULT_INDEX": "https://own/simple"}
    assert told(read_registries(own, tmp_path)) == own
    (folder / "pip.conf").write_text("not an ini file")
    assert "UV_DEFAULT_INDEX" not in read_registries({}, tmp_path).environment
