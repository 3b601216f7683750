"""`scripts/demo` plays the story and leaves everything running; `scripts/demo --once` checks it and cleans up."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from examples.demo.processes import DemoError
from examples.demo.story import STEPS, Story

console = Console(stderr=True, highlight=False)


def main() -> int:
    """Play the story; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="print one line of JSON, clean up and exit")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` ends what was started
    with tempfile.TemporaryDirectory(prefix="flux-demo-") as directory:
        story = Story(
            Path(directory), say=lambda line: console.print(f"  [green]✓[/] {line}", soft_wrap=True)
        )
        try:
            held = play(story)
            if once:
                print_figures(story, held=held)
            elif held:
                stay(story)
        except KeyboardInterrupt:
            console.print("\nstopping …")
            return 130
        finally:
            story.close()
    return 0 if held else 1


def play(story: Story) -> bool:
    """Play every step; False if one of them did not hold."""
    for number, step in enumerate(STEPS, start=1):
        console.print(f"[bold]{number}. {step.__doc__}[/]", soft_wrap=True)
        try:
            with console.status("working …"):
                step(story)
        except DemoError as error:
            console.print(f"  [red]✗ {error}[/]", soft_wrap=True, markup=True)
            return False
    return True


def print_figures(story: Story, *, held: bool) -> None:
    """Print the line that scripts and CI read."""
    figures = {name: round(value) for name, value in dataclasses.asdict(story.figures).items()}
    print(json.dumps({**figures, "ok": held}))


def stay(story: Story) -> None:
    """Leave everything running for a person to click through."""
    app, sandbox = story.url["application"], story.url["sandbox"]
    console.print("\n[bold]Everything is running; Ctrl-C stops it.[/]")
    console.print(
        f"  dashboard    {story.url['server']}  (first admin: {story.url['first admin']})", soft_wrap=True
    )
    console.print(
        f"  sandbox      {sandbox}  (subscribe the customer to Pro again, then ask the application)"
    )
    console.print(f"  a month      curl -d '{{\"advance\": 2678400}}' {story.clock_url}")
    console.print(f"  application  curl -i -H 'X-Organization: acme' {app}/sso")
    console.print(f"               curl -i -H 'X-Organization: acme' '{app}/v1/search?q=flux'")
    console.print(f"               curl {app}/usage/acme    curl {app}/why/acme/sso")
    console.print(f"  logs         {story.directory}")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
