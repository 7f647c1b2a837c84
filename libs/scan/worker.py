"""Looks through a source archive in a process of its own: `python -m libs.scan.worker ARCHIVE [FOLDER]`.

It needs nothing but Python and this library, so it runs in a sandbox with caps on memory and time: archives are other
people's, and what reads them may be made slow or large by them.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

from libs.scan.survey import Survey, Surveyed


def survey_archive(archive: Path, root: str = "") -> Surveyed:
    """What the files of a tar (plain or compressed) hold; read from its start to its end, nothing is unpacked."""
    survey = Survey(root=root.strip("/"))
    with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r|*") as members:
        for member in members:
            # What the module keeps of earlier members would grow with their number.
            members.members.clear()  # type: ignore[attr-defined]  # documented, but not in the stubs
            path = member.name.removeprefix("./")
            if not member.isfile() or not (wanted := survey.wants(path)):
                continue
            content = members.extractfile(member)
            if content is not None:
                survey.add(path, content.read(wanted), member.size)
    return survey.result()


def main(arguments: list[str]) -> None:
    """Prints the result as one line of JSON."""
    archive, root, *_ = [*arguments, ""]
    sys.stdout.write(json.dumps(survey_archive(Path(archive), root).document()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
