"""What messages of the fake carry: pictures, documents, voice messages and the rest, and the bytes behind them.

Tests describe what a person attaches as JSON, `{"type": "photo", "content": "<base64>"}`; `Library.described` knows the words. What a
community uploads passes through `Library.upload` and `saved_photos` or `saved_file`, as it does at VK.
"""

from __future__ import annotations

import base64
import io
import json
import mimetypes
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from PIL import Image, UnidentifiedImageError

Json = dict[str, Any]

THUMBS = (("s", 75), ("m", 130), ("x", 604), ("y", 807), ("z", 1280))
"""Names of sizes, and the longest side of each; the picture itself has the first name that it fits in, else `w`."""
DOC_KINDS = (
    (1, "txt doc docx pdf xls xlsx rtf odt csv"),
    (2, "zip rar 7z gz tar"),
    (3, "gif"),
    (4, "jpg jpeg png bmp webp"),
    (5, "mp3 ogg wav m4a"),
    (6, "mp4 avi mov webm"),
    (7, "epub fb2 djvu"),
)
UNKNOWN_DOC = 8
FORBIDDEN_DOCS = frozenset({"exe", "apk", "bat", "com", "msi"})


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that can be fetched. *side*: what is fetched is the picture made to fit a square of so many pixels."""

    content: bytes
    name: str
    mime: str
    side: int = 0


@dataclass(frozen=True, slots=True)
class Attachment:
    """A thing a message carries. *stored*: what was uploaded, if it is a file."""

    kind: str
    body: Json
    stored: Stored | None = None

    @property
    def shown(self) -> Json:
        """As it stands in a message."""
        return {"type": self.kind, self.kind: self.body}

    @property
    def reference(self) -> str:
        """As a caller names it, without its key."""
        return f"{self.kind}{self.body.get('owner_id', 0)}_{self.body.get('id', 0)}"

    @property
    def seen(self) -> Json:
        """As a test wants to see it."""
        shown: Json = {"type": self.kind, "reference": self.reference, "body": self.body}
        if self.stored is not None:
            content = self.stored.content
            shown |= {"sha256": sha256(content).hexdigest(), "name": self.stored.name, "size": len(content)}
        return shown


@dataclass(slots=True)
class Upload:
    """What came to an upload address and is not saved yet."""

    kind: str
    owner_id: int
    files: list[Stored] = field(default_factory=list)


class NotAFile(Exception):
    """What was uploaded is not what the address is for; the text is VK's code for it."""


