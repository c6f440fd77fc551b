"""The shell scripts of the system's package manager: what dpkg runs, and how the account comes and goes.

One source for both ways of installing: the package's scripts hold the same lines that the other methods run.
All work below `$root`, which is empty but for images.
"""

from __future__ import annotations

from sendmail_py.admin import layout

# sysusers first: it is what distributions want, and needs no other package where systemd is. useradd is
# shadow's (Debian, Fedora, Arch), adduser with -S busybox's (Alpine), which knows no other root but its own.
MAKE_ACCOUNT = f"""\
root=$1
nologin=/usr/sbin/nologin
[ -e "$root$nologin" ] || [ ! -e "$root/sbin/nologin" ] || nologin=/sbin/nologin
if command -v systemd-sysusers >/dev/null && [ -e "$root{layout.SYSUSERS}" ]; then
    systemd-sysusers ${{root:+--root="$root"}} {layout.SYSUSERS.rpartition("/")[2]}
elif command -v useradd >/dev/null; then
    useradd ${{root:+--prefix "$root"}} --system --user-group --no-create-home --shell "$nologin" \\
        --home-dir {layout.RELAY_STATE} --comment "sendmail-py relay" {layout.ACCOUNT}
else
    ${{root:+chroot "$root"}} addgroup -S {layout.ACCOUNT}
    ${{root:+chroot "$root"}} adduser -S -D -H -h {layout.RELAY_STATE} -s "$nologin" -G {layout.ACCOUNT} \\
        -g "sendmail-py relay" {layout.ACCOUNT}
fi
"""

REMOVE_ACCOUNT = f"""\
root=$1
if command -v userdel >/dev/null; then
    userdel ${{root:+--prefix "$root"}} {layout.ACCOUNT}
else
    ${{root:+chroot "$root"}} deluser {layout.ACCOUNT}
fi
if grep -q '^{layout.ACCOUNT}:' "$root/etc/group"; then
    groupdel ${{root:+--prefix "$root"}} {layout.ACCOUNT} 2>/dev/null ||
        ${{root:+chroot "$root"}} delgroup {layout.ACCOUNT}
fi
"""

ACCOUNT_MARK = f"{layout.RECORDS}/account-made"
WANTS = " ".join(
    f'"$root/etc/systemd/system/{target}.target.wants/sendmail-py.{kind}"'
    for target, kind in (("timers", "timer"), ("sockets", "socket"))
)

POSTINST = f"""\
#!/bin/sh
# Written by sendmail-py install.
set -e
[ "$1" = configure ] || exit 0
root=${{DPKG_ROOT:-}}
make_account() {{
{MAKE_ACCOUNT}}}
if ! grep -q '^{layout.ACCOUNT}:' "$root/etc/passwd"; then
    mkdir -p -m 0700 "$root{layout.RECORDS}"
    : >"$root{ACCOUNT_MARK}"
    make_account "$root" >/dev/null
fi
ids=$(sed -n 's/^{layout.ACCOUNT}:[^:]*:\\([0-9]*:[0-9]*\\):.*/\\1/p' "$root/etc/passwd")
[ -d "$root{layout.SPOOL}" ] || mkdir -m 0700 "$root{layout.SPOOL}"
mkdir -p -m 0755 "$root{layout.STATE_FOLDER}"
[ -d "$root{layout.RELAY_STATE}" ] || mkdir -m 0700 "$root{layout.RELAY_STATE}"
if [ "$(id -u)" = 0 ]; then
    chown 0:0 "$root{layout.SPOOL}"
    chown "$ids" "$root{layout.RELAY_STATE}"
fi
# Nobody but root writes to the spool while we look at the wake-up file: a link would lead us anywhere.
chmod 0711 "$root{layout.SPOOL}"
wake="$root{layout.WAKE_FILE}"
if [ -L "$wake" ] || [ ! -f "$wake" ] || [ "$(stat -c %u:%h "$wake")" != "$(id -u):1" ]; then
    rm -rf "$wake"
    : >"$wake"
fi
chmod 0666 "$wake"
chmod 1733 "$root{layout.SPOOL}"
chmod 0700 "$root{layout.RELAY_STATE}"
"$root{layout.COMPILE}" "$root" || echo "sendmail-py: compiling failed; every command will start slowly" >&2
"""

PRERM = f"""\
#!/bin/sh
# Written by sendmail-py install.
set -e
root=${{DPKG_ROOT:-}}
find "$root{layout.LIBRARY}" -type d -name __pycache__ -prune -exec rm -rf {{}} +
if [ "$1" = remove ] && [ -z "$root" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now --quiet sendmail-py.timer sendmail-py.socket || :
    systemctl stop sendmail-py.service || :
fi
"""

# What waits is never deleted by a package manager: the spool stays, and with it the account.
POSTRM = f"""\
#!/bin/sh
# Written by sendmail-py install.
set -e
root=${{DPKG_ROOT:-}}
remove_account() {{
{REMOVE_ACCOUNT}}}
mail() {{
    [ -d "$root{layout.SPOOL}" ] || return 0
    find "$root{layout.SPOOL}" -mindepth 3 -maxdepth 3 -type f -name '????????????' \\
        \\( -path '*/queue/*' -o -path '*/failed/*' \\) | wc -l
}}
case $1 in
remove | purge)
    rm -f "$root{layout.CRON}" "$root{layout.LOGROTATE}" {WANTS}
    rm -rf "$root{layout.LIBRARY}"
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload || :
        systemctl reset-failed 'sendmail-py.*' || :
    fi
    waiting=$(mail)
    if [ "${{waiting:-0}}" != 0 ]; then
        echo "sendmail-py: $waiting messages stay in {layout.SPOOL}; install it again to send them" >&2
    elif [ "$1" = purge ]; then
        rm -rf "$root{layout.SPOOL}" "$root{layout.STATE_FOLDER}"
        if [ -e "$root{ACCOUNT_MARK}" ]; then
            remove_account "$root" || :
        fi
        rm -rf "$root{layout.RECORDS}"
    fi
    ;;
esac
"""

# Debian's python3 calls these when its version changes; the compiled files are for one version.
RTUPDATE_PATH = "/usr/share/python3/runtime.d/sendmail-py.rtupdate"
RTUPDATE = f"""\
#!/bin/sh
# Written by sendmail-py install: compile again when Debian's python3 becomes another version.
[ "$1" = rtupdate ] || exit 0
[ ! -x {layout.COMPILE} ] || {layout.COMPILE} || :
"""
