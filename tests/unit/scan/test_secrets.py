"""Secrets are found where they are, never shown, and little else is taken for one."""

from __future__ import annotations

import json
import string
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.cli.scan import survey_directory
from libs.scan.secrets.look import GENERIC, MOST_BYTES, MOST_IN_FILE, SecretFinding, find_secrets
from libs.scan.secrets.rules import RULES
from libs.scan.severity import Severity
from libs.scan.survey import Survey, surveyed_of

ROOT = Path(__file__).parents[3]
ALPHABET = string.ascii_letters + string.digits


def random_text(length: int, alphabet: str = ALPHABET, seed: int = 7) -> str:
    """Looks like a key and is none: made here, so that the repository holds nothing that looks like one."""
    return "".join(Random(seed).choices(alphabet, k=length))  # noqa: S311 - not for secrets


UPPER, LOWER_HEX = string.ascii_uppercase + "234567", "0123456789abcdef"
SAMPLES = {
    "aws-access-key": "AKIA" + random_text(16, UPPER),
    "aws-secret-key": f'aws_secret_access_key = "{random_text(40)}"',
    "github-token": "ghp_" + random_text(36),
    "gitlab-token": "glpat-" + random_text(20),
    "slack-token": "xoxb-" + random_text(12, string.digits) + "-" + random_text(24),
    "slack-webhook": "https://hooks.slack.com/services/T" + random_text(8, UPPER) + "/B" + random_text(30),
    "stripe-key": "sk_live_" + random_text(24),
    "stripe-test-key": "sk_test_" + random_text(24),
    "stripe-webhook": "whsec_" + random_text(32),
    "npm-token": "npm_" + random_text(36),
    "pypi-token": "pypi-AgEIcHlwaS5vcmc" + random_text(90),
    "google-api-key": "AIza" + random_text(35),
    "google-oauth-secret": "GOCSPX-" + random_text(28),
    "sendgrid-key": "SG." + random_text(22) + "." + random_text(43),
    "openai-key": "sk-proj-" + random_text(40) + "T3BlbkFJ" + random_text(40),
    "anthropic-key": "sk-ant-api03-" + random_text(93),
    "huggingface-token": "hf_" + random_text(34, string.ascii_letters),
    "digitalocean-token": "dop_v1_" + random_text(64, LOWER_HEX),
    "docker-token": "dckr_pat_" + random_text(27),
    "shopify-token": "shpat_" + random_text(32, LOWER_HEX),
    "vault-token": "hvs." + random_text(90),
    "azure-storage-key": "AccountKey=" + random_text(86) + "==",
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----\n" + random_text(64) + "\n",
    "jwt": "eyJ" + random_text(30) + ".eyJ" + random_text(60) + "." + random_text(43),
    "password-in-address": "postgresql://shop:" + random_text(14) + "@db.shop.io:5432/shop",
    GENERIC: f'client_secret: "{random_text(32)}"',
}


def test_every_rule_has_a_sample() -> None:
    assert set(SAMPLES) == {rule.name for rule in RULES} | {GENERIC}


@pytest.mark.parametrize("rule", sorted(SAMPLES))
def test_a_secret_is_found_with_file_and_line_and_not_shown(rule: str) -> None:
    sample = SAMPLES[rule]
    (found,) = find_secrets("src/app.py", f"# one\n\nvalue = {sample}\n".encode())
    assert (found.path, found.line, found.rule) == ("src/app.py", 3, rule)
    longest = max(sample.replace('"', " ").replace("=", " ").split(), key=len)
    assert not any(longest[place : place + 12] in repr(found) for place in range(len(longest) - 12))
    assert found.shown.endswith("…")
    assert len(found.shown) <= 12


def test_a_private_key_in_json_is_found_and_a_mere_heading_is_not() -> None:
    heading = "-----BEGIN " + "PRIVATE KEY-----"
    key = {"type": "service_account", "private_key": f"{heading}\n{random_text(64)}\n"}
    (found,) = find_secrets("key.json", json.dumps(key).encode())
    assert (found.rule, found.severity) == ("private-key", Severity.CRITICAL)
    assert find_secrets("README.md", f"The file begins with `{heading}`.\n".encode()) == []


@pytest.mark.parametrize(
    "line",
    [
        "AKIAIOSFODNN7EXAMPLE",
        'api_key = "your-api-key-goes-here-123"',
        'API_TOKEN = os.environ["API_TOKEN_OF_SHOP_12"]',
        "password = process.env.DATABASE_PASSWORD_2",
        'secret = "${SECRET_FROM_THE_VAULT_9}"',
        'token_url = "https://auth.shop.io/oauth2/token?v=1"',
        'secret_file = "/run/secrets/database-password-1"',
        'const tokenPattern = "abcdefghijklmnopqrstuvwxyz0123456789"',
        'password_label = "Please-enter-your-new-password-2"',
        'secret: "a1b2c3"',
        "DATABASE_URL=postgres://postgres:postgres@localhost:5432/app",
        "DATABASE_URL=postgres://user:password@db.shop.io/app",
        "DATABASE_URL=postgres://app:${DB_PASSWORD}@db.shop.io/app",
        "url: https://user:pass@example.com/",
        "redis://:devredis@redis:6379",
        "ghp_" + "x" * 36,
        "integrity sha512-" + random_text(86) + "==",
        "data:image/png;base64," + random_text(400, ALPHABET + "+/"),
        f"commit {random_text(40, LOWER_HEX)}",
        "SecretKeyFactory.getInstance('PBKDF2WithHmacSHA512')",
        "the token: is explained in the-chapter-on-tokens-and-more1",
    ],
)
def test_what_only_looks_like_a_secret_is_none(line: str) -> None:
    assert find_secrets("src/app.py", f"{line}\n".encode()) == []
    assert find_secrets(".env", f"{line}\n".encode()) == []


