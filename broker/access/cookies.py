"""The login's cookie: over https `__Host-omniline`, Secure; over plain http, which only this machine itself may use, `omniline`.

Two names, so that a cookie set over plain http is never taken for one that came by TLS.
"""

from __future__ import annotations

from datetime import timedelta

SECURE_NAME = "__Host-omniline"
PLAIN_NAME = "omniline"


def token_in(header: str, *, secure: bool) -> str | None:
    """Return the token in a Cookie *header*; None when there is none, or two that differ."""
    name = _name(secure)
    found = {
        value.strip()
        for key, separator, value in (part.partition("=") for part in header.split(";"))
        if separator and key.strip() == name
    }
    return found.pop() or None if len(found) == 1 else None


def set_cookie(token: str, lasts: timedelta, *, secure: bool) -> str:
    """Return the Set-Cookie header that gives *token* to the browser."""
    return f"{_name(secure)}={token}; Path=/; Max-Age={int(lasts.total_seconds())}; HttpOnly; SameSite=Strict{_flag(secure)}"


def clear_cookie(*, secure: bool) -> str:
    """Return the Set-Cookie header that takes the token away."""
    return f"{_name(secure)}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{_flag(secure)}"


def _name(secure: bool) -> str:
    return SECURE_NAME if secure else PLAIN_NAME


def _flag(secure: bool) -> str:
    return "; Secure" if secure else ""
