from __future__ import annotations

import pytest

from flux_sandbox.errors import InvalidParametersError
from flux_sandbox.form import decode, pairs


def test_brackets_become_a_tree() -> None:
    encoded = b"customer=cus_1&items%5B0%5D%5Bprice%5D=price_1&items[1][price]=price_2&metadata[a.b]=c%20d"

    assert decode(pairs(encoded)) == {
        "customer": "cus_1",
        "items": {"0": {"price": "price_1"}, "1": {"price": "price_2"}},
        "metadata": {"a.b": "c d"},
    }


def test_empty_brackets_number_their_values() -> None:
    assert decode(pairs(b"expand[]=customer&expand[]=items")) == {"expand": {"0": "customer", "1": "items"}}


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(b"items[0=1", id="unclosed"),
        pytest.param(b"[0]=1", id="nameless"),
        pytest.param(b"a=1&a[b]=2", id="value-and-object"),
        pytest.param(b"items[][price]=1", id="unnumbered-objects"),
        pytest.param(b"name=%ff", id="not-utf-8"),
        pytest.param("name=ä".encode(), id="not-ascii"),
        pytest.param(b"&".join(b"a[%d]=1" % n for n in range(1_001)), id="too-many"),
    ],
)
def test_malformed_forms_are_refused(encoded: bytes) -> None:
    with pytest.raises(InvalidParametersError):
        decode(pairs(encoded))
