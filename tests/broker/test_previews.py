"""Pictures made anew: what is shown is pixels and nothing else, whatever a stranger has sent."""

from __future__ import annotations

import io
import zlib
from typing import Any

import pytest
from PIL import Image

from broker import previews
from broker.previews import AVATAR_EDGE, EDGE_MAX, Preview, make

_ORIENTATION, _ARTIST = 0x0112, 0x013B


def saved(image: Image.Image, format_: str, **more: Any) -> bytes:
    """Return *image* as a file."""
    out = io.BytesIO()
    image.save(out, format_, **more)
    return out.getvalue()


def shown(picture: bytes, edge: int = EDGE_MAX) -> tuple[Preview, Image.Image]:
    """Return the preview of *picture*, and what it looks like."""
    preview = make(picture, edge)
    assert preview is not None
    image = Image.open(io.BytesIO(preview.body))
    image.load()
    return preview, image


def two_halves(width: int = 40, height: int = 20) -> Image.Image:
    """Return a picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (width, height), "red")
    image.paste((0, 0, 255), (width // 2, 0, width, height))
    return image


def turned(orientation: int) -> bytes:
    """Return a photo whose camera was held otherwise."""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    exif[_ARTIST] = "who took it"
    return saved(two_halves(), "JPEG", exif=exif, quality=95)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_picture_has_a_preview_of_its_own_making(format_: str):
    """WebP whatever it was, with the size of the original."""
    preview, image = shown(saved(two_halves(), format_))

    assert ("WEBP", (40, 20), 40, 20) == (image.format, image.size, preview.width, preview.height)


@pytest.mark.parametrize(
    ("orientation", "left", "top", "size"),
    [(1, "red", "", (40, 20)), (3, "blue", "", (40, 20)), (6, "", "red", (20, 40)), (8, "", "blue", (20, 40))],
)
def test_a_photo_stands_as_it_was_meant(orientation: int, left: str, top: str, size: tuple[int, int]):
    """A camera writes down how it was held; a browser is not asked to turn it."""
    _, image = shown(turned(orientation))

    red, _, blue = image.convert("RGB").getpixel((2, 2))  # type: ignore[misc]
    assert (size, (left or top) == "red") == (image.size, red > blue)


def test_the_size_is_that_of_the_picture_as_it_stands():
    """Of a photo that was turned, too."""
    preview, image = shown(turned(6))

    assert image.size == (preview.width, preview.height)


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_what_is_clear_stays_clear(mode: str):
    """A sticker has no black box around it."""
    clear = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 20, 20))
    _, image = shown(saved(clear.convert(mode), "PNG", **({"transparency": 0} if mode == "P" else {})))

    assert "RGBA" == image.mode
    assert 0 in {image.getpixel((2, 2))[3], image.getpixel((38, 18))[3]}  # type: ignore[index]


def test_of_what_moves_the_first_picture_is_shown():
    """It stands still, and is small."""
    frames = [Image.new("RGB", (40, 20), colour) for colour in ("red", "blue", "lime")]
    _, image = shown(saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100))

    assert 1 == getattr(image, "n_frames", 1)
    assert image.convert("RGB").getpixel((5, 5))[0] > 200  # type: ignore[index]


@pytest.mark.parametrize(("edge", "size"), [(EDGE_MAX, (1_280, 640)), (AVATAR_EDGE, (160, 80))])
def test_a_large_picture_becomes_a_small_one(edge: int, size: tuple[int, int]):
    """Its longer side is as long as may be, and its shape stays; its own size is told."""
    preview, image = shown(saved(Image.new("RGB", (3_000, 1_500)), "JPEG"), edge)

    assert (size, 3_000, 1_500) == (image.size, preview.width, preview.height)


def test_a_preview_says_nothing_of_who_made_the_picture():
    """Neither where it was taken, nor with what."""
    _, image = shown(turned(1))

    assert {} == dict(image.getexif())


def test_a_preview_holds_nothing_of_the_stranger_but_pixels():
    """A colour profile is bytes that a stranger chose, as many as they like."""
    preview, image = shown(saved(two_halves(), "PNG", icc_profile=b"hidden" * 1_000))

    assert (False, None) == (b"hidden" in preview.body, image.info.get("icc_profile"))


def half(picture: bytes) -> bytes:
    """Return the first half of a file."""
    return picture[: len(picture) // 2]


def png_that_says(width: int, height: int) -> bytes:
    """Return a PNG that says it is so large, and has hardly any pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    head = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "picture",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage",
        saved(two_halves(), "ICO"),
        half(saved(Image.effect_noise((200, 200), 90), "JPEG")),
        saved(Image.new("1", (8_000, 7_000)), "PNG"),
        png_that_says(2**31 - 1, 2**31 - 1),
        png_that_says(0, 5),
    ],
    ids=["nothing", "text", "svg", "postscript", "icon", "truncated", "bomb", "huge", "flat"],
)
def test_what_is_no_picture_has_none(picture: bytes):
    """A program, half a picture, one that unfolds to more than fits: nothing is shown, and nobody fails."""
    assert make(picture) is None


def test_a_file_that_is_too_large_is_not_looked_at():
    """By its bytes, before anything is read of it."""
    picture = saved(two_halves(), "PNG")
    room = previews.BYTES_MAX - len(picture)

    assert make(picture + b"\0" * room) is not None
    assert make(picture + b"\0" * (room + 1)) is None


def test_the_same_picture_has_the_same_preview():
    """It is kept once."""
    picture = saved(two_halves(), "PNG")

    assert make(picture) == make(picture)