def test_unquoted_values_count_only_where_files_are_written_so() -> None:
    line = f"CLIENT_SECRET={random_text(32)}\n".encode()
    assert [one.rule for one in find_secrets("web/.env.production", line)] == [GENERIC]
    assert find_secrets("web/notes.txt", line) == []


def test_lock_files_and_what_tools_wrote_hold_no_generic_secrets_but_may_hold_known_ones() -> None:
    generic, known = f'"token": "{random_text(32)}"', SAMPLES["github-token"]
    for path in ("package-lock.json", "static/app.min.js", "vendor/lib/x.js", "logo.svg"):
        found = find_secrets(path, f"{generic}\n{known}\n".encode())
        assert [one.rule for one in found] == ["github-token"], path


def test_a_mark_on_the_line_allows_it_and_only_it() -> None:
    key = SAMPLES["github-token"]
    for mark in ("lightrail:allow-secret", "gitleaks:allow", "pragma: allowlist secret"):
        found = find_secrets("a.py", f"x = '{key}'  # {mark}\ny = '{key}'\n".encode())
        assert [one.line for one in found] == [2]


def test_an_ignore_file_allows_paths_or_a_rule_in_them_and_says_how_many() -> None:
    survey = Survey()
    ignore = "# examples\ntests/\njwt docs/*.md\n*****x\n"
    jwt, key = SAMPLES["jwt"], SAMPLES["github-token"]
    files = {".lightrail-scan-ignore": ignore, "tests/deep/a.py": key, "docs/a.md": f"{jwt}\n{key}", "src/a.py": jwt}
    for path, text in files.items():
        survey.add(path, text.encode(), len(text))
    secrets = survey.result().secrets
    assert [(one.path, one.rule) for one in secrets.findings] == [("docs/a.md", "github-token"), ("src/a.py", "jwt")]
    assert secrets.ignored == 2
    assert "line 4: a pattern may hold 4 stars" in secrets.notes[0]


def test_binary_and_large_files_are_no_trouble() -> None:
    key = SAMPLES["github-token"].encode()
    assert find_secrets("a.bin", b"\0\1" + key) == []
    assert find_secrets("a.txt", b" " * MOST_BYTES + key) == []
    survey = Survey()
    survey.add("dump.sql", b"x" * MOST_BYTES, 10**10)
    assert "only in the first MiB of dump.sql" in survey.result().secrets.notes[0]
    many = find_secrets("a.txt", b"\n".join([key] * 1000))
    assert len(many) == MOST_IN_FILE


def test_dependencies_in_the_source_and_version_control_are_not_looked_at() -> None:
    survey = Survey()
    assert [survey.wants(path) for path in (".git/config", "node_modules/a/b.js", "x/.venv/y.py")] == [0, 0, 0]
    assert survey.wants("src/a.py") == MOST_BYTES


def adversaries() -> Iterator[tuple[str, bytes]]:
    for word in sorted({word for rule in RULES for word in rule.words}):
        yield word.decode(), word
    yield "addresses", b"http://a:"
    yield "address without end", b"://" + b"a" * 79 + b":" + b"b" * 199
    yield "keys", b"-----BEGIN PRIVATE KEY-----\n" + b"X-Y: z\n" * 4
    yield "assignments", b"password" * 3 + b" = "
    yield "tokens", b"eyJ" + b"a" * 12 + b".eyJ"
    yield "quotes", b"secret_key" + b"a" * 24 + b'"] \t=> "'


@pytest.mark.parametrize(
    ("name", "piece"), list(adversaries()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_input_takes_more_than_its_length(name: str, piece: bytes) -> None:
    def seconds(size: int) -> float:
        data = (piece * (size // len(piece) + 1))[:size]
        begun = time.process_time()
        find_secrets("a.env", data)
        return time.process_time() - begun

    small = min(seconds(32 * 1024) for _ in range(2))
    large = seconds(128 * 1024)
    # Four times the bytes: four times the time, where a pattern that tries everything would need sixteen.
    assert large <= 9 * small + 0.05


@given(st.binary(max_size=400), st.sampled_from(["a.py", ".env", "x/y.min.js"]))
def test_no_content_makes_it_fail(data: bytes, path: str) -> None:
    for one in find_secrets(path, data):
        assert isinstance(one, SecretFinding)


def test_a_survey_told_as_json_is_the_same_survey() -> None:
    survey = Survey(root="web")
    survey.add("src/\x1b[2Ja.py", SAMPLES["github-token"].encode(), 40)
    survey.add("web/uv.lock", b'[[package]]\nname = "a"\nversion = "1"\nsource = { registry = "r" }\n', 70)
    survey.add("web/lightrail.toml", b'[scan]\npolicy = "block"\nseverity = "low"\n', 40)
    found = survey.result()
    assert surveyed_of(json.loads(json.dumps(found.document()))) == found
    assert found.asked is not None
    assert found.asked.severity is Severity.LOW
    assert found.secrets.findings[0].path == "src/\\x1b[2Ja.py"


@pytest.mark.parametrize("example", sorted(one.name for one in (ROOT / "examples").iterdir() if one.is_dir()))
def test_the_examples_hold_no_secrets(example: str) -> None:
    assert survey_directory(ROOT / "examples" / example).secrets.findings == ()
