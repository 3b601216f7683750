"""Preconditions: `ETag`, `If-Match` and `If-None-Match`, for every route alike (RFC 9110, section 13).

An entity tag is made from the content that it comes with. What a write was made for is compared in its own
transaction, under its environment's lock: of two editors who have read the same, one is told that it has changed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Set
from typing import Annotated, Final, TypeVar

from fastapi import Depends, FastAPI, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from flux_server.environments.revisions import lock
from flux_server.errors import InvalidRequestError, NotFoundError, PreconditionFailedError

__all__ = ["Conditional", "Edit", "IfMatch", "entity_tag", "install_not_modified", "read_tags"]

A = TypeVar("A", bound=BaseModel)

_TAG: Final = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_TAGS: Final = re.compile(rf"\s*(?:{_TAG.pattern})(?:\s*,\s*(?:{_TAG.pattern}))*\s*\Z")
# A key of another environment reads other things at the same address; a cache may keep them, and asks each time.
_CACHING: Final = {"Cache-Control": "private, no-cache", "Vary": "Authorization"}

_SENT: Final = {
    "pattern": r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$',
    "examples": ['"b8yPdVBHwSGy5u7P"'],
}

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        json_schema_extra=_SENT,
        description="Entity tags: the write is refused with 412 unless what it changes still has one of them. `*`: "
        "unless it is there.",
    ),
]
_IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        json_schema_extra=_SENT,
        description="Entity tags of what the caller has: if one is current, 304.",
    ),
]
_IfAbsent = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        json_schema_extra=_SENT,
        description="`*`: the write is refused with 412 if what it would make is there. Entity tags: if it has one.",
    ),
]


class NotModifiedError(Exception):
    """The caller has the current content already."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class _Conditions:
    """What one request says about the content that it is made for."""

    def __init__(self, response: Response, if_match: str | None, if_none_match: str | None) -> None:
        self._response = response
        self._if_match = read_tags("If-Match", if_match)
        self._if_none_match = read_tags("If-None-Match", if_none_match)

    def shown(self, answer: A, *, moving: Set[str] = frozenset()) -> A:
        """Tag the answer, and return it. `moving`: members that change without anybody's edit.

        Raises:
            NotModifiedError: it was read, and the caller has it.
        """
        etag = entity_tag(answer, moving)
        self._response.headers.update({"ETag": etag, **_CACHING})
        return answer


class Reading(_Conditions):
    """The conditions of a GET."""

    def shown(self, answer: A, *, moving: Set[str] = frozenset()) -> A:
        answer = super().shown(answer, moving=moving)
        etag = self._response.headers["ETag"]
        if self._if_none_match is not None and ({"*", etag} & self._if_none_match):
            raise NotModifiedError(etag)
        return answer


class Editing(_Conditions):
    """The conditions of a write."""

    async def hold(
        self,
        connection: AsyncConnection,
        environment: str,
        read: Callable[[], Awaitable[BaseModel]],
        *,
        makes: bool = False,
        moving: Set[str] = frozenset(),
    ) -> None:
        """Refuse the write unless its conditions hold of what `read` returns, until the transaction ends.

        Raises:
            PreconditionFailedError: they do not.
            NotFoundError: `read` finds nothing, and the write `makes` nothing.
        """
        if self._if_match is None and self._if_none_match is None:
            return
        await lock(connection, environment)
        try:
            etag = entity_tag(await read(), moving)
        except NotFoundError:
            if not makes:
                raise
            etag = ""
        if self._if_match is not None and not _holds(self._if_match, etag):
            detail = "it has been changed since; read it again, and decide anew" if etag else "there is none"
            raise PreconditionFailedError(f"If-Match: {detail}", etag=etag or None)
        if self._if_none_match is not None and _holds(self._if_none_match, etag):
            raise PreconditionFailedError(
                "If-None-Match: it is there already; read it before you change it", etag=etag
            )


def _reading(response: Response, if_none_match: _IfNoneMatch = None) -> Reading:
    return Reading(response, None, if_none_match)


def _editing(response: Response, if_match: IfMatch = None, if_none_match: _IfAbsent = None) -> Editing:
    return Editing(response, if_match, if_none_match)


Conditional = Annotated[Reading, Depends(_reading)]
Edit = Annotated[Editing, Depends(_editing)]


def entity_tag(answer: BaseModel, moving: Set[str] = frozenset()) -> str:
    """Return the strong entity tag of an answer: after its dot, that of the members in `moving`."""
    parts = [answer.model_dump_json(exclude=set(moving))]
    if moving:
        parts.append(answer.model_dump_json(include=set(moving)))
    return '"{}"'.format(".".join(_digest(part) for part in parts))


def install_not_modified(app: FastAPI) -> None:
    """Answer 304 to whoever has the current content."""
    app.add_exception_handler(NotModifiedError, _on_not_modified)


async def _on_not_modified(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotModifiedError)
    return Response(status_code=304, headers={"ETag": error.etag, **_CACHING})


def read_tags(name: str, header: str | None) -> frozenset[str] | None:
    """Return the header's tags. What a proxy has marked as weak is known as well as before, but edited by nobody."""
    if header is None or header.strip() == "*":
        return None if header is None else frozenset({"*"})
    if not _TAGS.match(header):
        raise InvalidRequestError(
            f'header.{name}: send the `ETag` of an answer as it was given, in its quotes ("…"), or `*`'
        )
    found = (tag[0] for tag in _TAG.finditer(header))
    return frozenset(found if name == "If-Match" else (tag.removeprefix("W/") for tag in found))


def _holds(tags: frozenset[str], etag: str) -> bool:
    """Say whether one of the tags is that of what is there, but for the part that moves by itself."""
    return bool(etag) and ("*" in tags or any(_edited(tag) == _edited(etag) for tag in tags))


def _edited(tag: str) -> str:
    return tag.partition(".")[0].rstrip('"')


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:12]).decode()
