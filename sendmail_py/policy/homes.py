"""Where files are: the home folder and the XDG base folders, like platformdirs, and which spool counts."""

from __future__ import annotations

import posix
import pwd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sendmail_py.policy.config import Config

SHARED_SPOOL = "/var/spool/sendmail-py"  # mode 1733; a folder in it for each user
NO_SPOOL = "none"  # for queue.directory: nothing is kept, with delivery = "now"
STATE = "/var/lib/sendmail-py"  # root's; what root's flush remembers


def home(environ: Mapping[str, str]) -> str:
    """The home folder: HOME, unless that is somebody else's and passwd(5) knows better; "" when nobody knows.

    Some cron daemons run a user's command with root's HOME, sudo mails with HOME=/: mail must not be lost
    in a folder that is not the sender's, nor wait in one where his flush does not look.
    """
    folder = environ.get("HOME", "")
    if folder[:1] != "/":
        return account_home()
    if is_own(folder, missing=True):
        return folder
    other = account_home()
    return other if is_own(other, missing=False) else folder


def account_home() -> str:
    """The home folder in passwd(5), "" for a user without an account."""
    try:
        folder = pwd.getpwuid(posix.getuid()).pw_dir
    except KeyError:
        return ""
    return folder if folder[:1] == "/" else ""


def is_own(folder: str, missing: bool) -> bool:
    """Whether a folder, never the root folder, is the user's; `missing` is the answer when nobody knows."""
    try:
        return folder.strip("/") != "" and posix.stat(folder).st_uid == posix.getuid()
    except OSError:
        return missing


def base_folder(environ: Mapping[str, str], name: str, below: str) -> str:
    """An XDG base folder: variable `name` if that is an absolute path, else `below` the home; "" if none."""
    folder = environ.get(name, "")
    if folder[:1] == "/":
        return folder.rstrip("/")
    folder = home(environ)
    return folder.rstrip("/") + below if folder else ""


def memory(config: Config) -> str:
    """The folder where what is known of smart hosts is kept: who rests, what they take."""
    return STATE if config.queue.shared else config.queue.directory


def spool_places(config: Config, system_file: str) -> tuple[str, str]:
    """The folder of the personal spool and "", or "" and the shared spool (sendmail-py-spool(5)).

    Twice "" when there is no place for either.
    Shared when the smart host that counts is the system file's and no queue.directory was chosen; the folder
    in it is found when the spool is used (spool/shared.py).
    """
    chosen = config.queue.directory
    if chosen == NO_SPOOL:
        return "", ""
    if not chosen and is_of_system(config, system_file):
        return "", SHARED_SPOOL
    folder = "" if chosen else base_folder(config.environ, "XDG_STATE_HOME", "/.local/state")
    return chosen or (folder + "/sendmail-py/spool" if folder else ""), ""


def is_of_system(config: Config, system_file: str) -> bool:
    """Whether the system file alone says what the smart hosts are."""
    sources = [layer.source for layer in config.layers if "smarthost" in layer.tree]
    return sources == [system_file]
