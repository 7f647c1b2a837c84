"""References become text: whatever the values say, rendering ends, and says where it cannot go on."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.kernel.errors import Invalid, Unavailable
from libs.kernel.secret import Secret
from services.project.domain.provided import DEPLOYMENT_ID, of_environment, of_service
from services.project.domain.render import Purpose, World, render
from services.project.domain.template import escape
from services.project.domain.variables import SHARED, Variable

SERVICES = {"svc_web": "web", "svc_api": "api"}


def world(scopes: dict[str, dict[str, str]], *, sealed: str = "", domain: str = "api-production.localhost") -> World:
    common = of_environment(
        project_id="prj_1", project_name="shop", environment_id="env_1", environment_name="production"
    )
    given_to = {
        service: {
            **common,
            **of_service(
                service_id=service,
                service_name=SERVICES[service],
                public_domain=domain,
                is_worker=service == "svc_web",
            ),
        }
        for service in scopes
        if service != SHARED
    }
    return World(
        services=SERVICES,
        variables={
            scope: {name: Variable(Secret(text), sealed=name == sealed) for name, text in values.items()}
            for scope, values in scopes.items()
        },
        provided={SHARED: common, **given_to},
    )


def texts(made: World, scope: str = "svc_web", purpose: Purpose = Purpose.DEPLOYMENT) -> dict[str, str]:
    return {name: each.text.reveal() for name, each in render(made, scope, made.variables[scope], purpose).items()}


def test_references_of_every_kind_become_text() -> None:
    made = world(
        {
            SHARED: {"REGION": "eu", "ZONE": "${{REGION}}-1 of ${{LIGHTRAIL_PROJECT_NAME}}"},
            "svc_api": {"HOST": "${{LIGHTRAIL_SERVICE_NAME}}", "PATH": "/${{shared.REGION}}"},
            "svc_web": {
                "URL": "http://${{ svc_api.HOST }}:80${{svc_api.PATH}}?z=${{shared.ZONE}}",
                "PUBLIC": "${{svc_api.LIGHTRAIL_PUBLIC_DOMAIN}}",
                "AGAIN": "${{URL}}",
                "LITERAL": "$${{URL}} costs $5",
                "EMPTY": "",
            },
        }
    )
    url = "http://api:80/eu?z=eu-1 of shop"
    assert texts(made) == {
        "URL": url,
        "PUBLIC": "api-production.localhost",
        "AGAIN": url,
        "LITERAL": "${{URL}} costs $5",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("scopes", "sentence"),
    [
        ({"svc_web": {"A": "${{B}}"}}, "web.A → web.B: there is no variable of web called B"),
        ({"svc_web": {"A": "${{shared.B}}"}}, "web.A → shared.B: there is no shared variable called B"),
        (
            {"svc_web": {"A": "${{svc_api.B}}"}, "svc_api": {"B": "${{C}}"}},
            "web.A → api.B → api.C: there is no variable of api called C",
        ),
        ({"svc_web": {"A": "${{svc_api.B}}"}}, "web.A → api.B: the service api was deleted"),
        ({"svc_web": {"A": "${{svc_gone.B}}"}}, "web.A → svc_gone.B: there is no such service"),
        ({"svc_web": {"A": "${{PORT}}"}}, "web.A → web.PORT: PORT is chosen for each instance"),
        (
            {"svc_web": {"A": "${{LIGHTRAIL_PUBLIC_DOMAIN}}"}},
            "web.A → web.LIGHTRAIL_PUBLIC_DOMAIN: web is a worker and has no public domain",
        ),
        (
            {"svc_web": {"A": "${{svc_api.LIGHTRAIL_DEPLOYMENT_ID}}"}, "svc_api": {}},
            "web.A → api.LIGHTRAIL_DEPLOYMENT_ID: LIGHTRAIL_DEPLOYMENT_ID has a value only inside",
        ),
    ],
)
def test_an_unknown_reference_is_told_with_its_path(scopes: dict[str, dict[str, str]], sentence: str) -> None:
    for purpose in Purpose:
        with pytest.raises(Invalid, match=re.escape(sentence)) as caught:
            texts(world(scopes), purpose=purpose)
        assert caught.value.field == "A"


def test_the_likely_name_is_offered() -> None:
    with pytest.raises(Invalid, match="Did you mean “DATABASE_URL”"):
        texts(world({"svc_web": {"A": "${{svc_api.DATABSE_URL}}"}, "svc_api": {"DATABASE_URL": "x"}}))


@pytest.mark.parametrize(
    ("scopes", "path"),
    [
        ({"svc_web": {"A": "${{A}}"}}, "web.A → web.A"),
        ({"svc_web": {"A": "${{svc_api.B}}"}, "svc_api": {"B": "x${{svc_web.A}}"}}, "web.A → api.B → web.A"),
        ({"svc_web": {"A": "${{B}}", "B": "${{C}}", "C": "${{B}}"}}, "web.B → web.C → web.B"),
        ({"svc_web": {"A": "${{shared.B}}"}, SHARED: {"B": "${{svc_web.A}}"}}, "web.A → shared.B → web.A"),
    ],
)
def test_a_circle_is_told_with_its_path(scopes: dict[str, dict[str, str]], path: str) -> None:
    for purpose in Purpose:
        with pytest.raises(Invalid, match=f"in a circle: {re.escape(path)}\\."):
            texts(world(scopes), purpose=purpose)


def test_a_circle_through_a_sealed_value_is_found_when_it_is_checked() -> None:
    made = world({"svc_web": {"A": "${{B}}", "B": "${{A}}"}}, sealed="B")
    with pytest.raises(Invalid, match="in a circle"):
        texts(made, purpose=Purpose.CHECK)


def test_a_listing_shows_nothing_sealed_not_even_through_references() -> None:
    made = world(
        {
            "svc_api": {"PASSWORD": "hunter2", "URL": "pg://u:${{PASSWORD}}@h"},
            "svc_web": {"A": "[${{svc_api.URL}}]", "D": "${{LIGHTRAIL_PROJECT_ID}}"},
        },
        sealed="PASSWORD",
    )
    assert texts(made, purpose=Purpose.LISTING) == {"A": "[pg://u:${{api.PASSWORD}}@h]", "D": "prj_1"}
    assert texts(made, "svc_api", Purpose.LISTING) == {"PASSWORD": "${{PASSWORD}}", "URL": "pg://u:${{PASSWORD}}@h"}
    assert texts(made)["A"] == "[pg://u:hunter2@h]"


def test_what_is_not_known_yet_stays_a_reference_in_a_listing_and_fails_a_deployment() -> None:
    made = world({"svc_api": {"A": "http://${{LIGHTRAIL_PUBLIC_DOMAIN}}"}}, domain="")
    assert texts(made, "svc_api", Purpose.LISTING) == {"A": "http://${{LIGHTRAIL_PUBLIC_DOMAIN}}"}
    with pytest.raises(Unavailable, match=r"api\.A → api\.LIGHTRAIL_PUBLIC_DOMAIN: .*router is away"):
        texts(made, "svc_api")


def test_the_deployments_id_is_known_in_a_deployment_only() -> None:
    made = world({"svc_api": {"A": "v-${{LIGHTRAIL_DEPLOYMENT_ID}}"}})
    made.provided["svc_api"][DEPLOYMENT_ID] = None
    assert texts(made, "svc_api", Purpose.LISTING) == {"A": "v-${{LIGHTRAIL_DEPLOYMENT_ID}}"}
    with pytest.raises(Invalid, match="only inside a deployment"):
        texts(made, "svc_api")
    made.provided["svc_api"][DEPLOYMENT_ID] = "dep_1"
    assert texts(made, "svc_api") == {"A": "v-dep_1"}


def test_whatever_holds_a_secret_is_secret() -> None:
    made = world(
        {
            SHARED: {"PIN": "1234"},
            "svc_web": {"A": "x${{shared.PIN}}", "B": "${{A}}", "C": "eu", "API_KEY": "k", "D": "${{API_KEY}}"},
        },
        sealed="PIN",
    )
    rendered = render(made, "svc_web", made.variables["svc_web"], Purpose.DEPLOYMENT)
    assert {name for name, each in rendered.items() if each.secret} == {"A", "B", "API_KEY", "D"}


@pytest.mark.timeout(20)
def test_a_chain_of_ten_thousand_references_is_no_trouble() -> None:
    values = {f"V{number}": f"${{{{V{number + 1}}}}}" for number in range(10_000)} | {"V10000": "end"}
    made = world({"svc_web": values})
    assert render(made, "svc_web", ["V0"], Purpose.DEPLOYMENT)["V0"].text.reveal() == "end"


@pytest.mark.timeout(20)
def test_a_very_long_circle_is_told_in_a_short_sentence() -> None:
    values = {f"V{number}": f"${{{{V{number + 1}}}}}" for number in range(1_000)} | {"V1000": "${{V0}}"}
    with pytest.raises(Invalid, match=r"web\.V0 → web\.V1 → .* more\) … → .*web\.V1000 → web\.V0\.") as caught:
        texts(world({"svc_web": values}))
    assert len(str(caught.value)) < 500


@pytest.mark.timeout(20)
def test_values_that_double_forty_times_are_refused_before_they_fill_the_memory() -> None:
    values = {f"V{number}": f"${{{{V{number + 1}}}}}" * 2 for number in range(40)} | {"V40": "laugh"}
    with pytest.raises(Invalid, match=r"more than 64\.0 KiB"):
        texts(world({"svc_web": values}))


def test_all_values_together_are_bounded() -> None:
    values = {"BIG": "x" * 60_000} | {f"V{number}": "${{BIG}}" for number in range(20)}
    with pytest.raises(Invalid, match=r"no more than 1\.0 MiB"):
        texts(world({"svc_web": values}))


Graph = dict[tuple[str, str], list[tuple[str, str]]]
NAMES = ["A", "B", "C", "D"]
NODES = [(scope, name) for scope in ("svc_web", "svc_api") for name in NAMES]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Gives some variables, each with the variables it refers to; some of those may not exist."""
    present = draw(st.lists(st.sampled_from(NODES), unique=True, min_size=1))
    return {node: draw(st.lists(st.sampled_from(NODES), max_size=3)) for node in present}


