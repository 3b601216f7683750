from examples import flask_app
from tests.integrations.contract import assert_example_works
from tests.integrations.flux_flask.sites import FlaskSite
from tests.integrations.recording import RecordingClient


def test_the_example_works() -> None:
    client = RecordingClient()
    client.entitle("acme", "sso")

    assert_example_works(FlaskSite(flask_app.create_app(client)), client)
