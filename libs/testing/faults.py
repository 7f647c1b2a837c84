"""The two obligations of every loop and reaction: repeating is harmless, and so is failing at any step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Any, TypeVar

from libs.kernel.errors import Unavailable

State = TypeVar("State")


class Fault(Unavailable):
    """The failure that a test injects."""


class Faulty:
    """Wraps a port: the nth call through it fails, before or after it took effect."""

    def __init__(self, target: object, plan: Plan) -> None:
        self._target = target
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return attribute
        plan = self._plan

        def call(*args: object, **kwargs: object) -> Any:
            result = attribute(*args, **kwargs)
            return _guarded(name, result, plan) if hasattr(result, "__await__") else result

        return call


class Plan:
    """Which call fails, and whether its effect is kept."""

    def __init__(self) -> None:
        self.calls = 0
        self.fail_at = -1
        self.keep_effect = False
        self.names: list[str] = []


async def _guarded(name: str, result: Awaitable[object], plan: Plan) -> object:
    plan.calls += 1
    plan.names.append(name)
    if plan.calls == plan.fail_at and not plan.keep_effect:
        close = getattr(result, "close", None)
        if close is not None:
            close()
        raise Fault(f"injected before {name}")
    answer = await result
    if plan.calls == plan.fail_at:
        raise Fault(f"injected after {name}")
    return answer


async def repeats_harmlessly(
    build: Callable[[Plan], Awaitable[tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[State]]]]],
    *,
    times: int = 8,
) -> None:
    """Runs `act` until its state is stable, then again twice as often: the state must stay the same.

    `build(plan)` makes a fresh world and gives (act, state).
    """
    act, state = await build(Plan())
    for _ in range(times):
        await act()
    settled = await state()
    for _ in range(times):
        await act()
    assert await state() == settled, "repeating changed the outcome"


async def survives_failure_at_every_step(
    build: Callable[[Plan], Awaitable[tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[State]]]]],
    *,
    times: int = 8,
    most: int = 200,
    reads: Container[str] = (),
) -> int:
    """Runs the work once undisturbed, then once for each call of its ports with that call failing.

    Each time it fails before its effect and after it; the work is then simply run again, and must end in the same
    state. Calls named in `reads` have no effect, so that they fail once. Gives the number of steps tried.
    """
    plan = Plan()
    act, state = await build(plan)
    for _ in range(times):
        await act()
    wanted = await state()
    steps = plan.calls
    assert steps > 0, "no port was called: nothing was tested"
    for step in range(1, min(steps, most) + 1):
        for keep_effect in (False,) if plan.names[step - 1] in reads else (False, True):
            broken = Plan()
            broken.fail_at, broken.keep_effect = step, keep_effect
            act, state = await build(broken)
            for _ in range(times + 1):
                try:
                    await act()
                except Fault:
                    continue
            when = "after" if keep_effect else "before"
            assert await state() == wanted, f"failing {when} step {step} ({plan.names[step - 1]}) changed the outcome"
    return steps
