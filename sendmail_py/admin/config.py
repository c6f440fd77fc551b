"""sendmail-py config: whether the configuration is right, and what it comes to."""

from __future__ import annotations

import os

import click

from sendmail_py.admin import check as findings
from sendmail_py.admin import setting
from sendmail_py.errors import printable
from sendmail_py.policy import explain


@click.group(no_args_is_help=False, short_help="Check and show the configuration.")
def config() -> None:
    """Check and show the configuration; sendmail-py.toml(5) explains it."""


@config.command()
@setting.file_option
def check(file: str | None) -> None:
    """Read the configuration as the mail commands do.

    Prints "ok" and the files that were read, then a line for everything that works differently from what one
    would expect. The first error ends the command with status 78.
    """
    found = setting.load(file)
    files = ", ".join([printable(path, 4096) for path in found.files])
    click.echo(f"ok    {files or 'no configuration file; the defaults hold'}")
    for text in findings.warnings(found, os.environ):
        click.echo(f"warn  {text}")


@config.command()
@setting.file_option
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
def show(file: str | None, origin: bool) -> None:
    """Print every key with the value that holds; passwords are hidden."""
    rows = [(f"{key} = {value}", source) for key, value, source in explain.settings(setting.load(file))]
    width = min(max(len(row) for row, _ in rows), 60)
    for row, source in rows:
        text = printable(row, 100_000)
        click.echo(f"{text:<{width}}  # {source}" if origin else text)
