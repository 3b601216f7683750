"""Asking Stripe what is sold there, and proposing it as a catalog document. Nothing is written."""

from __future__ import annotations

import asyncio

from flux_server.catalog.document import CatalogDocument
from flux_server.catalog.document_changes import Proposal
from flux_server.catalog.document_state import document_of
from flux_server.catalog.state import read_state
from flux_server.errors import UnavailableError
from flux_server.stripe.connector import Connector
from flux_server.stripe.errors import CallError, KeyRefusedError
from flux_server.stripe.first_catalog import propose_catalog
from flux_server.stripe.link_forms import LinkRefusedError
from flux_server.subscriptions.reading import list_bought_prices

__all__ = ["propose_from_stripe"]


async def propose_from_stripe(
    connector: Connector, environment: str, base: CatalogDocument | None
) -> Proposal:
    """Return the document `base`, or what is live, with what the linked account sells added to it as drafts.

    Raises:
        NotLinkedError: the environment has no link.
        LinkRefusedError: the link's key may not read products and prices.
        UnavailableError: Stripe cannot be asked now.
    """
    api = await connector.api(environment)
    try:
        sold = await api.sold()
    except KeyRefusedError as error:
        raise LinkRefusedError(f"Stripe refuses the link's key: {error}; link with another key") from error
    except CallError as error:
        raise UnavailableError(f"Stripe cannot be read now: {error}; try again") from error
    async with connector.database.read() as connection:
        state = await read_state(connection, environment)
        in_use = await list_bought_prices(connection, environment)
    known = document_of(state, archived=True)
    return await asyncio.to_thread(propose_catalog, sold, base or document_of(state), known, in_use)
