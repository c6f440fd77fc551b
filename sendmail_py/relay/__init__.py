"""From the spool to the smart host over SMTP. May import: mail, policy, spool, the floor."""
