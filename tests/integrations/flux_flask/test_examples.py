from examples import flask_app
from flux_middleware.testing import InMemoryFlux
from tests.integrations.contract import assert_example_works
from tests.integrations.flux_flask.sites import FlaskSite


def test_the_example_works() -> None:
    client = InMemoryFlux()
    client.grant("acme", "sso")

    assert_example_works(FlaskSite(flask_app.create_app(client)), client)
