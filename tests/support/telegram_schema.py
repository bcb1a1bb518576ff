"""What Telegram has published about its Bot API, to hold calls, results and updates against it: `telegram` of OMNILINE_SCHEMAS.

    schema = from_environment()
    if schema is not None:
        complaints = schema.of("Update", update)          # empty: nothing is wrong with it

The file knows names, types and what is required. Some fields have one value only ("always", "must be"); it is in their description.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOM = "OMNILINE_SCHEMAS"
NAME = "bot-api-10.1.json"
ATTACHED = "attach://"
_ARRAY = "Array of "
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
_ONLY = re.compile(r"(?:always|must be) [\"“]?(\w+)")
_TELLS_APART = frozenset({"type", "status", "source"})


@cache
def from_environment() -> Schema | None:
    """Return what OMNILINE_SCHEMAS has; None, and a line on standard error, if it is not set. It is read once a process."""
    folder = os.environ.get(ROOM)
    if not folder:
        print(f"{ROOM} is not set: nothing is held against the published schema of Telegram", file=sys.stderr)
        return None
    return Schema(Path(folder) / "telegram" / NAME)


class Schema:
    """Methods and types of the version at *path*. Complaints are lists of sentences; empty: all is well."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text("utf-8"))
        self.version = str(content["version"])
        self._methods: dict[str, Json] = content["methods"]
        self._types: dict[str, Json] = content["types"]
        self._names = {name.lower(): name for name in self._methods}

    @property
    def update_kinds(self) -> frozenset[str]:
        """What a bot can be told of."""
        return frozenset(field["name"] for field in self._types["Update"]["fields"]) - {"update_id"}

    @property
    def reactions(self) -> frozenset[str]:
        """The emojis that a message can be reacted with."""
        fields = {field["name"]: field for field in self._types["ReactionTypeEmoji"]["fields"]}
        return frozenset(re.findall(r"[\"“]([^\"”]+)[\"”]", fields["emoji"]["description"]))

    def knows(self, method: str) -> bool:
        """Return whether there is such a method, in whatever case."""
        return method.lower() in self._names

    def of_call(self, method: str, given: Mapping[str, object], files: Collection[str] = ()) -> list[str]:
        """Complain of a call with the parameters *given*, which are text if they came in a form, and uploads of the names *files*."""
        name = self._names.get(method.lower())
        if name is None:
            return [f"{method} is not a method"]
        fields = {field["name"]: field for field in self._methods[name].get("fields", [])}
        found = [f"{name} has no parameter {parameter}" for parameter in given if parameter not in fields]
        uploads = {field for field, spec in fields.items() if field in files and "InputFile" in spec["types"]}
        attached: set[str] = set()
        for parameter, spec in fields.items():
            if parameter in given:
                read = _read_all(spec["types"], given[parameter])
                found += self._of_any(f"{name} {parameter}", spec["types"], read)
                attached |= {text for value in read.values() for text in _attached(value)}
            elif spec["required"] and parameter not in uploads:
                found.append(f"{name} was called without {parameter}")
        found += [f"{name} speaks of the upload {upload}, which is not there" for upload in sorted(attached - set(files))]
        found += [
            f"{name} came with the upload {upload}, of which it does not speak"
            for upload in files
            if upload not in uploads | attached
        ]
        return found

    def of_result(self, method: str, result: object) -> list[str]:
        """Complain of what a call is answered with."""
        kinds = self._methods[self._names[method.lower()]]["returns"]
        return self._of_any(f"{method} returns", kinds, dict.fromkeys(kinds, result))

    def of(self, kind: str, value: object, path: str = "") -> list[str]:
        """Complain of *value* as what the page calls *kind*: `Integer`, `Array of Update`, `Message`."""
        path = path or kind
        if kind.startswith(_ARRAY):
            if not isinstance(value, list):
                return [f"{path} is {_shown(value)}, not an array"]
            inner = kind.removeprefix(_ARRAY)
            return [complaint for place, item in enumerate(value) for complaint in self.of(inner, item, f"{path}[{place}]")]
        match kind:
            case "Integer":
                fits = isinstance(value, int) and not isinstance(value, bool)
            case "Float":
                fits = isinstance(value, int | float) and not isinstance(value, bool)
            case "String" | "InputFile":
                fits = isinstance(value, str)
            case "Boolean":
                fits = isinstance(value, bool)
            case _:
                return self._of_object(kind, value, path)
        return [] if fits else [f"{path} is {_shown(value)}, not of the type {kind}"]

    def _of_object(self, kind: str, value: object, path: str) -> list[str]:
        known = self._types[kind]
        if "subtypes" in known:
            kinds = [name for name in known["subtypes"] if self._may_be(name, value)] or known["subtypes"]
            return self._of_any(path, kinds, dict.fromkeys(kinds, value))
        if not isinstance(value, dict):
            return [f"{path} is {_shown(value)}, not of the type {kind}"]
        fields = {field["name"]: field for field in known.get("fields", [])}
        found = [f"{path} has {name}, which {kind} does not" for name in value if name not in fields]
        for name, spec in fields.items():
            if name in value:
                found += self._of_any(f"{path}.{name}", spec["types"], dict.fromkeys(spec["types"], value[name]))
                if (only := _only(spec)) is not None and value[name] != only:
                    found.append(f"{path}.{name} is {_shown(value[name])}, not {only}")
            elif spec["required"]:
                found.append(f"{path} has no {name}")
        return found

    def _may_be(self, kind: str, value: object) -> bool:
        """Return whether what tells the types of a union apart speaks for *kind*."""
        if not isinstance(value, dict):
            return kind == "String" if isinstance(value, str) else kind.startswith(_ARRAY)
        if kind not in self._types:
            return False
        only = {field["name"]: _only(field) for field in self._types[kind].get("fields", [])}
        return all(said is None or value.get(name) == said for name, said in only.items())

    def _of_any(self, path: str, kinds: Sequence[str], values: Mapping[str, object]) -> list[str]:
        """Complain of the value as that of *kinds* which it comes closest to."""
        return min((self.of(kind, values[kind], path) for kind in kinds), key=len)


def _only(field: Json) -> str | None:
    if field["name"] not in _TELLS_APART:
        return None
    found = _ONLY.search(field["description"])
    return found[1] if found else None


def _read_all(kinds: Sequence[str], given: object) -> dict[str, object]:
    return {kind: _read(kind, given) for kind in kinds}


def _read(kind: str, given: object) -> object:
    """Return what *given* stands for as a parameter; itself if that is nothing."""
    if not isinstance(given, str) or kind in {"String", "InputFile"}:
        return given
    if kind == "Boolean":
        return True if given.lower() in _TRUE else False if given.lower() in _FALSE else given
    try:
        return json.loads(given)
    except ValueError:
        return given


def _attached(value: object) -> Iterator[str]:
    match value:
        case str() if value.startswith(ATTACHED):
            yield value.removeprefix(ATTACHED)
        case list():
            for item in value:
                yield from _attached(item)
        case dict():
            for item in value.values():
                yield from _attached(item)


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:80] + "…"
