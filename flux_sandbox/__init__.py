"""A Stripe to run offline: stateful, on the wire, with signed webhooks and a clock to turn.

`python -m flux_sandbox` starts it as a process; `flux_sandbox.app.create_app` makes it as an ASGI application.
It knows nothing of Flux and nothing of Stripe's own library, so that it can disagree with both.
"""

from __future__ import annotations

from typing import Final

__all__ = ["API_VERSION"]

API_VERSION: Final = "2026-10-28.endive"
"""The newest API version, in whose shape the sandbox keeps everything."""
