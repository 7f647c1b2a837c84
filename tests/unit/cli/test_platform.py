"""A platform in the foreground, as `lr platform up` waits with it."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from libs.cli import platform
from libs.embedded import processes
from libs.embedded.home import Home
from libs.embedded.record import Record
from libs.kernel.errors import Denied


@pytest.mark.parametrize(("as_json", "said"), [(True, ""), (False, "Ctrl-C stops it.\n")])
def test_the_word_about_ctrl_c_is_never_beside_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool, said: str
) -> None:
    with subprocess.Popen(["sleep", "60"]) as ended:
        found = processes.find(ended.pid)
        assert found
        ended.kill()
    ready = Record(phase="ready", topology="all", url="http://x", pid=found.pid, start=found.start)
    assert platform._stay(Home(tmp_path), ready, as_json=as_json) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", said)


def test_the_platform_of_another_user_is_said_to_be_that(tmp_path: Path) -> None:
    said = r"state: the platform there belongs to another user\. Act as that user"
    with pytest.raises(Denied, match=said), platform._machine():
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "state"))
