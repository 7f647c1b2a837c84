"""`lr build plan` and `lr config check`, in this process and without a platform."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from libs.cli.build import read_directory
from libs.cli.main import main
from libs.kernel.errors import Invalid
from libs.plans.detect import make_plan
from libs.plans.images.dockerfile import dockerfile
from libs.plans.images.stacks import base_of
from libs.plans.plan import PlanSettings

EXAMPLES = Path(__file__).parents[3] / "examples"


def made(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_plan_printed_is_the_plan_that_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "plan", str(EXAMPLES / "guestbook-python"), "--json"]) == 0
    expected = make_plan(read_directory(EXAMPLES / "guestbook-python"), PlanSettings())
    assert json.loads(capsys.readouterr().out) == expected.document()


def test_for_people_it_says_what_was_seen_what_runs_and_what_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "plan", str(EXAMPLES / "node-express")]) == 0
    said = capsys.readouterr().out
    assert "node with express" in said
    assert "npm ci" in said
    assert "start " in said


def test_a_flag_counts_more_than_every_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = made(tmp_path, {"main.py": "", "lightrail.toml": '[deploy]\nstart_command = "python a.py"\n'})
    assert main(["build", "plan", str(source), "--start-command", "python b.py", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["start_command"], plan["start_from"]) == ("python b.py", "--start-command")


def test_the_owners_fault_is_a_sentence_and_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = made(tmp_path, {"package.json": "{}", "yarn.lock": "", "pnpm-lock.yaml": ""})
    assert main(["build", "plan", str(source)]) == 1
    assert "2 lock files that contradict each other" in capsys.readouterr().err


def test_what_an_upload_leaves_out_is_not_planned_with(tmp_path: Path) -> None:
    source = made(tmp_path, {"main.py": "", "package.json": "{}", ".gitignore": "package.json\n"})
    assert read_directory(source).files == {"main.py", ".gitignore"}


def test_what_no_upload_takes_along_is_not_planned_with(tmp_path: Path) -> None:
    source = made(tmp_path, {"main.py": "", "requirements/base.txt": ""})
    os.mkfifo(source / "requirements.txt")
    (source / "setup.py").symlink_to("requirements")
    assert read_directory(source).files == {"main.py", "requirements/base.txt"}


def test_a_link_out_of_the_source_is_not_followed(tmp_path: Path) -> None:
    source = made(tmp_path / "source", {"main.py": ""})
    (source / "requirements.txt").symlink_to("/etc/passwd")
    with pytest.raises(Invalid, match="no file of the source"):
        make_plan(read_directory(source), PlanSettings())


def test_steps_without_a_network_are_named_and_the_test_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = made(tmp_path, {"main.py": "", "lightrail.toml": '[build]\ntest_command = "true"\nnetwork = false\n'})
    assert main(["build", "plan", str(source)]) == 0
    assert "network  none in the step test" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["loop", "requirements.txt"])
def test_a_link_that_leads_to_itself_is_a_sentence_at_most(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = made(tmp_path, {"main.py": ""})
    (source / name).symlink_to(name)
    assert main(["build", "plan", str(source)]) == int(name == "requirements.txt")
    assert main(["build", "scan", str(source)]) == 0
    assert ("requirements.txt is no file of the source" in capsys.readouterr().err) is (name == "requirements.txt")


def test_a_text_of_windows_is_read_as_any_other(tmp_path: Path) -> None:
    source = made(tmp_path, {"app.py": "from flask import Flask\napp = Flask(__name__)\n"})
    (source / "requirements.txt").write_bytes("flask\r\n".encode("utf-16"))
    (source / "lightrail.toml").write_bytes('[deploy]\nkind = "worker"\n'.encode("utf-8-sig"))
    plan = make_plan(read_directory(source), PlanSettings())
    assert (plan.framework, plan.kind) == ("flask", "worker")


def test_a_good_configuration_is_called_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = made(tmp_path, {"lightrail.toml": '[deploy]\nstart_command = "./run"\n', "Procfile": "web: ./run\n"})
    assert main(["config", "check", str(source)]) == 0
    assert capsys.readouterr().out == "Procfile, lightrail.toml: good.\n"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "lightrail.toml",
            '[deploy]\nstart_comand = "./run"\n',
            (
                "line 2: the key “deploy.start_comand” is not known, so it has no effect."
                " Did you mean “deploy.start_command”?"
            ),
        ),
        # A key that is called like its table, below it, and on its own line.
        (
            "lightrail.toml",
            "[build]\n\nbuild = 1\n",
            "line 3: the key “build.build” is not known, so it has no effect. Did you mean “build.builder”?",
        ),
        (
            "lightrail.toml",
            "build.build = 1\n",
            "line 1: the key “build.build” is not known, so it has no effect. Did you mean “build.builder”?",
        ),
        ("railway.json", '{"colour":\n"red"}', "line 1: the key “colour” is not known, so it has no effect."),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_one_that_was_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, said: str
) -> None:
    source = made(tmp_path, {file: text})
    assert main(["config", "check", str(source), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [warning for warning in told["warnings"] if "is not known" in warning] == [f"{file}, {said}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[build]\nprovider = "pyhton"\n', "lightrail.toml: there is no provider “pyhton”. Use auto, or one of"),
        ('[build]\nbuilder = "dokcer"\n', "lightrail.toml: there is no builder “dokcer”. Use one of"),
        (
            '[build.environment]\nPYTHON = "3"\npython = "x"\n\n[build.versions]\nnode = "22"\npython = 3.10\n',
            "lightrail.toml, line 7: “build.versions.python” must be a text, this is a number. Write it in quotes.",
        ),
        (
            '[build]\ntest_command = ["a"]\n',
            "lightrail.toml, line 2: “build.test_command” must be a text, this is a list.",
        ),
        (
            '[scan]\nseverity = "low"\npolicy = "blok"\n',
            "lightrail.toml, line 3: “scan.policy” must be one of warn, block.",
        ),
        (
            '[build.versions]\nnode = "banana"\n',
            "lightrail.toml, line 2: “banana” is no version of node. Write its number, or “latest”.",
        ),
        ("build = 3\n", "lightrail.toml, line 1: “build” must be a table, this is a number."),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_it_must_be(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "check", str(made(tmp_path, {"lightrail.toml": text}))]) == 1
    assert capsys.readouterr().err.startswith(said)


def test_a_key_of_the_same_name_in_another_table_is_not_the_one_that_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '[build]\nprovider = "python"\n\n[deploy]\nprovider = "python"\n'
    assert main(["config", "check", str(made(tmp_path, {"lightrail.toml": text}))]) == 1
    assert capsys.readouterr().out.startswith("lightrail.toml, line 5: the key “deploy.provider” is not known")


def test_nothing_to_check_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(tmp_path)]) == 0
    assert "everything is detected" in capsys.readouterr().out
    assert main(["config", "check", str(tmp_path / "nowhere")]) == 1


def test_a_scan_names_the_place_of_a_secret_and_fails_only_when_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "ghp_" + "a1B2c3D4e5F6g7H8i9" * 2
    source = made(tmp_path, {"main.py": f'\nKEY = "{key}"\n', "requirements.txt": "flask==3.1.0\n"})
    assert main(["build", "scan", str(source)]) == 0
    said = capsys.readouterr().out
    assert "critical: main.py:2 (GitHub token, ghp_…)" in said
    assert "1 package from lock files" in said
    assert "vulnerabilities not scanned" in said
    assert key not in said
    assert main(["build", "scan", str(source), "--policy", "block", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["secrets"]["findings"][0]["line"] == 2
    assert "main.py:2" in told["blocked"]


def test_the_source_may_ask_for_a_stricter_scan_and_a_wrong_word_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "ghp_" + "a1B2c3D4e5F6g7H8i9" * 2
    source = made(tmp_path, {"main.py": f'KEY = "{key}"\n', "lightrail.toml": '[scan]\npolicy = "block"\n'})
    assert main(["build", "scan", str(source), "--policy", "warn"]) == 1
    assert main(["config", "check", str(source)]) == 0
    made(tmp_path, {"lightrail.toml": '[scan]\npolicy = "off"\n'})
    assert main(["config", "check", str(source)]) == 1
    assert "lightrail.toml, line 2: “scan.policy” must be one of warn, block" in capsys.readouterr().err


def test_a_bill_of_materials_is_printed_without_a_platform(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "sbom", "--dir", str(EXAMPLES / "node-express")]) == 0
    bill = json.loads(capsys.readouterr().out)
    assert bill["specVersion"] == "1.6"
    assert any(one["purl"].startswith("pkg:npm/express@") for one in bill["components"])


def test_the_dockerfile_printed_is_the_one_that_is_followed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "plan", str(EXAMPLES / "guestbook-python"), "--dockerfile", "--stack", "official"]) == 0
    plan = make_plan(read_directory(EXAMPLES / "guestbook-python"), PlanSettings(builder="docker"))
    assert capsys.readouterr().out == dockerfile(plan, base_of("official", plan)).text


def test_a_dockerfile_of_the_source_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'FROM scratch\nCMD ["/x"]\n'
    assert main(["build", "plan", str(made(tmp_path, {"Dockerfile": text})), "--dockerfile"]) == 0
    assert capsys.readouterr().out == text


def test_a_stack_without_a_dockerfile_is_a_contradiction(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "plan", str(EXAMPLES / "static-site"), "--stack", "debian"]) != 0
    assert "--dockerfile" in capsys.readouterr().err
    assert main(["build", "plan", str(EXAMPLES / "static-site"), "--stack", "debian", "--json"]) != 0
    assert "--stack says what a Dockerfile stands on." in capsys.readouterr().out


def test_a_dockerfile_as_json_is_refused_in_the_words_that_were_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "plan", str(EXAMPLES / "static-site"), "--json", "--dockerfile"]) != 0
    said = capsys.readouterr().out
    assert "--dockerfile prints a Dockerfile, --json the plan." in said
    assert "--stack" not in said


def test_a_machine_without_a_stack_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIGHTRAIL_HOME", str(tmp_path))
    assert main(["platform", "stack", "list"]) == 0
    assert "lr platform stack build" in capsys.readouterr().out
