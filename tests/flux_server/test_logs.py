from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from flux_server.logs import configure_logs
from flux_server.settings import Settings

SECRETS = {
    "api-key": "flux_live_h7Gd-1kQ_zzTqPpXw0aBcDeFgHiJkLmNoPqRsTuVwX",
    "stripe-key": "rk_live_51Habcdefgh",
    "stripe-secret-key": "sk_test_51Habcdefgh",
    "webhook-secret": "whsec_5Gk2abcdefgh==",
}
HIDDEN = "51Habcdefgh", "5Gk2abcdefgh", "h7Gd-1kQ_zz", "hunter2", "p@ss", "letmein", "51HB"


@pytest.fixture
def _restored() -> Iterator[None]:
    """Give the test process its own logs back."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**config)


pytestmark = pytest.mark.usefixtures("_restored")


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Return the one line that was logged."""
    (line,) = capsys.readouterr().err.splitlines()
    found: dict[str, object] = json.loads(line)
    assert not any(hidden in line for hidden in HIDDEN), line
    return found


def json_log() -> structlog.stdlib.BoundLogger:
    """Send logs to where standard error is now; return a logger."""
    configure_logs(Settings(log_format="json"))
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("flux.test")
    return logger


def test_a_line_says_when_what_and_how_serious(capsys: pytest.CaptureFixture[str]) -> None:
    json_log().warning("it rains", city="Bergen", millimetres=3)

    line = logged(capsys)

    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "event": "it rains",
        "level": "warning",
        "logger": "flux.test",
        "city": "Bergen",
        "millimetres": 3,
    }


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda secret: f"refused {secret}", id="within-a-text"),
        pytest.param(lambda secret: f"Authorization: Bearer {secret}", id="in-a-header"),
        pytest.param(lambda secret: f'{{"api_key": "{secret}"}}', id="in-json"),
        pytest.param(lambda secret: f"https://h/?key={secret}&a=b", id="in-a-query"),
        pytest.param(lambda secret: [secret, (secret,)], id="in-a-list"),
        pytest.param(lambda secret: {"deep": {"deeper": [secret]}}, id="deep"),
        pytest.param(lambda secret: ValueError(secret), id="in-an-exception"),
        pytest.param(lambda secret: secret.encode(), id="in-bytes"),
        pytest.param(lambda secret: {secret}, id="in-a-set"),
    ],
)
def test_a_secret_is_blotted_out_in_every_form(
    capsys: pytest.CaptureFixture[str], secret: str, form: object
) -> None:
    assert callable(form)
    json_log().error(f"event {secret}", value=form(secret))

    assert "[redacted]" in json.dumps(logged(capsys))


@pytest.mark.parametrize(
    "value",
    [
        "postgresql+asyncpg://flux:hunter2@db/flux",
        "postgresql+asyncpg://flux:p@ss@db/flux",
        "Basic aHVudGVyMg==51HB",
        "/setup/51HBcdefghijkl",
        "https://flux.example.com/v1/stripe/webhooks/51HBcdefghijkl",
    ],
)
def test_what_opens_something_is_blotted_out(capsys: pytest.CaptureFixture[str], value: str) -> None:
    json_log().info("seen", value=value)

    assert "[redacted]" in str(logged(capsys)["value"])


@pytest.mark.parametrize(
    "name", ["password", "Authorization", "webhook_secret", "set-cookie", "session_token"]
)
def test_what_is_named_like_a_secret_is_one(capsys: pytest.CaptureFixture[str], name: str) -> None:
    json_log().info("seen", **{name: "letmein"}, headers={name: ["letmein"]})

    line = logged(capsys)
    assert line[name] == "[redacted]"
    assert line["headers"] == {name: "[redacted]"}


def test_a_tracebacks_secrets_are_blotted_out(capsys: pytest.CaptureFixture[str]) -> None:
    key = SECRETS["stripe-key"]
    try:
        raise RuntimeError(f"{key} was refused")
    except RuntimeError:
        json_log().exception("failed")

    exception = str(logged(capsys)["exception"])
    assert "RuntimeError: rk_live_[redacted] was refused" in exception
    assert "Traceback" in exception


def test_libraries_lines_are_treated_alike(capsys: pytest.CaptureFixture[str]) -> None:
    json_log()
    try:
        raise RuntimeError(SECRETS["api-key"])
    except RuntimeError:
        logging.getLogger("sqlalchemy.pool").warning("lost %s", SECRETS["webhook-secret"], exc_info=True)

    line = logged(capsys)
    assert (line["logger"], line["event"]) == ("sqlalchemy.pool", "lost whsec_[redacted]")
    assert "flux_live_[redacted]" in str(line["exception"])


def test_lines_for_people_are_redacted_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(Settings(log_format="console"))

    structlog.get_logger("flux.test").warning("odd", url="postgresql+asyncpg://flux:hunter2@db/flux")

    printed = capsys.readouterr().err
    assert "postgresql+asyncpg://flux:[redacted]@db/flux" in printed
    assert "hunter2" not in printed


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_less_serious_than_asked_for_is_left_out(
    capsys: pytest.CaptureFixture[str], level: str, shown: int
) -> None:
    configure_logs(Settings.model_validate({"log_level": level, "log_format": "json"}))

    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger("flux.test"), name)("line")

    assert len(capsys.readouterr().err.splitlines()) == shown


def test_chatty_libraries_are_kept_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    json_log()

    logging.getLogger("httpx").info("HTTP Request: GET https://api.stripe.com")

    assert capsys.readouterr().err == ""
