"""The widget's style sheets: what they promise a host page and its visitors. (vitest gives an empty text for a style sheet.)"""

import re
from pathlib import Path

import pytest

WIDGET = Path(__file__).parents[3] / "web/widget"
PANEL = (WIDGET / "app/panel.css").read_text()
BUTTON = (WIDGET / "button.css").read_text()


def test_a_sites_own_variables_do_not_come_in():
    """Variables pass into a shadow root: every one we use we set ourselves, or its name begins with ours."""
    used = re.findall(r"var\((--[\w-]+)", PANEL + BUTTON)
    ours = set(re.findall(r"^ +(--[\w-]+):", PANEL, re.MULTILINE))

    assert used
    assert [name for name in used if name not in ours and not name.startswith("--omniline-")] == []


def test_the_keyboard_goes_round_where_the_panel_covers_the_page():
    """The script that keeps Tab inside the panel asks for the same screens as the style sheet."""
    (covers,) = re.findall(r'COVERS = "(.+)"', (WIDGET / "app/focus.ts").read_text())

    assert f"@media{covers}{{" in PANEL.replace(" ", "")


@pytest.mark.parametrize("sheet", [PANEL, BUTTON])
def test_nothing_moves_by_itself(sheet):
    """Nobody has to ask for stillness: there is no animation to be reduced."""
    assert sheet
    assert not re.search(r"\b(animation|transition|scroll-behavior)\b", sheet)
