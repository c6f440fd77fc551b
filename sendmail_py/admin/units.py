"""What makes a queue move: the texts for cron, systemd and the hooks of the network; account and folders.

One source: `sendmail-py install` and `sendmail-py timer` write these texts, examples/ shows them, and a test
holds them equal. Pure: values in, text out.
"""

from __future__ import annotations

import hashlib

from sendmail_py.admin import layout

MINUTE = 60

# Why the service may do what it may. `systemd-analyze security --offline=yes` of systemd 252 says 2.4 (OK);
# a test holds the figure. Points are lost, on purpose, for:
#
#   User=                      root's flush becomes each owner in turn, to read that owner's mail with that
#                              owner's rights, and becomes _sendmail-py to talk to the smart host
#   CAP_SETUID, CAP_SETGID     what that takes. NoNewPrivileges does not stand against it: it is about what
#                              execve(2) may give (set-uid bits), not about what a capability allows
#   CAP_KILL                   to end a reader that has become somebody else
#   CAP_DAC_READ_SEARCH        to read what the relay, by then _sendmail-py, has written about smart hosts
#   PrivateNetwork, IPAddress  it must reach the smart host
#   PrivateUsers               the owners are the users of this system
#
# Not needed: CAP_DAC_OVERRIDE (root owns what root writes), CAP_CHOWN, CAP_FOWNER.
SERVICE = """\
# Written by sendmail-py. Changes belong into a drop-in: systemctl edit sendmail-py.service
# systemd-analyze security --offline=yes: {score} (systemd 252)

[Unit]
Description=Send what waits in the mail queues
Documentation=man:sendmail-py(8) man:sendmail(8)
# A run before the network is there would have the smart host left alone for minutes.
Wants=network-online.target
After=network-online.target nss-user-lookup.target
# Every message that arrives may start it; five starts in ten seconds are no fault.
StartLimitIntervalSec=0

[Service]
Type=oneshot
# What was removed comes back, with its owner, for which "+" is needed: the run may not give anything away.
ExecStartPre=+/bin/sh -c '[ -d {spool} ] && [ -d {relay} ] && [ ! -O {relay} ] || {restore} || :'
# Mail that comes in a bunch starts one run, not one each. Who rings from here on starts another one.
ExecStartPre=/bin/sh -c 'sleep 0.2; dd if={fifo} of=/dev/null bs=1M count=1 iflag=nonblock 2>/dev/null || :'
ExecStart={flush} -q
# A run ends by itself, because every step has a time limit; this is for the day on which that is not true.
TimeoutStartSec=1h
# SIGTERM finishes the message in hand; the readers follow when their run ends.
KillMode=mixed
TimeoutStopSec=2min

CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_DAC_READ_SEARCH
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writable}
# A password_command that needs a home folder: ProtectHome=read-only in a drop-in.
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@keyring @memlock @chown
SystemCallErrorNumber=EPERM
UMask=0077
LimitCORE=0
"""
SCORE = "2.4 OK"

# FixedRandomDelay: a number of seconds that stays the same on a machine (it comes from its machine-id), so
# that a thousand machines send at sixty different seconds of the minute, and none sends irregularly.
TIMER = """\
# Written by sendmail-py (sendmail-py timer).

[Unit]
Description=Send what waits in the mail queues, every minute
Documentation=man:sendmail-py(8)

[Timer]
OnBootSec=1min
OnCalendar=minutely
RandomizedDelaySec=1min
FixedRandomDelay=yes
AccuracySec=1s

[Install]
WantedBy=timers.target
"""

# A fifo and not a path unit: while the service runs a path unit sees nothing, so that mail which comes when
# the flush has looked for the last time would wait for the timer. What is in a fifo stays until the service
# reads it. One read of at most what fits: whoever writes without end has one run after the other, no more.
SOCKET = """\
# Written by sendmail-py (sendmail-py timer).

[Unit]
Description=Send mail as soon as it is submitted
Documentation=man:sendmail-py(8)

[Socket]
ListenFIFO={fifo}
SocketMode=0622
RemoveOnStop=yes
# Mail that comes often is no fault, either.
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""

USER_SERVICE = """\
# Flush a user's queue. For ~/.config/systemd/user/, with the timer beside it; `sendmail-py timer install
# --systemd --user` does it all, or by hand:
#
#   systemctl --user daemon-reload
#   systemctl --user enable --now sendmail-py-flush.timer
#   loginctl enable-linger          (to flush while the user is not logged in)

[Unit]
Description=Send what waits in the mail queue
Documentation=man:sendmail(8) man:sendmail-py(7)
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={flush} -q
# A run ends by itself, because every step has a time limit; this is for the day on which that is not true.
TimeoutStartSec=1h
NoNewPrivileges=yes
"""

USER_TIMER = """\
# When to flush a user's queue; see sendmail-py-flush.service.

[Unit]
Description=Send what waits in the mail queue, every minute

[Timer]
OnStartupSec=1min
OnUnitInactiveSec=1min
RandomizedDelaySec=10s
AccuracySec=10s

