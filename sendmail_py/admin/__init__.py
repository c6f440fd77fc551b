"""The rich front door: the sendmail-py command for people. May import: any room but commands."""
