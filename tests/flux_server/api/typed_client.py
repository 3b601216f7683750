"""What somebody writes with the client that is generated from the API's description: URL and API key as arguments."""

# mypy: disable-error-code="import-not-found, unused-ignore"
from __future__ import annotations

import sys

from client import AuthenticatedClient
from client.api.catalog import list_features, put_feature
from client.models import FeatureAnswer, FeatureBody, FeatureBodyKind, FeaturesAnswer, Problem


def main(url: str, api_key: str) -> None:
    """Define a feature, list it, and be refused one."""
    client = AuthenticatedClient(base_url=url, token=api_key)
    sso = FeatureBody(kind=FeatureBodyKind.BOOLEAN, name="Single sign-on")
    made = put_feature.sync(key="sso", client=client, body=sso, idempotency_key="once")
    assert isinstance(made, FeatureAnswer)

    found = list_features.sync(client=client, limit=10)
    assert isinstance(found, FeaturesAnswer)
    assert [feature.name for feature in found.features] == [made.name]

    refused = put_feature.sync_detailed(key="SSO", client=client, body=sso)
    assert isinstance(refused.parsed, Problem)
    print(made.key, int(refused.status_code), refused.parsed.code)


if __name__ == "__main__":
    main(*sys.argv[1:])
