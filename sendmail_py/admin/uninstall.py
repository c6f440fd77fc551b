"""sendmail-py uninstall: everything as before `sendmail-py install`, and no mail lost."""

from __future__ import annotations

import os

import click

from sendmail_py.admin import debian, layout, lock, mailers, manifest, setting, system
from sendmail_py.admin.manifest import Manifest
from sendmail_py.admin.tree import Tree
from sendmail_py.errors import NotPermittedError, UnavailableError, UsageError, printable


@click.command(short_help="Undo an installation for the whole system.")
@click.option("--root", metavar="DIR", type=click.Path(), default="/", help="Of the image below this folder.")
@click.option("--purge", is_flag=True, help="Delete mail that waits, and failed messages, as well.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
def uninstall(root: str, purge: bool, yes: bool, dry_run: bool) -> None:
    """Take back what `install` did, also one that was interrupted; the configuration stays.

    While mail waits in the queue nothing is done.
    """
    tree = Tree(os.path.abspath(root))
    if tree.is_live and os.geteuid() != 0 and not dry_run:
        raise NotPermittedError("only root can do this")
    if dry_run:
        for record in reversed(found(tree).records):
            click.echo(f"would undo: {record['kind']} {printable(record['path'])}")
        return
    with lock.held(tree):
        undo(tree, purge, yes)


def undo(tree: Tree, purge: bool, yes: bool) -> None:
    """Everything, after asking."""
    known = found(tree)
    system.refuse_read_only(tree, (record["path"] for record in known.records))
    mail = sum(mailers.own(tree))
    if mail:
        agree(mail, purge, yes)
    system.refuse_needed(tree, known)
    system.undo_all(known, lambda text: click.echo(printable(text)), purge)
    for record in known.records:
        if record.get("displaced"):
            click.echo(f"to have the earlier mailer again: apt-get install {' '.join(record['displaced'])}")


def found(tree: Tree) -> Manifest:
    """The manifest; one made up for a package without one. UnavailableError when there is nothing."""
    known = manifest.load(tree)
    if not known.exists and debian.is_known_package(tree, debian.NAME):
        known.method = "deb"
        known.records = [{"kind": "package", "path": debian.NAME, "group": system.SYSTEM}]
    if not known.exists:
        if tree.status(layout.RECORDS) is None:
            raise UnavailableError("nothing is installed for the whole system")
        known.method = "none"  # it ended before anything was changed
    return known


def agree(mail: int, purge: bool, yes: bool) -> None:
    """Mail is deleted only if its deletion was asked for, and agreed to."""
    told = setting.count(mail)
    if not purge:
        raise NotPermittedError(
            f"{told} in {layout.SPOOL}; send with `sendmail -q -v`, see mailq; --purge deletes them"
        )
    if not yes:
        if not setting.asks():
            raise UsageError(f"{told} would be deleted for good; --yes agrees")
        click.confirm(f"Delete {told} for good?", abort=True, err=True)
