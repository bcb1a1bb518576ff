"""What VK takes for a keyboard of a bot, and what it does not.

Ten rows of five, forty buttons in all; inline six rows, ten buttons. A payload is JSON of at most 255 characters, a label has 1 to 40.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

ROWS_MAX, BUTTONS_MAX = 10, 40
INLINE_ROWS_MAX, INLINE_BUTTONS_MAX = 6, 10
ROW_MAX = 5
PAYLOAD_MAX_CHARS = 255
LABEL_MAX_CHARS = 40
COLOURS = frozenset({"primary", "secondary", "positive", "negative", "default"})
LABELLED = frozenset({"text", "callback", "open_link", "open_app"})
KINDS = LABELLED | {"location", "vkpay", "open_photo"}


class NotAKeyboard(Exception):
    """VK refuses it; the text says why."""


def read(text: str) -> Json | None:
    """Return the keyboard in *text* as messages show it; None if it has no buttons, which takes the last one away.

    Raises NotAKeyboard.
    """
    try:
        told = json.loads(text)
    except ValueError as error:
        raise NotAKeyboard("it is not JSON") from error
    if not isinstance(told, dict) or not isinstance(told.get("buttons"), list):
        raise NotAKeyboard("it has no rows of buttons")
    inline, rows = bool(told.get("inline")), told["buttons"]
    if inline and told.get("one_time"):
        raise NotAKeyboard("an inline one cannot be for one time")
    if len(rows) > (INLINE_ROWS_MAX if inline else ROWS_MAX):
        raise NotAKeyboard(f"{len(rows)} rows are too many")
    if any(not isinstance(row, list) or not 0 < len(row) <= ROW_MAX for row in rows):
        raise NotAKeyboard(f"a row has 1 to {ROW_MAX} buttons")
    buttons = [button for row in rows for button in row]
    if len(buttons) > (INLINE_BUTTONS_MAX if inline else BUTTONS_MAX):
        raise NotAKeyboard(f"{len(buttons)} buttons are too many")
    for button in buttons:
        _check(button)
    if not buttons:
        return None
    return {"one_time": bool(told.get("one_time")), "inline": inline, "buttons": rows}


def _check(button: object) -> None:
    action = button.get("action") if isinstance(button, dict) else None
    if not isinstance(button, dict) or not isinstance(action, dict) or str(action.get("type")) not in KINDS:
        raise NotAKeyboard("a button has an action of a known type")
    if str(button.get("color", "default")) not in COLOURS:
        raise NotAKeyboard(f"{button['color']} is not a colour of buttons")
    label = action.get("label")
    if action["type"] in LABELLED and not (isinstance(label, str) and 0 < len(label) <= LABEL_MAX_CHARS):
        raise NotAKeyboard(f"a label has 1 to {LABEL_MAX_CHARS} characters")
    if action["type"] == "open_link" and not str(action.get("link", "")).startswith(("http://", "https://")):
        raise NotAKeyboard("a link begins with http")
    payload = action.get("payload", "{}")
    if not isinstance(payload, str) or len(payload) > PAYLOAD_MAX_CHARS:
        raise NotAKeyboard(f"a payload is text of at most {PAYLOAD_MAX_CHARS} characters")
    try:
        if payload:
            json.loads(payload)
    except ValueError as error:
        raise NotAKeyboard("a payload is JSON") from error
