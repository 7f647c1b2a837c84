"""The order in which an edge is told things, against an edge that checks it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.domain.resources import Kind, Resource, Snapshot
from services.router.domain.session import Serving, Session
from services.router.domain.world import Key
from tests.unit.router.edge_model import GATEWAY, Edge, snapshot

APPS = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 3), st.booleans()), max_size=6)
BAD = st.sets(
    st.one_of(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["e0", "e1", "e2", "e3"])),
        st.tuples(st.sampled_from("abcdef"), st.just("c")),
    ),
    max_size=4,
)


def a_new_edge(target: Snapshot) -> Edge:
    edge = Edge()
    edge.connect()
    edge.settle(target)
    return edge


def test_a_new_edge_gets_everything_routes_last() -> None:
    edge = a_new_edge(snapshot({"a": (1, True), "b": (1, False)}))
    assert edge.clusters == {GATEWAY: "g", "a": "c", "b": "c"}
    assert edge.endpoints == {"a": "e1", "b": "e1"}
    assert {name: part.version for name, part in edge.routes.items()} == {"*": "*", "a": "to", "b": "notice"}


def test_a_switch_of_endpoints_is_one_small_update() -> None:
    edge = a_new_edge(snapshot(dict.fromkeys("abcdef", (1, True))))
    told = edge.batches
    target = snapshot({name: (2 if name == "a" else 1, True) for name in "abcdef"}, 2)
    assert edge.session.serving(target, Key("a", ""))[0] is Serving.NOT_YET
    edge.settle(target)
    assert edge.batches == told + 1
    assert edge.session.serving(target, Key("a", ""))[0] is Serving.YES


def test_an_edge_that_comes_back_with_everything_is_told_nothing() -> None:
    target = snapshot({"a": (1, True), "b": (3, True)})
    edge = a_new_edge(target)
    edge.connect()
    told = edge.batches
    edge.settle(target)
    assert edge.batches == told
    assert edge.session.serving(target, Key("b", ""))[0] is Serving.YES


def test_a_remembered_world_is_for_edges_that_have_nothing() -> None:
    old, new = snapshot({"a": (1, True)}), snapshot({"a": (2, True)})
    remembered = Snapshot(1, old.listeners, old.clusters, old.endpoints, old.sites, old.places, provisional=True)
    running, fresh = a_new_edge(new), Edge()
    running.connect()
    running.settle(remembered)
    assert running.endpoints == {"a": "e2"}
    fresh.connect()
    fresh.settle(remembered)
    assert fresh.endpoints == {"a": "e1"}
    fresh.settle(new)
    assert fresh.endpoints == {"a": "e2"}


def test_an_edge_that_got_half_of_a_world_gets_the_rest_from_a_remembered_one() -> None:
    whole = snapshot({"a": (1, True)})
    remembered = Snapshot(
        1, whole.listeners, whole.clusters, whole.endpoints, whole.sites, whole.places, provisional=True
    )
    edge = Edge(clusters={"a": "c"}, endpoints={"a": "e0"})
    edge.connect()
    edge.settle(remembered)
    assert (edge.endpoints, edge.listeners) == ({"a": "e1"}, {"listener": "l"})
    assert edge.routes["a"].version == "to"


def test_a_changed_cluster_gets_its_endpoints_again() -> None:
    target = snapshot({"a": (1, True)})
    edge = a_new_edge(target)
    changed = dict(target.clusters) | {"a": Resource("c2")}
    newer = Snapshot(2, target.listeners, changed, target.endpoints, target.sites, target.places)
    edge.settle(newer)
    assert edge.clusters["a"] == "c2"
    assert not edge.warming, "a changed cluster would wait for ever"


def test_clusters_that_changed_while_the_router_was_away_get_their_endpoints_again() -> None:
    target = snapshot({"a": (1, True)})
    edge = a_new_edge(target)
    newer = Snapshot(2, target.listeners, {**target.clusters, "a": Resource("c2")}, target.endpoints, target.sites)
    edge.session = Session()
    edge.session.hear(Kind.CLUSTERS, initial=edge.clusters)
    said = list(edge.session.proposals(newer))
    edge.session.hear(Kind.ENDPOINTS, subscribe=["a"], initial=edge.endpoints)
    for kind, batch in said:
        edge.take(kind, batch)
    edge.settle(newer)
    assert edge.clusters["a"] == "c2"
    assert not edge.warming


def test_one_bad_resource_is_found_among_many_and_the_others_arrive() -> None:
    good = snapshot(dict.fromkeys("abcdef", (1, True)))
    edge = a_new_edge(good)
    edge.bad = {("c", "e2")}
    target = snapshot(dict.fromkeys("abcdef", (2, True)), 2)
    edge.settle(target)
    assert edge.endpoints == {"a": "e2", "b": "e2", "c": "e1", "d": "e2", "e": "e2", "f": "e2"}
    assert edge.session.serving(target, Key("c", "")) == (Serving.REFUSED, "bad: c")
    assert edge.session.serving(target, Key("d", ""))[0] is Serving.YES


def test_a_bad_site_keeps_its_last_good_form() -> None:
    edge = a_new_edge(snapshot({"a": (1, True), "b": (1, False)}))
    edge.bad = {("b", "to")}
    target = snapshot({"a": (1, False), "b": (1, True)}, 2)
    edge.settle(target)
    assert {name: part.version for name, part in edge.routes.items()} == {"*": "*", "a": "notice", "b": "notice"}
    assert edge.session.serving(target, Key("b", ""))[0] is Serving.REFUSED


def test_what_was_refused_is_tried_again_when_forgiven() -> None:
    edge = Edge(bad={("listener", "l")})
    edge.connect()
    target = snapshot({})
    edge.settle(target)
    assert edge.listeners == {}
    edge.bad = ()
    edge.settle(target)
    assert edge.listeners == {}, "nothing changed, so it is not asked for at every turn"
    edge.session.forgive()
    edge.settle(target)
    assert edge.listeners == {"listener": "l"}


def test_an_app_that_left_is_gone() -> None:
    edge = a_new_edge(snapshot({"a": (1, True)}))
    target = snapshot({}, 2)
    edge.settle(target)
    assert (edge.clusters, edge.endpoints, set(edge.routes)) == ({GATEWAY: "g"}, {}, {"*"})
    assert edge.session.serving(target, Key("a", ""))[0] is Serving.GONE


def test_an_edge_that_asks_again_for_its_routes_gets_them_again() -> None:
    target = snapshot({"a": (1, True)})
    edge = a_new_edge(target)
    edge.session.hear(Kind.ROUTES, subscribe=["edge"])
    said = list(edge.session.proposals(target))
    assert [kind for kind, _ in said] == [Kind.ROUTES]
    assert set(edge.session.table(said[0][1])) == {"*", "a"}


def test_nothing_is_told_to_an_edge_that_asked_for_nothing() -> None:
    assert list(Session().proposals(snapshot({"a": (1, True)}))) == []


@settings(max_examples=150, deadline=None)
@given(st.lists(APPS, min_size=1, max_size=6), BAD, st.lists(st.booleans(), min_size=6, max_size=6))
def test_any_history_ends_with_all_that_is_good_in_place(
    history: list[dict[str, tuple[int, bool]]], bad: set[tuple[str, str]], reconnects: list[bool]
) -> None:
    edge = Edge(bad=bad)
    edge.connect()
    for revision, apps in enumerate(history):
        if reconnects[revision]:
            edge.connect()
        edge.settle(snapshot(apps, revision))
    last = history[-1]
    target = snapshot(last, len(history))
    assert set(edge.clusters) == {GATEWAY} | {name for name in last if (name, "c") not in bad}
    for name, (version, running) in last.items():
        state, reason = edge.session.serving(target, Key(name, ""))
        if (name, "c") in bad:
            assert state is Serving.REFUSED
            assert edge.routes[name].version == "notice"
        elif (name, f"e{version}") in bad:
            assert (state, bool(reason)) == (Serving.REFUSED, True)
        else:
            assert state is Serving.YES
            assert edge.endpoints[name] == f"e{version}"
            assert edge.routes[name].version == ("to" if running else "notice")
    assert set(edge.routes) == {"*", *last}


@settings(max_examples=150, deadline=None)
@given(st.lists(APPS, min_size=2, max_size=5), st.data())
def test_changes_that_come_while_the_edge_still_thinks_are_not_lost(
    history: list[dict[str, tuple[int, bool]]], data: st.DataObject
) -> None:
    edge = Edge()
    edge.connect()
    waiting = []
    for revision, apps in enumerate(history):
        target = snapshot(apps, revision)
        waiting += list(edge.session.proposals(target))
        for _ in range(data.draw(st.integers(0, len(waiting)))):
            edge.take(*waiting.pop(0))
    while waiting:
        edge.take(*waiting.pop(0))
        waiting += list(edge.session.proposals(target))
    edge.settle(target)
    assert edge.endpoints == {name: f"e{version}" for name, (version, _) in history[-1].items()}
    assert set(edge.routes) == {"*", *history[-1]}
