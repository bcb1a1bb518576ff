"""Whether a program wrote a letter: then no program answers it (RFC 3834)."""

from __future__ import annotations

import re

from channels.mail.letters import Mail

_ROBOT = re.compile(
    r"(?:mailer-daemon|mail-daemon|postmaster|(?:do-?not|no|не)[-_.]?(?:reply|otvechat)(?:[-_.+].*)?|noreply.*|.*[-_.](?:noreply|no-reply|donotreply)"
    r"|bounces?(?:[-_+.=].*)?|.*-bounces?|(?:owner|majordomo|listserv|mailman)(?:-.*)?|.*-(?:request|owner|confirm)|nobody|autoreply|auto-reply|robot|daemon)\Z",
    re.IGNORECASE,
)
_SUPPRESSED = ("all", "oof", "autoreply")


def is_robot(mail: Mail) -> str:
    """Return why *mail* may not be answered by a program, "" when it may."""
    signs = mail.signs
    if mail.bounce is not None:
        return "it reports that a letter was not delivered"
    if signs.report_type:
        return f"it is a report: {signs.report_type}"
    if signs.auto_submitted and signs.auto_submitted.split(";")[0].strip() != "no":
        return f"Auto-Submitted: {signs.auto_submitted}"
    if signs.precedence in {"bulk", "junk", "list", "auto_reply", "auto-reply"}:
        return f"Precedence: {signs.precedence}"
    if any(word in signs.x_auto_response_suppress for word in _SUPPRESSED):
        return f"X-Auto-Response-Suppress: {signs.x_auto_response_suppress}"
    if signs.x_autoreply and signs.x_autoreply != "no":
        return "X-Autoreply, X-Autorespond or X-Autoresponder"
    if signs.list_id:
        return "List-Id: it came through a mailing list"
    if signs.list_unsubscribe:
        return "List-Unsubscribe: it is a mass mailing"
    if signs.return_path == "":
        return "Return-Path: <>, it wants no answer"
    for address in (mail.sender.address if mail.sender else "", mail.from_.address):
        if _ROBOT.match(address.partition("@")[0]):
            return f"its sender is a program: {address.partition('@')[0].lower()}"
    if not mail.from_.address:
        return "it does not say who sent it"
    return ""
