"""The worker that reads archives: with nothing but Python, whatever the archive holds, and never more than it must."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

from libs.cli import pack
from libs.cli.scan import survey_directory
from libs.scan.survey import surveyed_of
from libs.scan.worker import survey_archive

ROOT = Path(__file__).parents[3]


def archived(place: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return place


def test_it_needs_nothing_but_python_and_finds_what_the_directory_holds(tmp_path: Path) -> None:
    source = ROOT / "examples" / "node-express"
    archive = tmp_path / "source.tar.gz"
    packed = pack.pack(source)
    with packed.file:
        archive.write_bytes(packed.file.read())
    # -S: no site-packages; -I: nothing of the environment.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from libs.scan.worker import main; main(sys.argv[1:])"
    told = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(archive)], capture_output=True, check=True)
    found = surveyed_of(json.loads(told.stdout))
    assert found == survey_directory(source)
    assert len(found.inventory.packages) > 50
    assert any(one.needs for one in found.inventory.packages)


def test_links_devices_and_folders_are_passed_over(tmp_path: Path) -> None:
    link, device = tarfile.TarInfo("a/yarn.lock"), tarfile.TarInfo("b/yarn.lock")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    good = tarfile.TarInfo("./uv.lock")
    lock = b'[[package]]\nname = "a"\nversion = "1"\nsource = { registry = "r" }\n'
    found = survey_archive(archived(tmp_path / "x.tgz", [(link, b""), (device, b""), (good, lock)]))
    assert [one.purl for one in found.inventory.packages] == ["pkg:pypi/a@1"]
    assert found.inventory.files == ("uv.lock",)
    assert found.secrets.files == 1


def test_texts_of_windows_are_looked_at_as_any_other(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    key = "AKIA" + "Q3EGRIT7LOTUS2BX"
    (source / ".env.example").write_bytes(f"\r\nAWS_ACCESS_KEY_ID={key}\r\n".encode("utf-16"))
    (source / "requirements.txt").write_bytes("flask==3.1.0\r\n".encode("utf-16"))
    (source / "lightrail.toml").write_bytes('[scan]\npolicy = "block"\n'.encode("utf-8-sig"))
    found = survey_directory(source)
    assert [one.purl for one in found.inventory.packages] == ["pkg:pypi/flask@3.1.0"]
    assert [(one.path, one.line) for one in found.secrets.findings] == [(".env.example", 2)]
    assert found.asked is not None
    assert not found.inventory.notes


def test_a_lock_file_that_could_not_be_read_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "package-lock.json").write_text("{", encoding="utf-8")
    for name, text in {"bun.lock": '{"a": %s}', "uv.lock": "a = %s", "lightrail.toml": "a = %s"}.items():
        (tmp_path / name).write_text(text % ("1" * 5000), encoding="utf-8")
    (tmp_path / "requirements.txt").write_bytes(b"# caf\xe9\nflask==3.1.0\n")
    found = survey_directory(tmp_path)
    assert found.inventory.unread == ("bun.lock", "package-lock.json", "requirements.txt", "uv.lock")
    assert surveyed_of(json.loads(json.dumps(found.document()))) == found


def test_fifty_thousand_files_stay_within_bounds(tmp_path: Path) -> None:
    # 50,000 members, packed once and repeated: a tar is a row of them, with an empty end that readers pass over.
    body = b"def handler(request):\n    token = request.headers['x']\n    return token\n" * 3
    some = io.BytesIO()
    with tarfile.open(fileobj=some, mode="w") as packed:
        for number in range(1000):
            info = tarfile.TarInfo(f"src/m{number // 50}/f{number}.py")
            info.size = len(body)
            packed.addfile(info, io.BytesIO(body))
    rows = some.getvalue()[: 1000 * 1024]
    archive = tmp_path / "large.tar"
    with archive.open("wb") as file:
        for _ in range(50):
            file.write(rows)
        file.write(b"\0" * 10_240)
    code = (
        f"import sys, resource; sys.path.insert(0, {str(ROOT)!r}); from libs.scan.worker import survey_archive;"
        "from pathlib import Path; found = survey_archive(Path(sys.argv[1])); use = resource.getrusage(0);"
        # Not ru_maxrss: that one begins with the size of the process that started this one.
        "high = [line for line in Path('/proc/self/status').read_text().splitlines() if 'VmHWM' in line][0];"
        "print(found.secrets.files, use.ru_utime + use.ru_stime, int(high.split()[1]) // 1024)"
    )
    told = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(archive)], capture_output=True, check=True)
    files, seconds, mebibytes = told.stdout.split()
    assert int(files) == 50_000
    assert float(seconds) < 25
    assert int(mebibytes) < 100
