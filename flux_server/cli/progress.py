"""How far a command is, on a terminal; nothing where nobody watches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from rich.console import Console
from rich.progress import Progress

__all__ = ["progress_of"]


@contextmanager
def progress_of(file: BinaryIO) -> Iterator[Callable[[], None]]:
    """Show how much of the file is read, whenever what this returns is called."""
    console = Console(stderr=True)
    if not console.is_terminal or not file.seekable():
        yield lambda: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("importing", total=os.fstat(file.fileno()).st_size)
        yield lambda: progress.update(task, completed=file.tell())
