"""What is wrong with a document, said so that its author can repair it: which key, what was given, what is allowed.

One voice for the configuration, `apply` and REST: the errors of pydantic come in, (place, sentence) pairs go out. What a channel is
given as its settings is read here too, for every kind of channel alike.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel

from broker.errors import BadInput

S = TypeVar("S")

GIVEN_MAX = 60
"""Characters of a wrong value that are shown."""
_SECRET = ("password", "token", "secret", "url", "endpoint")


def complaints(errors: Iterable[Mapping[str, Any]], model: object = None) -> list[tuple[str, str]]:
    """Return (dotted place, sentence) for each of pydantic's *errors*; with *model* an unknown key has its nearest known one."""
    return [_complaint(error, model) for error in errors]


def unknown(key: str, known: Iterable[str]) -> str:
    """Return the sentence about a *key* nobody knows, with the nearest one that is known."""
    candidates = list(known)
    nearest = difflib.get_close_matches(key, candidates, n=1, cutoff=0.6)
    if nearest:
        return f"{key} is not known; did you mean {nearest[0]}?"
    return f"{key} is not known; known are {', '.join(sorted(candidates))}" if candidates else f"{key} is not known"


def channel_settings(given: Mapping[str, Any], kind: type[S]) -> S:
    """Return *given* as the settings of a channel, of the dataclass *kind*. Raises BadInput naming the key that is not known."""
    known = keys_of(kind)
    for key in given:
        if key not in known:
            raise BadInput(unknown(key, known), field=f"settings.{key}")
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        _, _, place = str(error).partition(" - at `$.")
        field = f"settings.{place.rstrip('`')}".rstrip(".")
        raise BadInput(f"channel settings: {error}", field=field) from None


def keys_of(model: object) -> dict[str, Any]:
    """Return the fields of a pydantic model or a dataclass with their types; nothing for other types."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        return typing.get_type_hints(model)
    return {}


def _complaint(error: Mapping[str, Any], model: object) -> tuple[str, str]:
    location: Sequence[int | str] = error["loc"]
    place = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        return place, unknown(str(location[-1]), keys_of(_model_at(model, location[:-1])))
    if error["type"] == "missing":
        return place, "it must be given"
    # Our own sentences come as ValueError; pydantic puts its words in front.
    wrong = str(error["msg"]).removeprefix("Value error, ")
    if isinstance(error.get("input"), (str, int, float, bool)) and not any(word in place.lower() for word in _SECRET):
        return place, f"{str(error['input'])[:GIVEN_MAX]!r} is not allowed: {_lower(wrong)}"
    return place, _lower(wrong)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:] if sentence.startswith("Input ") else sentence


def _model_at(model: object, path: Sequence[int | str]) -> object:
    """Follow *path* through the fields' types to the model that has no such key."""
    for part in path:
        fields = _only_model(model)
        model = keys_of(fields).get(str(part)) if keys_of(fields) else _value_type(fields)
    return _only_model(model)


def _only_model(hint: object) -> object:
    """Return the one model among the members of an optional or annotated type."""
    if typing.get_origin(hint) is typing.Annotated:
        return _only_model(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next((found for member in typing.get_args(hint) if keys_of(found := _only_model(member))), None)
    return hint


def _value_type(hint: object) -> object:
    """Return what a dict or a sequence of the type *hint* holds."""
    arguments = [argument for argument in typing.get_args(hint) if argument is not Ellipsis]
    return arguments[-1] if arguments else None
