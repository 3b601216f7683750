import pytest

from tests.integrations.contract import AdapterContract, MakeSite
from tests.integrations.flux_flask import sites


class TestFlask(AdapterContract):
    @pytest.fixture(
        params=[sites.flask_sync, sites.flask_async, sites.flask_classes],
        ids=lambda make_site: make_site.__name__,
    )
    def make_site(self, request: pytest.FixtureRequest) -> MakeSite:
        make_site: MakeSite = request.param
        return make_site
