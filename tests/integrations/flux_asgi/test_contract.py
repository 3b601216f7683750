import pytest

from tests.integrations.contract import AdapterContract, MakeSite
from tests.integrations.flux_asgi import sites


class TestASGI(AdapterContract):
    @pytest.fixture(
        params=[
            sites.starlette_async,
            sites.starlette_sync,
            sites.starlette_classes,
            sites.fastapi_async,
            sites.fastapi_sync,
            sites.fastapi_dependencies,
        ],
        ids=lambda make_site: make_site.__name__,
    )
    def make_site(self, request: pytest.FixtureRequest) -> MakeSite:
        make_site: MakeSite = request.param
        return make_site
