"""Reading a catalog document out of what JSON or TOML held, or saying everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import inspect

from flux_server.catalog.document import CatalogDocument, canonical
from flux_server.catalog.errors import InvalidDocumentError, Wrong, key_error, nearest

__all__ = ["read_document"]

_MAPS_OF_KEYS = ("metrics", "features", "plans")
_FORM = inspect.type_info(CatalogDocument)

At = tuple[str | int, ...]


def read_document(data: object) -> CatalogDocument:
    """Return the document, in its canonical form.

    Raises:
        InvalidDocumentError: it does not have the form of one; every place where it does not is named.
    """
    try:
        document = msgspec.convert(data, CatalogDocument)
    except msgspec.ValidationError as refusal:
        wrong = list(_complaints(_FORM, data, ())) or [Wrong((), str(refusal))]
    else:
        wrong = [
            Wrong((section, key), error)
            for section in _MAPS_OF_KEYS
            for key in getattr(document, section)
            if (error := key_error(key))
        ]
    if wrong:
        raise InvalidDocumentError(wrong)
    return canonical(document)


def _complaints(form: inspect.Type, value: object, at: At) -> Iterator[Wrong]:
    """Say what msgspec would complain about, but all of it, and by the names of the keys that lead there."""
    if isinstance(form, inspect.Metadata):
        form = form.type
    if isinstance(form, inspect.UnionType):
        form = _alternative(form, value)
    if isinstance(form, inspect.StructType):
        yield from _of_table(form, value, at)
    elif isinstance(form, inspect.DictType):
        yield from _of_map(form, value, at)
    elif isinstance(form, inspect.VarTupleType):
        yield from _of_list(form, value, at)
    elif error := _of_scalar(form, value):
        yield Wrong(at, error)


def _alternative(union: inspect.UnionType, value: object) -> inspect.Type:
    """Return the alternative that the value means to be."""
    forms = [form for form in union.types if value is None or not isinstance(form, inspect.NoneType)]
    forms = [form.type if isinstance(form, inspect.Metadata) else form for form in forms]
    tables = [form for form in forms if isinstance(form, inspect.StructType)]
    scalars = [form for form in forms if form not in tables]
    if tables and (isinstance(value, dict) or not scalars):
        return tables[0]
    return scalars[0] if len(scalars) == 1 else inspect.UnionType(tuple(scalars))


def _of_table(form: inspect.StructType, value: object, at: At) -> Iterator[Wrong]:
    if not isinstance(value, dict):
        yield Wrong(at, f"a table belongs here, not {value!r:.50}")
        return
    fields = {field.name: field for field in form.fields}
    for name, inner in value.items():
        if name in fields:
            yield from _complaints(fields[name].type, inner, (*at, name))
        else:
            yield Wrong((*at, name), f"there is no such field{nearest(name, fields)}")
    for field in fields.values():
        if field.required and field.name not in value:
            yield Wrong((*at, field.name), f"is missing: give {_expected(field.type)}")


def _of_map(form: inspect.DictType, value: object, at: At) -> Iterator[Wrong]:
    if not isinstance(value, dict):
        yield Wrong(at, f"a table belongs here, not {value!r:.50}")
        return
    for key, inner in value.items():
        words = form.key_type
        error = _of_scalar(words, key) if isinstance(words, inspect.LiteralType) else key_error(key)
        if error:
            yield Wrong((*at, key), error)
        yield from _complaints(form.value_type, inner, (*at, key))


def _of_list(form: inspect.VarTupleType, value: object, at: At) -> Iterator[Wrong]:
    if not isinstance(value, list | tuple):
        yield Wrong(at, f"a list belongs here, not {value!r:.50}")
        return
    if form.max_length is not None and len(value) > form.max_length:
        yield Wrong(at, f"has {len(value):,} of them; {form.max_length} is the most")
    for position, inner in enumerate(value):
        yield from _complaints(form.item_type, inner, (*at, position))


def _of_scalar(form: inspect.Type, value: object) -> str | None:
    if _fits(form, value):
        return None
    if isinstance(value, str) and "\0" in value:
        return "a text cannot hold the character NUL"
    hint = nearest(value, form.values) if isinstance(form, inspect.LiteralType) else ""
    return f"give {_expected(form)}, not {value!r:.50}{hint}"


def _fits(form: inspect.Type, value: object) -> bool:
    match form:
        case inspect.UnionType():
            return any(_fits(alternative, value) for alternative in form.types)
        case inspect.LiteralType():
            return value in form.values
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType(ge=least, le=most):
            return type(value) is int and (least or 0) <= value <= (most or value)
        case inspect.StrType(min_length=least, max_length=most):
            return (
                isinstance(value, str)
                and "\0" not in value
                and (least or 0) <= len(value) <= (most or len(value))
            )
    return value is None


def _expected(form: inspect.Type) -> str:
    match form:
        case inspect.Metadata():
            return _expected(form.type)
        case inspect.UnionType():
            return " or ".join(_expected(alternative) for alternative in form.types)
        case inspect.LiteralType():
            return " or ".join(f'"{word}"' for word in form.values)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.StrType(min_length=least, max_length=most) if most is not None:
            return f"a text of {least or 0} to {most} characters"
    return "a text"
