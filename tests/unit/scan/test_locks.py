"""Lock files give the packages that their tools would install."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.scan.inventory import READERS, Gatherer, Inventory


def read(files: dict[str, str]) -> Inventory:
    gatherer = Gatherer()
    for path, text in files.items():
        gatherer.add(path, text.encode(), len(text.encode()))
    return gatherer.result()


def purls(path: str, text: str) -> list[str]:
    found = read({path: text})
    assert found.notes == ()
    return [one.purl for one in found.packages]


def test_package_lock_3_names_scopes_aliases_and_nested_versions_but_no_folders_of_the_source() -> None:
    lock = {
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "shop", "version": "1.0.0"},
            "node_modules/@babel/core": {"version": "7.26.0", "license": "MIT", "dev": True},
            "node_modules/a/node_modules/b": {"version": "2.0.0"},
            "node_modules/b": {"version": "1.0.0"},
            "node_modules/short": {"name": "long-name", "version": "3.0.0"},
            "node_modules/own": {"resolved": "packages/own", "link": True},
            "packages/own": {"version": "0.1.0"},
        },
    }
    found = read({"web/package-lock.json": json.dumps(lock)})
    assert [one.purl for one in found.packages] == [
        "pkg:npm/b@1.0.0",
        "pkg:npm/b@2.0.0",
        "pkg:npm/long-name@3.0.0",
        "pkg:npm/%40babel/core@7.26.0",
    ]
    babel = found.packages[-1]
    assert (babel.licences, babel.development, babel.found_in) == (("MIT",), True, "web/package-lock.json")


def needs(path: str, text: str) -> dict[str, list[str]]:
    """Name and version of each package with those of what it asks for."""
    packages = read({path: text}).packages
    return {short(one.purl): [short(other) for other in one.needs] for one in packages if one.needs}


def short(purl: str) -> str:
    return purl.partition("/")[2]


def test_package_lock_says_which_version_each_package_gets() -> None:
    lock = {
        "lockfileVersion": 3,
        "packages": {
            "": {"dependencies": {"a": "*"}},
            "node_modules/a": {"version": "1.0.0", "dependencies": {"b": "^2", "c": "*", "gone": "*"}},
            "node_modules/a/node_modules/b": {"version": "2.0.0", "peerDependencies": {"a": "*"}},
            "node_modules/b": {"version": "1.0.0"},
            "node_modules/c": {"version": "1.0.0", "optionalDependencies": {"b": "*", "c": "*"}},
            "packages/web/node_modules/d": {"version": "1.0.0", "dependencies": {"b": "*"}},
        },
    }
    assert needs("package-lock.json", json.dumps(lock)) == {
        "a@1.0.0": ["b@2.0.0", "c@1.0.0"],
        "b@2.0.0": ["a@1.0.0"],
        "c@1.0.0": ["b@1.0.0"],
        "d@1.0.0": ["b@1.0.0"],
    }


@pytest.mark.parametrize(
    ("file", "asks"),
    [
        ("uv.lock", 'dependencies = [{ name = "click" }, { name = "Jinja2", marker = "x" }, { name = "gone" }]'),
        ("poetry.lock", '[package.dependencies]\nclick = ">=8"\nJinja2 = { version = "*" }\nw = {optional = true}'),
        ("pdm.lock", 'dependencies = ["click>=8.1.3", "jinja2 ; python_version > \'3\'"]'),
    ],
)
def test_locks_of_python_say_what_each_package_asks_for(file: str, asks: str) -> None:
    others = "".join(f'[[package]]\nname = "{name}"\nversion = "1"\n' for name in ("click", "jinja2", "w"))
    assert needs(file, f'{others}[[package]]\nname = "flask"\nversion = "3"\n{asks}\n') == {
        "flask@3": ["click@1", "jinja2@1"]
    }


def test_cargo_lock_names_the_version_when_there_are_several() -> None:
    entry = '[[package]]\nname = "{}"\nversion = "{}"\nsource = "registry+https://r"\n'
    lock = "".join(entry.format(*one) for one in [("rand", "1"), ("rand", "2"), ("libc", "1"), ("top", "1")])
    lock += 'dependencies = ["rand 2", "libc 1 (registry+https://r)", "rand"]\n'
    assert needs("Cargo.lock", lock) == {"top@1": ["libc@1", "rand@2"]}


def test_package_lock_1_is_read_to_its_depths() -> None:
    lock = {
        "lockfileVersion": 1,
        "dependencies": {
            "a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}},
            "alias": {"version": "npm:@real/one@4.0.0"},
            "own": {"version": "file:own"},
            "git": {"version": "git+ssh://git@host/x.git#0a1b2c"},
        },
    }
    assert purls("package-lock.json", json.dumps(lock)) == [
        "pkg:npm/a@1.0.0",
        "pkg:npm/b@2.0.0",
        "pkg:npm/git@0a1b2c",
        "pkg:npm/%40real/one@4.0.0",
    ]


def test_yarn_1_and_berry() -> None:
    first = (
        "# yarn lockfile v1\n\n"
        '"@scope/a@^1.0.0", "@scope/a@^1.1.0":\n  version "1.2.0"\n  resolved "https://r/a.tgz"\n\n'
        'alias@npm:real@^2.0.0:\n  version "2.0.1"\n  dependencies:\n    version "^9"\n\n'
        'left-pad@^1.0.0:\n  version "1.3.0"\n'
    )  # fmt: skip
    assert purls("yarn.lock", first) == ["pkg:npm/left-pad@1.3.0", "pkg:npm/real@2.0.1", "pkg:npm/%40scope/a@1.2.0"]
    berry = (
        "__metadata:\n  version: 8\n\n"
        '"lodash@npm:^4.17.0":\n  version: 4.17.21\n  resolution: "lodash@npm:4.17.21"\n  linkType: hard\n\n'
        '"short@npm:long@^1":\n  version: 1.0.0\n  resolution: "long@npm:1.0.0"\n\n'
        '"shop@workspace:.":\n  version: 0.0.0-use.local\n  resolution: "shop@workspace:."\n'
    )
    assert purls("yarn.lock", berry) == ["pkg:npm/lodash@4.17.21", "pkg:npm/long@1.0.0"]


@pytest.mark.parametrize(
    "keys",
    [
        ["/lodash/4.17.21", "/@babel/core/7.0.0_@babel+types@7.0.0"],
        ["/lodash@4.17.21", "/@babel/core@7.0.0(@babel/types@7.0.0)"],
        ["lodash@4.17.21", "'@babel/core@7.0.0'"],
    ],
    ids=["version 5", "version 6", "version 9"],
)
def test_pnpm_in_all_its_spellings(keys: list[str]) -> None:
    lock = (
        "lockfileVersion: '9.0'\n\nimporters:\n\n  .:\n    dependencies:\n      lodash:\n        version: 4.17.21\n\n"
    )
    lock += "packages:\n\n" + "".join(
        f"  {key}:\n    resolution: {{integrity: sha512-x}}\n    dev: true\n\n" for key in keys
    )
    lock += "  own@file:packages/own:\n    resolution: {directory: packages/own}\n\n"
    lock += "snapshots:\n\n  other@1.0.0: {}\n"
    found = read({"pnpm-lock.yaml": lock})
    assert [one.purl for one in found.packages] == ["pkg:npm/lodash@4.17.21", "pkg:npm/%40babel/core@7.0.0"]
    assert all(one.development for one in found.packages)


def test_bun_reads_its_relaxed_json_and_its_old_format_is_named() -> None:
    lock = '{ "packages": { "a": ["a@1.0.0", "", {}, "sha512-x"], "own": ["own@workspace:packages/own"], }, }'
    assert purls("bun.lock", lock) == ["pkg:npm/a@1.0.0"]
    assert "bun install --save-text-lockfile" in read({"bun.lockb": "x"}).notes[0]


def test_deno_of_several_versions() -> None:
    newer = {"version": "5", "jsr": {"@std/path@1.0.8": {}}, "npm": {"chalk@5.3.0": {}, "x@1.0.0_y@2.0.0": {}}}
    expected = ["pkg:jsr/%40std/path@1.0.8", "pkg:npm/chalk@5.3.0", "pkg:npm/x@1.0.0"]
    assert purls("deno.lock", json.dumps(newer)) == expected
    older = {"version": "3", "packages": {"jsr": newer["jsr"], "npm": newer["npm"]}}
    assert purls("deno.lock", json.dumps(older)) == expected


def test_python_locks() -> None:
    assert purls("requirements.txt", "Flask_Login==3.0 ; python_version>'3' \\\n  --hash=sha256:0\n-r y.txt\n") == [
        "pkg:pypi/flask-login@3.0"
    ]
    uv = (
        '[[package]]\nname = "shop"\nversion = "0.1.0"\nsource = { virtual = "." }\n\n'
        '[[package]]\nname = "flask"\nversion = "3.1.0"\nsource = { registry = "https://r" }\n'
    )
    assert purls("uv.lock", uv) == ["pkg:pypi/flask@3.1.0"]
    poetry = '[[package]]\nname = "pytest"\nversion = "8.0"\ngroups = ["dev"]\n'
    assert read({"poetry.lock": poetry}).packages[0].development
    pipenv = {
        "default": {"flask": {"version": "==3.0"}},
        "develop": {"pytest": {"version": "==8.0"}, "own": {"path": "."}},
    }
    assert purls("Pipfile.lock", json.dumps(pipenv)) == ["pkg:pypi/flask@3.0", "pkg:pypi/pytest@8.0"]


def test_go_mod_tells_all_since_1_17_and_go_sum_before() -> None:
    sums = "a.com/b v1.0.0 h1:x=\na.com/b v1.0.0/go.mod h1:x=\na.com/old v0.9.0 h1:x=\n"
    newer = (
        "module shop\n\ngo 1.22\n\nrequire (\n\ta.com/b v1.0.0 // indirect\n\tc.com/D/v2 v2.0.0+incompatible\n"
        "\te.com/f v1.0.0\n)\nreplace e.com/f => ../f\n"
    )
    assert [one.purl for one in read({"go.mod": newer, "go.sum": sums}).packages] == [
        "pkg:golang/a.com/b@v1.0.0",
        "pkg:golang/c.com/D/v2@v2.0.0%2Bincompatible",
    ]
    older = "module shop\n\ngo 1.16\n\nrequire a.com/b v1.0.0\n"
    assert [one.purl for one in read({"go.mod": older, "go.sum": sums}).packages] == [
        "pkg:golang/a.com/b@v1.0.0",
        "pkg:golang/a.com/old@v0.9.0",
    ]


def test_other_worlds() -> None:
    gems = "PATH\n  specs:\n    own (0.1.0)\n\nGEM\n  specs:\n    nokogiri (1.16.0-x86_64-linux)\n      racc (~> 1.4)\n"
    assert purls("Gemfile.lock", gems) == ["pkg:gem/nokogiri@1.16.0"]
    php = {"packages": [{"name": "Laravel/Framework", "version": "v11.0.0", "license": ["MIT"]}], "packages-dev": []}
    assert purls("composer.lock", json.dumps(php)) == ["pkg:composer/laravel/framework@v11.0.0"]
    cargo = '[[package]]\nname = "shop"\nversion = "0.1.0"\n\n'
    cargo += '[[package]]\nname = "serde"\nversion = "1.0.0+x"\nsource = "r"\n'
    assert purls("Cargo.lock", cargo) == ["pkg:cargo/serde@1.0.0%2Bx"]
    mix = '%{\n  "plug": {:hex, :plug, "1.15.0", "0a", [:mix], [], "hexpm", "0b"},\n'
    mix += '  "x": {:git, "https://g", "0c", []},\n}\n'
    assert purls("mix.lock", mix) == ["pkg:hex/plug@1.15.0"]
    net = {"dependencies": {"net8.0": {"Serilog": {"type": "Direct", "resolved": "3.1.1"}, "own": {"type": "Project"}}}}
    assert purls("packages.lock.json", json.dumps(net)) == ["pkg:nuget/Serilog@3.1.1"]
    gradle = "# note\ncom.google.guava:guava:32.0.0-jre=compileClasspath,testCompileClasspath\n"
    gradle += "junit:junit:4.13=testX\nempty=\n"
    found = read({"gradle.lockfile": gradle})
    assert [(one.purl, one.development) for one in found.packages] == [
        ("pkg:maven/com.google.guava/guava@32.0.0-jre", False),
        ("pkg:maven/junit/junit@4.13", True),
    ]


def test_packages_that_no_lock_file_pins_are_told_of() -> None:
    asks = '{"dependencies": {"express": "^5"}}'
    alone = read({"web/package.json": asks, "requirements.txt": "flask>=3\nnumpy==2.0\n", "tool/package.json": "{}"})
    assert alone.unlocked == ("requirements.txt", "web/package.json")
    assert [one.purl for one in alone.packages] == ["pkg:pypi/numpy@2.0"]
    assert any("web/package.json asks for packages without saying which versions" in note for note in alone.notes)
    # A lock file beside it, or above it as in a workspace, answers.
    locked = read({"web/package.json": asks, "package-lock.json": "{}", "requirements.txt": "numpy==2.0\n"})
    assert locked.unlocked == ()
    assert read({"pyproject.toml": '[project]\ndependencies = ["flask"]\n'}).unlocked == ("pyproject.toml",)
    assert read({"pyproject.toml": "[tool.ruff]\nline-length = 99\n"}).unlocked == ()
    assert read({"Gemfile": 'source "x"\ngem "rails"\n', "Cargo.toml": "[package]\n"}).unlocked == ("Gemfile",)
    assert read({"pom.xml": "<dependency>", "composer.json": '{"require": {"php": ">=8"}}'}).unlocked == ("pom.xml",)
    assert read({"package.json": "{", "pyproject.toml": "["}).unlocked == ()


def test_what_runs_anywhere_is_not_for_development_and_is_listed_once() -> None:
    lock = '[[package]]\nname = "x"\nversion = "1"\ngroups = ["{}"]\n'
    found = read({"a/poetry.lock": lock.format("dev"), "b/poetry.lock": lock.format("main")})
    assert [(one.purl, one.development, one.found_in) for one in found.packages] == [
        ("pkg:pypi/x@1", False, "a/poetry.lock")
    ]


@pytest.mark.parametrize("path", sorted(READERS))
def test_a_broken_lock_file_is_a_note_that_names_it_and_never_ends_anything(path: str) -> None:
    for content in (b"\xff\xfe\x00", b"{", b"[[[[", b"[" * 100_000, b'{"packages": {"a": 1, "b": [[]]}}', b""):
        gatherer = Gatherer()
        gatherer.add(f"web/{path}", content, len(content))
        assert all("web/" in note for note in gatherer.result().notes)
    told = Gatherer()
    told.add(path, b"#", 10**9)
    assert "larger than 32 MiB" in told.result().notes[0]


@given(
    st.sampled_from(sorted(READERS)),
    st.one_of(
        st.text(max_size=300).map(str.encode),
        st.binary(max_size=300),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(
                        ["packages", "dependencies", "version", "name", "license", "npm", "default", "x@1"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=20,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_no_content_makes_a_reader_fail(path: str, content: bytes) -> None:
    gatherer = Gatherer()
    gatherer.add(path, content, len(content))
    for one in gatherer.result().packages:
        assert one.purl.startswith("pkg:")
