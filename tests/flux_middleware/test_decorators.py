import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flux_middleware.decorators import counts, gated, is_async_callable, require_gated, requires
from flux_middleware.errors import ConfigurationError
from flux_middleware.gate import Requirements


class RecordingAdapter:
    """Answers what it is told and remembers what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[Requirements] = []

    def admit(self, requirements: Requirements, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.asked.append(requirements)
        return self.answer

    def wait(self, admission: Awaitable[Any], proceed: Callable[[], Any]) -> Any:
        coroutine = admission.__await__()
        try:
            next(coroutine)
        except StopIteration as end:
            return proceed() if end.value is None else end.value
        raise AssertionError("the admission waited for something")

    def is_async(self, function: Callable[..., Any]) -> bool:
        return is_async_callable(function)


async def eventually(answer: Any) -> Any:
    return answer


def double(number: int, *, plus: int = 0) -> int:
    """Double a number."""
    return 2 * number + plus


async def double_later(number: int) -> int:
    return 2 * number


class Doubler:
    async def __call__(self, number: int) -> int:
        return 2 * number


def test_an_admitted_call_is_the_functions_own() -> None:
    decorated = gated(RecordingAdapter(), requires("sso"))(double)

    assert decorated(3, plus=1) == 7


def test_a_denied_call_never_reaches_the_function() -> None:
    decorated: Any = gated(RecordingAdapter("denied"), requires("sso"))(double)

    assert decorated("not a number", nonsense=True) == "denied"


@pytest.mark.parametrize("function", [double_later, functools.partial(double_later), Doubler()])
async def test_what_was_awaited_still_is(function: Callable[[int], Awaitable[int]]) -> None:
    decorated = gated(RecordingAdapter(), requires("sso"))(function)

    assert inspect.iscoroutinefunction(decorated)
    assert await decorated(4) == 8


async def test_a_denial_takes_the_place_of_what_is_awaited() -> None:
    decorated: Any = gated(RecordingAdapter("denied"), requires("sso"))(double_later)

    assert await decorated(4) == "denied"


@pytest.mark.parametrize(("answer", "result"), [(None, 8), ("denied", "denied")])
async def test_an_asynchronous_function_awaits_its_admission(answer: Any, result: Any) -> None:
    decorated: Any = gated(RecordingAdapter(eventually(answer)), requires("sso"))(double_later)

    assert await decorated(4) == result


@pytest.mark.parametrize(("answer", "result"), [(None, 8), ("denied", "denied")])
def test_a_synchronous_function_has_its_admission_waited_for(answer: Any, result: Any) -> None:
    decorated: Any = gated(RecordingAdapter(eventually(answer)), requires("sso"))(double)

    assert decorated(4) == result


def test_a_decorated_function_looks_like_itself() -> None:
    decorated = gated(RecordingAdapter(), requires("sso"))(double)

    assert (decorated.__name__, decorated.__doc__) == ("double", "Double a number.")
    assert inspect.signature(decorated) == inspect.signature(double)


def test_stacked_decorators_are_one_wrapper() -> None:
    adapter = RecordingAdapter()

    @gated(adapter, requires("sso"))
    @gated(adapter, counts("api-calls"))
    @gated(adapter, requires("audit-logs"))
    @gated(adapter, counts("api-calls"))
    def view() -> str:
        return "seen"

    assert view() == "seen"
    assert adapter.asked == [Requirements(("sso", "audit-logs"), ("api-calls",))]
    assert not hasattr(view.__wrapped__, "__wrapped__")  # type: ignore[attr-defined]  # functools.wraps sets it


def test_a_decorator_in_between_keeps_both_gates() -> None:
    adapter = RecordingAdapter()

    def shout(function: Callable[[], str]) -> Callable[[], str]:
        @functools.wraps(function)
        def shouting() -> str:
            return function().upper()

        return shouting

    @gated(adapter, requires("sso"))
    @shout
    @gated(adapter, counts("api-calls"))
    def view() -> str:
        return "seen"

    assert view() == "SEEN"
    assert adapter.asked == [requires("sso"), counts("api-calls")]


def test_methods_get_themselves() -> None:
    class Views:
        answer = "seen"

        @gated(RecordingAdapter(), requires("sso"))
        def view(self) -> str:
            return self.answer

    assert Views().view() == "seen"


def test_a_class_cannot_be_decorated() -> None:
    with pytest.raises(ConfigurationError, match="decorate its methods"):
        gated(RecordingAdapter(), requires("sso"))(Doubler)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        pytest.param(double, r"write @requires_entitlement\('sso'\)", id="forgotten-parentheses"),
        pytest.param("Single Sign-On", "a key is 1 to 64", id="malformed"),
        pytest.param("", "a key is 1 to 64", id="empty"),
        pytest.param(3, "expected string", id="number"),
    ],
)
def test_a_name_is_checked_where_it_is_written(name: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        requires(name)


def test_a_function_served_without_the_gate_above_it_is_found() -> None:
    def view() -> str:
        return "seen"

    decorated = gated(RecordingAdapter(), requires("sso"))(view)
    again = gated(RecordingAdapter(), counts("api-calls"))(decorated)

    with pytest.raises(ConfigurationError, match="below the line that registers the route"):
        require_gated(view)
    for fine in (
        decorated,
        again,
        functools.wraps(again)(lambda: again()),
        test_methods_get_themselves,
        None,
    ):
        require_gated(fine)
