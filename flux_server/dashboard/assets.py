"""Static files under addresses that carry a hash of their content, so that browsers may keep them for good."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from flux_server.errors import NotFoundError

__all__ = ["Assets", "router"]

_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

router = APIRouter()


class Assets:
    """The files of `static/`, read once."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._files: dict[str, tuple[bytes, str]] = {}
        for file in files("flux_server.dashboard").joinpath("static").iterdir():
            stem, _, ending = file.name.rpartition(".")
            if ending in _MEDIA_TYPES:
                content = file.read_bytes()
                hashed = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
                self._addresses[file.name] = f"/static/{hashed}"
                self._files[hashed] = content, _MEDIA_TYPES[ending]

    def address(self, name: str) -> str:
        """Return where browsers find the file of this name."""
        return self._addresses[name]

    def answer(self, hashed: str) -> Response:
        """Return the file of this hashed name.

        Raises:
            NotFoundError: there is none.
        """
        if hashed not in self._files:
            raise NotFoundError("there is no such file; reload the page, it may have been updated")
        content, media_type = self._files[hashed]
        keep = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(content, media_type=media_type, headers=keep)


@router.get("/static/{hashed}", response_class=Response)
async def read_static_file(hashed: str, request: Request) -> Response:
    """Return a static file."""
    assets: Assets = request.app.state.site.assets
    return assets.answer(hashed)
