"""The parts of a running sandbox, for those who look at it from outside of Stripe's API."""

from __future__ import annotations

from dataclasses import dataclass

from flux_sandbox.account import Account
from flux_sandbox.api import Api
from flux_sandbox.deliveries import Deliveries

__all__ = ["Sandbox"]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The account, the API to it, and its webhooks on their way."""

    account: Account
    api: Api
    deliveries: Deliveries
