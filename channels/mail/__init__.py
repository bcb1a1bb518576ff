"""Mailboxes: letters are read from IMAP, answered by SMTP, and kept together by a token of the conversation."""
