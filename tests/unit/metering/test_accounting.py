"""Whatever is looked at, however often and however late: use is charged once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.metering.domain.accounting import minute_of, of_instances, of_traffic, summed
from services.metering.domain.model import Edge, EdgeKey, InstanceReading, Place, Run, Use

NOW = datetime(2026, 1, 1, 12, 0, 30, 500_000, tzinfo=UTC)
HERE = Place("wsp_1", "prj_1", "env_1", "svc_1")
THERE = Place("wsp_2", "prj_2", "env_2", "svc_2")
MIB = 1024 * 1024


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@dataclass
class Books:
    """What a database would keep between looks."""

    runs: dict[str, Run]
    edges: dict[EdgeKey, int]
    charged: defaultdict[Place, Use]

    @classmethod
    def empty(cls) -> Books:
        return cls({}, {}, defaultdict(Use))

    def look(self, now: datetime, *readings: InstanceReading) -> dict[Place, Use]:
        accounted = of_instances(self.runs, readings, now)
        self.runs |= {run.run_id: run for run in accounted.runs}
        self._charge(accounted.uses)
        return accounted.uses

    def look_at_edge(self, *readings: Edge) -> dict[Place, Use]:
        places = {(place.service_id, place.environment_id): place for place in (HERE, THERE)}
        accounted = of_traffic(self.edges, readings, places)
        self.edges |= {edge.key: edge.egress_bytes for edge in accounted.edges}
        self._charge(accounted.uses)
        return accounted.uses

    def _charge(self, uses: dict[Place, Use]) -> None:
        for place, use in uses.items():
            self.charged[place] += use


def reading(run: str, cpu: int, memory: int = 0, place: Place = HERE) -> InstanceReading:
    return InstanceReading(run, place, cpu, memory)


def traffic(epoch: str, sent: int, place: Place = HERE) -> Edge:
    return Edge(EdgeKey(epoch, place.service_id, place.environment_id), sent)


def test_a_run_is_charged_from_its_first_microsecond() -> None:
    assert Books.empty().look(NOW, reading("run_1", 1_234)) == {HERE: Use(cpu_microseconds=1_234)}


def test_only_growth_is_charged() -> None:
    books = Books.empty()
    books.look(NOW, reading("run_1", 1_000))
    assert books.look(at(60), reading("run_1", 1_700)) == {HERE: Use(cpu_microseconds=700)}
    assert books.look(at(120), reading("run_1", 1_700)) == {}


def test_replicas_of_a_service_are_one_line() -> None:
    uses = Books.empty().look(NOW, reading("run_1", 5), reading("run_2", 7), reading("run_3", 11, place=THERE))
    assert uses == {HERE: Use(cpu_microseconds=12), THERE: Use(cpu_microseconds=11)}


def test_a_restarted_process_starts_anew_and_keeps_what_the_old_one_used() -> None:
    books = Books.empty()
    books.look(NOW, reading("run_1", 1_000))
    books.look(at(60), reading("run_2", 300))
    assert books.charged[HERE].cpu_microseconds == 1_300


def test_a_counter_that_falls_is_never_charged_twice() -> None:
    books = Books.empty()
    for seconds, cpu in enumerate([1_000, 400, 900, 1_000, 1_100]):
        assert all(use.cpu_microseconds >= 0 for use in books.look(at(seconds), reading("run_1", cpu)).values())
    assert books.charged[HERE].cpu_microseconds == 1_100


def test_memory_is_integrated_between_looks() -> None:
    books = Books.empty()
    books.look(NOW, reading("run_1", 0, 100 * MIB))
    uses = books.look(at(60), reading("run_1", 0, 200 * MIB))
    assert uses[HERE].memory_byte_seconds == 150 * MIB * 60


def test_a_gap_is_charged_for_runs_that_lived_through_it() -> None:
    books = Books.empty()
    books.look(NOW, reading("run_1", 10, MIB), reading("run_2", 10, MIB))
    uses = books.look(at(3_600), reading("run_1", 70, MIB), reading("run_3", 5, MIB))
    assert uses[HERE] == Use(cpu_microseconds=65, memory_byte_seconds=MIB * 3_600)


def test_a_clock_that_goes_back_charges_no_negative_memory() -> None:
    books = Books.empty()
    books.look(NOW, reading("run_1", 0, MIB))
    assert books.look(at(-300), reading("run_1", 0, MIB)) == {}
    assert books.look(at(60), reading("run_1", 0, MIB)) == {HERE: Use(memory_byte_seconds=60 * MIB)}


def test_the_same_run_named_twice_is_charged_once() -> None:
    uses = Books.empty().look(NOW, reading("run_1", 500, MIB), reading("run_1", 500, MIB))
    assert uses == {HERE: Use(cpu_microseconds=500)}


def test_negative_counters_count_as_nothing() -> None:
    books = Books.empty()
    assert books.look(NOW, reading("run_1", -5, -MIB)) == {}
    assert books.look_at_edge(traffic("e1", -5)) == {}


def test_a_new_edge_starts_at_zero() -> None:
    books = Books.empty()
    books.look_at_edge(traffic("e1", 1_000))
    books.look_at_edge(traffic("e1", 1_500), traffic("e2", 40))
    books.look_at_edge(traffic("e2", 100))
    assert books.charged[HERE].egress_bytes == 1_600


def test_a_counter_of_the_edge_that_fell_has_started_anew() -> None:
    books = Books.empty()
    for sent in (1_000, 300, 500):
        books.look_at_edge(traffic("e1", sent))
    assert books.charged[HERE].egress_bytes == 1_500


def test_traffic_of_an_unknown_service_waits_until_it_is_known() -> None:
    stranger = EdgeKey("e1", "svc_9", "env_9")
    accounted = of_traffic({}, [Edge(stranger, 700)], {})
    assert (accounted.uses, accounted.edges) == ({}, ())
    place = Place("wsp_9", "prj_9", "env_9", "svc_9")
    accounted = of_traffic({}, [Edge(stranger, 900)], {("svc_9", "env_9"): place})
    assert accounted.uses == {place: Use(egress_bytes=900)}


def test_a_minute_begins_on_the_minute() -> None:
    assert minute_of(NOW) == datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


# What happens between two looks: each run uses so much more, or ends; some looks are missed.
STEPS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 10**9)),
        st.sets(st.sampled_from(["a", "b", "c"])),
        st.booleans(),
        st.integers(1, 100_000),
    ),
    max_size=30,
)


@given(STEPS)
def test_the_bill_equals_the_use_that_was_seen(
    steps: list[tuple[dict[str, int], set[str], bool, int]],
) -> None:
    """Through restarts and missed looks: each run is charged exactly what its counter showed when last looked at."""
    books = Books.empty()
    counters: dict[str, int] = {}
    generation: defaultdict[str, int] = defaultdict(int)
    last_seen: dict[str, int] = {}
    seconds = 0.0
    for used, ended, away, elapsed in steps:
        for name in ended:
            counters.pop(f"{name}{generation[name]}", None)
            generation[name] += 1
        for name, amount in used.items():
            run = f"{name}{generation[name]}"
            counters[run] = counters.get(run, 0) + amount
        seconds += elapsed
        if away:
            continue
        last_seen |= counters
        for _ in range(2):
            books.look(at(seconds), *(reading(run, cpu) for run, cpu in counters.items()))
    assert books.charged[HERE].cpu_microseconds == sum(last_seen.values())


@given(st.lists(st.integers(1, 1_000_000), min_size=1, max_size=20), st.integers(0, 2**36))
def test_steady_memory_is_its_size_times_its_time_however_often_it_is_looked_at(
    pauses: list[int],
    memory: int,
) -> None:
    books = Books.empty()
    books.look(NOW, reading("run_1", 0, memory))
    elapsed = 0
    for pause in pauses:
        elapsed += pause
        books.look(at(elapsed / 1_000), reading("run_1", 0, memory))
    exact = memory * elapsed // 1_000
    assert exact - len(pauses) <= books.charged[HERE].memory_byte_seconds <= exact


@given(st.lists(st.builds(Use, *[st.integers(0, 2**60)] * 3)))
def test_use_adds_up(uses: list[Use]) -> None:
    assert summed(uses).cpu_microseconds == sum(use.cpu_microseconds for use in uses)
    assert summed(reversed(uses)) == summed(uses)
