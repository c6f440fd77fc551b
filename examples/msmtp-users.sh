# For ~/.bashrc of people who come from msmtp: programs that ask for a sendmail get this one.

PATH="$HOME/bin:$PATH"                  # before /usr/sbin, where another sendmail may be
export PATH
export SENDMAIL="$HOME/bin/sendmail"    # read by some mail programs

# msmtp's `account` is a smart host with `senders`; see several-addresses.toml.
# msmtp-queue is not needed: everything is queued. `msmtp-runqueue` is `sendmail -q`.