class Library:
    """Files and attachments of all communities. *base* is the fake's own address."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.files: dict[str, Stored] = {}
        self.docs: dict[str, str] = {}
        """Addresses of documents, each with the address it leads on to."""
        self.made: dict[str, Attachment] = {}
        self.uploads: dict[str, Upload] = {}
        self._last_id = 456_239_016

    def store(self, stored: Stored) -> str:
        """Keep bytes; return their address."""
        key = secrets.token_urlsafe(12)
        self.files[key] = stored
        return f"{self.base}/files/{key}"

    def described(self, told: Json, owner_id: int, date: int) -> Attachment:
        """Return what a person attaches. Raises ValueError for a description that says nothing known."""
        content = base64.b64decode(told.get("content", ""))
        match told.get("type"):
            case "photo":
                return self.photo(owner_id, content or drawn(), date, told.get("text", ""), told.get("name", "photo.png"))
            case "doc":
                return self.doc(owner_id, content, told.get("name", "file.bin"), date)
            case "audio_message":
                return self.audio_message(owner_id, content, told.get("duration", 1), told.get("transcript", ""))
            case "graffiti":
                size = {"width": 64, "height": 48}
                stored = Stored(content or drawn(), "graffiti.png", "image/png")
                return self._keep("graffiti", {"owner_id": owner_id, "url": self.store(stored)} | size, stored)
            case "video":
                video = {"title": told.get("title", "Video"), "duration": told.get("duration", 10), "date": date, "type": "video"}
                video |= {"owner_id": owner_id, "can_add": 1, "views": 1, "description": told.get("description", "")}
                return self._keep("video", video | {"image": [self._image(320)]})
            case "sticker":
                sticker = {"inner_type": "base_sticker_new", "sticker_id": told.get("sticker_id", 9008), "product_id": 279}
                pictures = [self._image(side) for side in (64, 128, 256)]
                return Attachment(
                    "sticker", sticker | {"images": pictures, "images_with_background": pictures, "is_allowed": True}
                )
            case "link":
                said = {"url": told["url"], "title": told.get("title", ""), "caption": told.get("caption", "")}
                return Attachment("link", said | {"description": told.get("description", ""), "is_favorite": False})
            case "wall":
                post = {"inner_type": "wall_wallpost", "text": told.get("text", ""), "date": date, "post_type": "post"}
                author = told.get("from_id", owner_id)
                return self._keep("wall", post | {"owner_id": author, "from_id": author, "to_id": author})
            case "market":
                return self._keep("market", _goods(told, owner_id))
            case "raw":
                return Attachment(told["kind"], told["body"])
            case kind:
                raise ValueError(f"nothing attached is called {kind}")

    def photo(self, owner_id: int, content: bytes, date: int, text: str = "", name: str = "photo.png") -> Attachment:
        """Return a picture. Raises NotAFile if it is none."""
        try:
            with Image.open(io.BytesIO(content)) as picture:
                width, height = picture.size
                mime = Image.MIME[picture.format or "PNG"]
        except (UnidentifiedImageError, OSError) as error:
            raise NotAFile("ERR_UPLOAD_BAD_IMAGE_SIZE") from error
        stored = Stored(content, name, mime)
        sizes = []
        longest = max(width, height)
        for letter, side in THUMBS:
            if side >= longest:
                break
            small = Stored(content, name, mime, side)
            scale = side / longest
            shape = {"width": max(1, round(width * scale)), "height": max(1, round(height * scale))}
            sizes.append({"type": letter, "url": self.store(small)} | shape)
        letter = next((letter for letter, side in THUMBS if side >= longest), "w")
        sizes.append({"type": letter, "url": self.store(stored), "width": width, "height": height})
        body = {"album_id": -3, "date": date, "owner_id": owner_id, "text": text, "has_tags": False, "sizes": sizes}
        return self._keep("photo", body, stored)

    def doc(self, owner_id: int, content: bytes, name: str, date: int) -> Attachment:
        """Return a document."""
        suffix = name.rpartition(".")[2].lower() if "." in name else ""
        kind = next((number for number, suffixes in DOC_KINDS if suffix in suffixes.split()), UNKNOWN_DOC)
        stored = Stored(content, name, mimetypes.guess_type(name)[0] or "application/octet-stream")
        body = {"owner_id": owner_id, "title": name, "size": len(content), "ext": suffix, "date": date, "type": kind}
        made = self._keep("doc", body, stored)
        # A document's address is a page that leads to the file, somewhere else.
        path = f"{made.reference}?hash={secrets.token_hex(8)}"
        self.docs[made.reference] = self.store(stored)
        body["url"] = f"{self.base}/{path}"
        return made

    def audio_message(self, owner_id: int, content: bytes, duration: int, transcript: str = "") -> Attachment:
        """Return a voice message."""
        stored = Stored(content, "voice.ogg", "audio/ogg")
        url = self.store(stored)
        body = {"owner_id": owner_id, "duration": duration, "link_mp3": url, "link_ogg": url, "waveform": [0, 8, 31, 8] * 16}
        if transcript:
            body |= {"transcript_state": "done", "transcript": transcript}
        return self._keep("audio_message", body, stored)

    def upload_address(self, kind: str, owner_id: int) -> str:
        """Return where a community may bring a file of *kind*."""
        key = secrets.token_urlsafe(9)
        self.uploads[key] = Upload(kind, owner_id)
        return f"{self.base}/upload/{key}"

    def uploaded(self, key: str, files: list[tuple[str, Stored]]) -> Json:
        """Return the answer to *files*, each under the name of its form field, brought to the address of *key*."""
        upload = self.uploads[key]
        if upload.kind == "photo":
            pictures = [stored for name, stored in files if name.startswith(("photo", "file")) and _is_picture(stored.content)]
            told = [{"photo": secrets.token_hex(5), "sizes": []} for _ in pictures]
            answer: Json = {"server": 851_216, "photo": json.dumps(told), "hash": secrets.token_hex(16)}
            self.uploads[answer["photo"] + answer["hash"]] = Upload("photo", upload.owner_id, pictures)
            return answer
        found = [stored for name, stored in files if name == "file"]
        if not found or not found[0].content:
            return {"error": "no_file", "error_descr": "no file"}
        if upload.kind == "audio_message" and not found[0].content.startswith(b"OggS"):
            return {"error": "unknown_error", "error_descr": "not an Opus file"}
        if found[0].name.rpartition(".")[2].lower() in FORBIDDEN_DOCS:
            return {"error": "wrong_file_type", "error_descr": "a file of this kind is not taken"}
        token = f"{upload.owner_id}|0|0|{secrets.token_hex(12)}"
        self.uploads[token] = Upload(upload.kind, upload.owner_id, found[:1])
        return {"file": token}

    def saved_photos(self, photo: str, key: str, date: int) -> list[Attachment]:
        """Return what was brought with the answer that held *photo* and *key*. Raises LookupError if nothing was."""
        upload = self.uploads.pop(photo + key)
        return [self.photo(upload.owner_id, stored.content, date, name=stored.name) for stored in upload.files]

    def saved_file(self, token: str, title: str, date: int) -> Attachment:
        """Return what was brought under *token*. Raises LookupError if nothing was."""
        upload = self.uploads.pop(token)
        stored = upload.files[0]
        if upload.kind == "audio_message":
            return self.audio_message(upload.owner_id, stored.content, 1)
        return self.doc(upload.owner_id, stored.content, title or stored.name, date)

    def fetched(self, key: str) -> Stored | None:
        """Return the bytes at the end of an address of ours."""
        stored = self.files.get(key)
        if stored is None or not stored.side:
            return stored
        with Image.open(io.BytesIO(stored.content)) as picture:
            picture.thumbnail((stored.side, stored.side))
            small = io.BytesIO()
            picture.save(small, picture.format or "PNG")
        return Stored(small.getvalue(), stored.name, stored.mime)

    def _image(self, side: int) -> Json:
        stored = Stored(drawn(side, side), f"{side}.png", "image/png")
        return {"url": self.store(stored), "width": side, "height": side}

    def _keep(self, kind: str, body: Json, stored: Stored | None = None) -> Attachment:
        self._last_id += 1
        body |= {"id": self._last_id, "access_key": secrets.token_hex(9)}
        made = Attachment(kind, body, stored)
        self.made[made.reference] = made
        return made


def drawn(width: int = 64, height: int = 48) -> bytes:
    """Return a PNG of some colour; no two of them are alike."""
    picture = io.BytesIO()
    Image.frombytes("RGB", (2, 1), secrets.token_bytes(6)).resize((width, height)).save(picture, "PNG")
    return picture.getvalue()


def _is_picture(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return picture.format in {"PNG", "JPEG", "GIF"}
    except (UnidentifiedImageError, OSError):
        return False


def _goods(told: Json, owner_id: int) -> Json:
    price = {"amount": str(told.get("price", 100) * 100), "text": f"{told.get('price', 100)} ₽"}
    return {
        "owner_id": owner_id,
        "title": told.get("title", "Goods"),
        "description": told.get("description", "Goods that somebody asks about"),
        "availability": 0,
        "category": {"inner_type": "market_market_category_nested", "id": 1, "name": "Other"},
        "price": price | {"currency": {"id": 643, "name": "RUB", "title": "₽"}},
    }