def scopes_of(graph: Graph) -> dict[str, dict[str, str]]:
    scopes: dict[str, dict[str, str]] = {"svc_web": {}, "svc_api": {}}
    for (scope, name), refers in graph.items():
        scopes[scope][name] = name.lower() + "".join(f"${{{{ {other}.{wanted} }}}}" for other, wanted in refers)
    return scopes


def expected(graph: Graph, node: tuple[str, str], seen: tuple[object, ...] = ()) -> str | None:
    """Gives the text by plain recursion; None: it leads round in a circle or nowhere."""
    if node in seen or node not in graph:
        return None
    parts = [expected(graph, other, (*seen, node)) for other in graph[node]]
    return None if None in parts else node[1].lower() + "".join(part or "" for part in parts)


@given(graphs())
@settings(max_examples=300)
def test_rendering_agrees_with_plain_recursion_and_finds_every_circle(
    graph: Graph,
) -> None:
    made = world(scopes_of(graph))
    for node in graph:
        wanted = expected(graph, node)
        if wanted is None:
            with pytest.raises(Invalid, match=" → "):
                render(made, node[0], [node[1]], Purpose.CHECK)
        else:
            assert render(made, node[0], [node[1]], Purpose.CHECK)[node[1]].text.reveal() == wanted


@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_of_variables_does_not_matter(graph: Graph, random: object) -> None:
    shuffled = list(graph.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random
    outcomes = []
    for each in (graph, dict(shuffled)):
        made = world(scopes_of(each))
        try:
            outcomes.append(str(sorted(texts(made, purpose=Purpose.CHECK).items())))
        except Invalid as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@given(st.text(alphabet=st.sampled_from("${}aA. \n"), max_size=60))
def test_an_escaped_text_is_rendered_as_itself_directly_and_by_reference(text: str) -> None:
    made = world({"svc_web": {"A": escape(text), "B": "<${{A}}>"}})
    assert texts(made) == {"A": text, "B": f"<{text}>"}