[Install]
WantedBy=timers.target
"""

# The sleep: all machines that call cron at the full minute would reach the smart host in the same second. A
# thousand of them, each with its own number from 0 to 59, are 17 a second. The number comes from the
# machine-id and stays, so mail takes as long today as yesterday; a sleeping process of a megabyte is the
# price.
# What a failing run says goes to the system's log. Cron would mail it, and that mail could not leave either:
# one more in the queue every minute, as long as there is no smart host, say.
FAULT = 'logger -t sendmail-py -p mail.err -- "$said" 2>/dev/null'
# A second longer than the time to the next run, so that there is always one that watches.
WATCH = "-q --watch=61s"
CRON = """\
# Written by sendmail-py (sendmail-py timer): send what waits in the mail queues, every minute.
# {second} is the second of the minute of this machine, from its machine-id: many do not call at once.
# With nothing due a run ends at once. Two runs at the same time do no harm.
# With `delivery = "background"` a run stays until the next, and sends at once what is submitted.
# A fault goes to the system's log: as mail, which cron would send, it would wait, too.
* * * * *       root    [ ! -x {flush} ] || {{ sleep {second}; said=$({flush} {run} 2>&1) || {fault}; }}
"""

CRONTAB_MARK = "# sendmail-py timer"  # for sh a comment, for us the way to find the line again
CRONTAB = "* * * * *       sleep {second}; said=$({flush} -q 2>&1) || {fault}  " + CRONTAB_MARK

# For root's crontab, where cron has nothing else. The daemons that are so simple start no line that still
# runs: the run goes on without its shell.
SYSTEM_MARK = "# sendmail-py system timer"
SYSTEM_LINE = (
    "* * * * *       if [ -x {flush} ]; then sleep {second}; said=$({flush} {run} 2>&1) || {fault}; fi"
)
SYSTEM_LINE += " >/dev/null 2>&1 &  " + SYSTEM_MARK

# A person who plugs in the cable does not want to wait for the next retry: -v tries all, due or not.
HOOK = """\
#!/bin/sh
# Written by sendmail-py: when the network comes up, send what waits, due or not.
{condition}
[ -x {flush} ] || exit 0
setsid {flush} -q -v </dev/null >/dev/null 2>&1 &
exit 0
"""
DISPATCHER_CONDITION = 'case "$2" in up | vpn-up) ;; *) exit 0 ;; esac'
IF_UP_CONDITION = '[ "${IFACE:-}" != lo ] && [ "${MODE:-start}" = start ] || exit 0'

SYSUSERS = """\
# Written by sendmail-py: whom root's flush becomes to talk to the smart host.
u {account} - "sendmail-py relay" {state}
"""

TMPFILES = """\
# Written by sendmail-py: the spool for all users, its wake-up file, and what the relay remembers.
d {spool} 1733 root root -
f {wake} 0666 root root -
d {state} 0755 root root -
d {relay} 0700 {account} {account} -
"""

LOGROTATE = """\
# Written by sendmail-py: every command opens the log anew, so nobody needs to be told.
{log} {{
    weekly
    rotate 8
    compress
    delaycompress
    missingok
    notifempty
}}
"""


def second_of_minute(machine_id: bytes) -> int:
    """A machine's second of the minute, 0 to 59: the same for ever, spread evenly over machines."""
    digest = hashlib.sha256(b"sendmail-py flush " + machine_id.strip()).digest()
    return int.from_bytes(digest[:8], "big") % MINUTE


def service(log: str = "") -> str:
    """The system's service unit; `log`: a log file outside /var/log ("" none)."""
    writable = f"-{layout.SPOOL} -{layout.STATE_FOLDER} -/var/log"
    if log and not log.startswith("/var/log/"):
        writable += " -" + log.rpartition("/")[0]
    return SERVICE.format(
        fifo=layout.FIFO,
        flush=layout.FLUSH,
        relay=layout.RELAY_STATE,
        restore=f"systemd-tmpfiles --create {layout.TMPFILES.rpartition('/')[2]}",
        score=SCORE,
        spool=layout.SPOOL,
        writable=writable,
    )


def system_units(log: str = "") -> dict[str, str]:
    """The system's units by their names."""
    listening = SOCKET.format(fifo=layout.FIFO)
    return dict(zip(layout.UNITS, (service(log), TIMER, listening), strict=True))


def user_units(flush: str = "%h/bin/sendmail") -> dict[str, str]:
    """A user's units by their names; `flush` is that user's sendmail, quoted for systemd."""
    return {
        "sendmail-py-flush.service": USER_SERVICE.format(flush=flush),
        "sendmail-py-flush.timer": USER_TIMER,
    }


def cron(second: int) -> str:
    """The file for /etc/cron.d."""
    return CRON.format(flush=layout.FLUSH, second=second, run=WATCH, fault=FAULT)


def crontab(flush: str, second: int) -> str:
    """The line for a user's crontab; `flush` is quoted for sh and has no `%`."""
    return CRONTAB.format(flush=flush, second=second, fault=FAULT)


def system_line(second: int) -> str:
    """The line for root's crontab that flushes everybody's queue."""
    return SYSTEM_LINE.format(flush=layout.FLUSH, second=second, run=WATCH, fault=FAULT)


def hooks() -> dict[str, str]:
    """The hooks of the network by their paths."""
    return {
        layout.DISPATCHER: HOOK.format(flush=layout.FLUSH, condition=DISPATCHER_CONDITION),
        layout.IF_UP: HOOK.format(flush=layout.FLUSH, condition=IF_UP_CONDITION),
    }


def sysusers() -> str:
    """For sysusers.d(5)."""
    return SYSUSERS.format(account=layout.ACCOUNT, state=layout.RELAY_STATE)


def tmpfiles() -> str:
    """For tmpfiles.d(5)."""
    return TMPFILES.format(
        account=layout.ACCOUNT,
        relay=layout.RELAY_STATE,
        spool=layout.SPOOL,
        state=layout.STATE_FOLDER,
        wake=layout.WAKE_FILE,
    )


def rotation(log: str) -> str:
    """A log of our own for logrotate(8)."""
    return LOGROTATE.format(log=log)
