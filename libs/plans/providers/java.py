"""Java and Kotlin: Maven, Gradle; Spring Boot and anything that makes a runnable jar."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Runtime, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "java"
LOOKS_FOR: Final = "pom.xml, build.gradle, build.gradle.kts, gradlew"
DEFAULT: Final = "21"
_GRADLE: Final = ("gradlew", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")
_MAVEN: Final = ("pom.xml", "pom.atom", "pom.clj", "pom.groovy", "pom.rb", "pom.scala", "pom.yaml", "pom.yml")


def detects(tree: Tree) -> Evidence | None:
    """A build file of Gradle or Maven."""
    found = tuple(path for path in (*_GRADLE, *_MAVEN) if tree.has(path))
    return Evidence(NAME, found) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Builds the jar without its tests, starts it."""
    evidence = detects(tree)
    gradle = tree.has(*_GRADLE)
    texts = "".join(tree.read(path) for path in _build_files(tree, gradle=gradle))
    spring = "org.springframework.boot" in texts
    port = " -Dserver.port=$PORT" if spring else ""
    if gradle:
        program: tuple[str, ...] = ("./gradlew",) if tree.has("gradlew") else ("gradle",)
        command: tuple[str, ...] = (*program, "clean", "build", "-x", "check", "-x", "test", "-Pproduction")
        several = not tree.has("build.gradle", "build.gradle.kts")
        start = f"java $JAVA_OPTS{port} -jar $(ls -1 {'*/' if several else ''}build/libs/*jar | grep -v plain)"
    else:
        program = ("./mvnw",) if tree.has("mvnw") else ("mvn",)
        command = (*program, "-B", "-DskipTests", "clean", "install", "-Pproduction")
        start = f"java{port} $JAVA_OPTS -jar target/*jar"
    own = tuple(("chmod", "+x", one) for one in ("gradlew", "mvnw") if program == (f"./{one}",))
    tool = Runtime(*_tool(tree, gradle=gradle))
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (),
        runtime=pinned(tree, "java", ".java-version", default=DEFAULT, manifest=_version(tree, texts, gradle=gradle)),
        found=lambda: Start(start, "the jar that the build makes", "web"),
        looked_for="a jar",
        build=Step("build", (*own, command), caches=("gradle" if gradle else "maven",)),
        framework="spring-boot" if spring else "quarkus" if "io.quarkus" in texts else "",
        tools=() if program[0].startswith("./") else (tool,),
    )
    return assemble(tree, settings, draft)


def _build_files(tree: Tree, *, gradle: bool) -> list[str]:
    if not gradle:
        return [path for path in _MAVEN if tree.has(path)]
    return [path for path in tree.ending(".gradle", depth=1) + tree.ending(".gradle.kts", depth=1) if "build" in path]


def _tool(tree: Tree, *, gradle: bool) -> tuple[str, str, str]:
    if not gradle:
        found = pinned(tree, "maven")
        return "maven", found.constraint, found.asked_by
    path = "gradle/wrapper/gradle-wrapper.properties"
    wrapper = re.search(r"gradle-(\d+(?:\.\d+)*)", tree.read(path)) if tree.has(path) else None
    return ("gradle", wrapper[1], path) if wrapper else ("gradle", "8", "")


def _version(tree: Tree, texts: str, *, gradle: bool) -> tuple[str, str]:
    if gradle:
        asked = re.search(r"JavaLanguageVersion\.of\((\d+)\)|jvmToolchain\((\d+)\)", texts)
        if asked:
            return asked[1] or asked[2], "the Gradle toolchain"
        _, version, source = _tool(tree, gradle=True)
        # Older Gradles cannot run on anything newer.
        return ("8", source) if version.split(".")[0] in {"3", "4", "5"} else ("", "")
    asked = re.search(r"<(?:java\.version|maven\.compiler\.release|maven\.compiler\.target)>\s*(?:1\.)?(\d+)", texts)
    return (asked[1], "pom.xml") if asked else ("", "")
