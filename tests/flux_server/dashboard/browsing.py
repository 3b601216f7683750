"""Somebody with a browser that has no scripts: it opens pages, keeps cookies, fills in forms and sends them."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import httpx

__all__ = ["Element", "Page", "Person"]

_EMPTY = {"br", "circle", "col", "hr", "img", "input", "line", "link", "meta", "path"}


class Element:
    """An element of a page."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element | str] = []

    def walk(self) -> Iterator[Element]:
        """Yield this element and all in it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements in it of this tag and these attributes."""
        return [
            element
            for element in self.walk()
            if element.tag == tag and attributes.items() <= element.attributes.items()
        ]

    @property
    def text(self) -> str:
        """Return its text, with single spaces."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())


class Page:
    """An answer, read as a page."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.status = answer.status_code
        self.path = answer.request.url.raw_path.decode()
        self.root = _read(answer.text)

    @property
    def text(self) -> str:
        return self.root.text

    @property
    def heading(self) -> str:
        (heading,) = self.root.all("h1")
        return heading.text

    @property
    def said(self) -> str:
        """What is said once, after something was done."""
        return " ".join(element.text for element in self.root.all("p", role="status"))

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong, by the field that it leads to; of the whole form under its number."""
        (summary,) = self.root.all("div", id="summary") or [Element("div", {})]
        found = {}
        for number, item in enumerate(summary.all("li")):
            links = item.all("a")
            found[links[0].attributes["href"].removeprefix("#") if links else str(number)] = item.text
        return found

    def form(self, action: str) -> Element:
        """Return the form that is sent to the path `action`."""
        (form, *_) = [
            form
            for form in self.root.all("form")
            if form.attributes.get("action", self.path).partition("?")[0] == action
        ]
        return form

    def fields(self, action: str) -> list[tuple[str, str]]:
        """Return what a browser would send if nothing was typed into the form."""
        return list(_fields(self.form(action)))


class Person:
    """Somebody who looks at pages and sends forms."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def open(self, path: str) -> Page:
        return Page(self.client.get(path))

    def send(self, page: Page, action: str, **typed: str) -> Page:
        """Send the page's form to `action`, with what was typed in place of what the fields held.

        `value__seats` is the field `value:seats`.
        """
        names = {name.replace("__", ":"): name for name in typed}
        fields = [(name, text) for name, text in page.fields(action) if name not in names]
        fields += [(name, typed[given]) for name, given in names.items() if typed[given]]
        target = page.form(action).attributes.get("action", page.path)
        encoded = {"Content-Type": "application/x-www-form-urlencoded"}
        return Page(self.client.post(target, content=urlencode(fields), headers=encoded))

    def upload(self, page: Page, action: str, content: bytes, name: str = "file") -> Page:
        """Send the page's form to `action` with a file."""
        fields = dict(page.fields(action))
        return Page(self.client.post(action, data=fields, files={name: ("some file", content)}))


def _fields(form: Element) -> Iterator[tuple[str, str]]:
    for element in form.walk():
        name = element.attributes.get("name")
        if not name:
            continue
        if element.tag == "select":
            options = element.all("option")
            chosen = [option for option in options if "selected" in option.attributes] or options[:1]
            yield from ((name, option.attributes["value"]) for option in chosen)
        elif element.tag == "input":
            if element.attributes.get("type") == "file":
                continue
            can_be_checked = element.attributes.get("type") in ("radio", "checkbox")
            if not can_be_checked or "checked" in element.attributes:
                yield name, element.attributes.get("value", "on" if can_be_checked else "")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _EMPTY:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in _EMPTY:
            return
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def _read(text: str) -> Element:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    (root,) = reader.open  # every element was closed
    return root
