"""The dashboard's three cookies: the session, the form of somebody who has none yet, and a message to show once."""

from __future__ import annotations

import hmac
import secrets

from fastapi import Request, Response
from itsdangerous import BadSignature, URLSafeTimedSerializer

from flux_server.accounts.sessions import LONGEST_SESSION
from flux_server.settings import Settings

__all__ = ["Cookies"]

_FORM_LASTS = 12 * 3600
_MESSAGE_LASTS = 60


class Cookies:
    """Reads and sets them. `settings` must have the secret key (`settings.prepare`)."""

    def __init__(self, settings: Settings) -> None:
        self._secure = settings.url.startswith("https:")
        # Browsers let nobody but this very host set a cookie of such a name.
        prefix = "__Host-" if self._secure else ""
        self.session, self.form, self.message = (
            f"{prefix}flux_{name}" for name in ("session", "form", "message")
        )
        key = settings.secret_key.get_secret_value()
        self._forms = URLSafeTimedSerializer(key, salt="flux.dashboard.form")
        self._messages = URLSafeTimedSerializer(key, salt="flux.dashboard.message")

    def sign_in(self, response: Response, token: str) -> None:
        """Keep the session's token. When the session ends is for the server to say."""
        self._set(response, self.session, token, LONGEST_SESSION)

    def sign_out(self, response: Response) -> None:
        """Forget the session's token."""
        self._forget(response, self.session)

    def form_token(self, request: Request) -> tuple[str, str]:
        """Return what a form carries that anybody may send, and what the cookie must hold (a double submit)."""
        nonce = request.cookies.get(self.form) or secrets.token_urlsafe(24)
        return self._forms.dumps(nonce), nonce

    def keep_form(self, response: Response, nonce: str) -> None:
        """Keep what the form will be compared with."""
        self._set(response, self.form, nonce, _FORM_LASTS)

    def is_own_form(self, request: Request, token: str) -> bool:
        """Say whether the form was made by this server, lately, for the browser that sends it."""
        nonce = request.cookies.get(self.form, "")
        try:
            signed = self._forms.loads(token, max_age=_FORM_LASTS)
        except BadSignature:
            return False
        return bool(nonce) and hmac.compare_digest(str(signed).encode(), nonce.encode())

    def say(self, response: Response, message: str) -> None:
        """Show the message on the next page, once."""
        self._set(response, self.message, self._messages.dumps(message), _MESSAGE_LASTS)

    def said(self, request: Request) -> str:
        """Return the message that the page before wanted to be shown; empty if there is none."""
        try:
            return str(self._messages.loads(request.cookies.get(self.message, ""), max_age=_MESSAGE_LASTS))
        except BadSignature:
            return ""

    def forget_message(self, request: Request, response: Response) -> None:
        """Do not show the message again."""
        if self.message in request.cookies:
            self._forget(response, self.message)

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    def _forget(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=self._secure, httponly=True, samesite="lax")
