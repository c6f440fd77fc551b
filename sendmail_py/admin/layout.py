"""Where a system installation puts things. Paths only; each is named here and nowhere else."""

from __future__ import annotations

from sendmail_py.policy.homes import SHARED_SPOOL, STATE
from sendmail_py.spool.shared import BELL, WAKE

ACCOUNT = "_sendmail-py"  # whom root's flush becomes to talk to a smart host
SPOOL = SHARED_SPOOL
WAKE_FILE = f"{SPOOL}/{WAKE}"
FIFO = BELL  # what systemd listens to
STATE_FOLDER = STATE  # root's
RELAY_STATE = f"{STATE}/relay"  # the account's
RECORDS = "/var/lib/sendmail-py-install"  # the manifest, and what was there before
MANIFEST = f"{RECORDS}/manifest.json"
CONFIG_FOLDER = "/etc/sendmail-py"

LIBRARY = "/usr/lib/sendmail-py"  # the package, copies of the distributions that it needs, the pages
VENDOR = f"{LIBRARY}/vendor"
FLUSH = f"{LIBRARY}/bin/sendmail"  # ours for sure, whoever has the name /usr/sbin/sendmail
COMPILE = f"{LIBRARY}/bin/compile"

SENDMAIL = "/usr/sbin/sendmail"
SENDMAIL_LINK = "/usr/lib/sendmail"
ADMIN = "/usr/bin/sendmail-py"
COMMANDS = {  # the names that every mailer has
    "sendmail": SENDMAIL,
    "mailq": "/usr/bin/mailq",
    "newaliases": "/usr/bin/newaliases",
    "runq": "/usr/sbin/runq",
}
SHARED_PAGES = ("sendmail.8", "mailq.1", "newaliases.1")  # pages under names that every mailer has

CRON = "/etc/cron.d/sendmail-py"
LOGROTATE = "/etc/logrotate.d/sendmail-py"
UNIT_FOLDER = "/usr/lib/systemd/system"
UNITS = ("sendmail-py.service", "sendmail-py.timer", "sendmail-py.socket")
SYSUSERS = "/usr/lib/sysusers.d/sendmail-py.conf"
TMPFILES = "/usr/lib/tmpfiles.d/sendmail-py.conf"
DISPATCHER_FOLDER = "/usr/lib/NetworkManager/dispatcher.d"
DISPATCHER = f"{DISPATCHER_FOLDER}/50-sendmail-py"
IF_UP_FOLDER = "/etc/network/if-up.d"
IF_UP = f"{IF_UP_FOLDER}/sendmail-py"


def page(name: str) -> str:
    """Where a manual page is installed ("sendmail.8")."""
    return f"/usr/share/man/man{name[-1]}/{name}.gz"
