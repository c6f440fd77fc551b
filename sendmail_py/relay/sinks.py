"""What takes the mail in place of a server: a folder, a program, this machine."""

from __future__ import annotations

from sendmail_py.relay import local, maildir, program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sendmail_py.policy.config import SmartHost
    from sendmail_py.relay.needs import Sink


def sink_for(setting: SmartHost) -> Sink:
    """The sink of a setting that has a transport or a command."""
    if local.is_local(setting):
        return local.Local(setting)
    return maildir.Maildir(setting) if setting.transport else program.Program(setting)
