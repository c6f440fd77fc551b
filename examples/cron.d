# Written by sendmail-py (sendmail-py timer): send what waits in the mail queues, every minute.
# 21 is the second of the minute of this machine, from its machine-id: many do not call at once.
# With nothing due a run ends at once. Two runs at the same time do no harm.
# With `delivery = "background"` a run stays until the next, and sends at once what is submitted.
# A fault goes to the system's log: as mail, which cron would send, it would wait, too.
* * * * *       root    [ ! -x /usr/lib/sendmail-py/bin/sendmail ] || { sleep 21; said=$(/usr/lib/sendmail-py/bin/sendmail -q --watch=61s 2>&1) || logger -t sendmail-py -p mail.err -- "$said" 2>/dev/null; }
