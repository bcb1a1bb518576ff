"""Pictures made anew: the only ones that a console shows.

What customers send may be anything that calls itself a picture. A preview holds its pixels and nothing else: no metadata, no second
format hidden behind the first, no size that a browser chokes on. Formats that are programs (SVG) have none.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass

EDGE_MAX = 1_280
"""Pixels of a preview's longer side."""
AVATAR_EDGE = 160
PIXELS_MAX = 100_000_000
"""Of a picture that can be unfolded at a fraction of its size: a JPEG."""
PIXELS_WHOLE_MAX = 16_000_000
"""Of one that is unfolded whole: a bomb unfolds to more."""
BYTES_MAX = 25 * 1_048_576
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
MEDIA_TYPE = "image/webp"
_ONE_AT_A_TIME = threading.Lock()
"""Each may take a hundred megabytes."""
_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5
"""The EXIF tag of how a camera was held, and from which value on it lay on its side."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture in WebP; *width* and *height* are those of the original, in pixels."""

    body: bytes
    width: int
    height: int


def make(picture: bytes, edge: int = EDGE_MAX) -> Preview | None:
    """Return a preview of *picture*, its first frame turned as it was meant; None for what is no picture, or none that can be shown.

    Takes up to a second of one core: call it in a thread.
    """
    if not picture or len(picture) > BYTES_MAX:
        return None
    # Imported where it is needed: it takes ten megabytes, and most houses have no pictures.
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # counted here, before anything is unfolded: its own count only warns
    try:
        with _ONE_AT_A_TIME, Image.open(io.BytesIO(picture), formats=FORMATS) as image:
            width, height = image.size
            if width * height > (PIXELS_MAX if image.format == "JPEG" else PIXELS_WHOLE_MAX):
                return None
            if image.format == "JPEG":
                image.draft("RGB", (edge, edge))
                if image.size[0] * image.size[1] > PIXELS_WHOLE_MAX:
                    return None
            if image.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE:
                width, height = height, width
            clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            # Small first: everything after it costs nothing. Colours of a palette cannot be mixed.
            small = image.convert("RGBA" if clear else "RGB") if image.mode in ("P", "PA", "1") else image
            small.thumbnail((edge, edge))
            made = ImageOps.exif_transpose(small).convert("RGBA" if clear else "RGB")
            out = io.BytesIO()
            made.save(out, "WEBP", quality=82, method=2)
    except Exception:
        return None
    return Preview(out.getvalue(), width, height)
