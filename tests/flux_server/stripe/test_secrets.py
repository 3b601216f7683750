from __future__ import annotations

import pytest

from flux_server.stripe.secrets import SealedError, SecretBox

BOX = SecretBox("the server's secret key")


def test_a_sealed_secret_opens_and_does_not_show() -> None:
    sealed = BOX.seal("rk_test_1234", environment="test", column="api_key")

    assert b"rk_test" not in sealed
    assert BOX.open(sealed, environment="test", column="api_key") == "rk_test_1234"


def test_sealing_twice_gives_nothing_to_compare() -> None:
    sealed = {BOX.seal("same", environment="test", column="api_key") for _ in range(2)}

    assert len(sealed) == 2


@pytest.mark.parametrize(
    ("environment", "column"), [("live", "api_key"), ("test", "webhook_secret")], ids=["row", "column"]
)
def test_a_secret_moved_elsewhere_does_not_open(environment: str, column: str) -> None:
    sealed = BOX.seal("rk_test_1234", environment="test", column="api_key")

    with pytest.raises(SealedError, match="set the link again"):
        BOX.open(sealed, environment=environment, column=column)


def test_another_secret_key_is_told_from_damage() -> None:
    sealed = SecretBox("another key").seal("rk_test_1234", environment="test", column="api_key")

    with pytest.raises(SealedError, match=r"encrypted with another secret key.*FLUX_SECRET_KEY"):
        BOX.open(sealed, environment="test", column="api_key")


def test_a_damaged_secret_does_not_open() -> None:
    sealed = BOX.seal("rk_test_1234", environment="test", column="api_key")

    with pytest.raises(SealedError, match="damaged"):
        BOX.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), environment="test", column="api_key")
