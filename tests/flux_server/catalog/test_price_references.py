from __future__ import annotations

import pytest

from flux_server.catalog.price_references import is_portable, reference_error, references


def test_the_most_particular_reference_comes_first() -> None:
    assert references("price_1", "pro", "prod_1") == ("price_1", "lookup_key:pro", "product:prod_1")
    assert references("price_1") == ("price_1",)


@pytest.mark.parametrize("reference", ["", "x" * 256, "lookup_key:", "product:"])
def test_a_reference_to_nothing_is_refused(reference: str) -> None:
    assert reference_error(reference)


@pytest.mark.parametrize("reference", ["price_1", "plan_of_old", "lookup_key:pro_monthly", "product:prod_1"])
def test_a_reference_may_name_a_price_a_lookup_key_or_a_product(reference: str) -> None:
    assert reference_error(reference) is None
    assert is_portable(reference) == reference.startswith("lookup_key:")
