"""The clock that tests turn."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from flux_middleware.errors import ConfigurationError
from flux_middleware.testing import Clock


def test_it_stands_until_it_is_turned() -> None:
    clock = Clock(1000.0)
    began = clock()

    clock.shift(60)
    clock.shift(timedelta(hours=1))

    assert (began, clock()) == (1000.0, 4660.0)


def test_it_begins_at_the_present_time() -> None:
    before = time.time()

    assert before <= Clock()() <= time.time()


def test_it_can_run_on_as_the_applications_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 5000.0)
    clock = Clock(running=True)
    clock.shift(10)

    monkeypatch.setattr(time, "time", lambda: 6000.0)

    assert clock() == 6010.0


def test_a_moment_may_be_a_datetime() -> None:
    clock = Clock(datetime(1970, 1, 1, tzinfo=UTC))

    clock.move_to(datetime(1970, 1, 2, tzinfo=UTC))

    assert clock() == 86_400


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="tzinfo=UTC"):
        Clock(datetime(2025, 1, 1))
