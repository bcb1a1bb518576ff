"""What VK has published about its API, to hold calls, answers and events against it: the folder `vk` of OMNILINE_SCHEMAS.

    schema = from_environment()
    if schema is not None:
        complaints = schema.of_event(event)          # empty: nothing is wrong with it

The files say `"required": true` inside a property and put `$ref` next to other words; neither means anything in Draft 7, so both are
rewritten on reading. In a few places VK says one thing there and does another; `CORRECTIONS` has each of them with its reason.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT7

Json = dict[str, Any]

ROOM = "OMNILINE_SCHEMAS"
COMMON = frozenset({"access_token", "v", "lang", "test_mode", "captcha_sid", "captcha_key"})
"""Parameters of every method, which the files do not list."""
MESSAGE_EVENTS = (
    "message_new message_reply message_edit message_allow message_deny message_typing_state message_read message_event "
    "message_reaction_event"
).split()
SHOWN_CHARS = 160


def _allow_message_event(callback: Json) -> None:
    # callback_message_event is there, and can be switched on, but the list of types has forgotten it.
    callback["callback_type"]["enum"].append("message_event")


def _allow_payload_object(callback: Json) -> None:
    # The button's payload comes back as the JSON that it is; the file says that it is a string.
    callback["callback_message_event"]["properties"]["payload"]["type"] = ["string", "object"]


def _allow_typing(callback: Json) -> None:
    # The state is named after what the person does; the file has only the numbers.
    callback["callback_message_typing_state"]["properties"]["state"]["enum"].append("typing")


def _allow_secondary(messages: Json) -> None:
    # The grey button: the file calls it by its old name alone.
    messages["messages_keyboard_button"]["properties"]["color"]["enum"].append("secondary")


def _allow_lasting_keyboard(messages: Json) -> None:
    # A keyboard that does not say so stays; an inline one has nothing to say.
    messages["messages_keyboard"]["properties"]["one_time"].pop("required", None)


def _allow_full_group(groups: Json) -> None:
    # groups_group_full is this and more; "nothing else" would forbid the more.
    groups["groups_group"].pop("additionalProperties", None)


CORRECTIONS: tuple[tuple[str, Callable[[Json], None]], ...] = (
    ("callback", _allow_message_event),
    ("callback", _allow_payload_object),
    ("callback", _allow_typing),
    ("messages", _allow_secondary),
    ("messages", _allow_lasting_keyboard),
    ("groups", _allow_full_group),
)
"""Where VK does otherwise than its file says: the folder, and what becomes of its definitions."""


@cache
def from_environment() -> Schema | None:
    """Return what OMNILINE_SCHEMAS has; None, and a line on standard error, if it is not set. It is read once a process."""
    folder = os.environ.get(ROOM)
    if not folder:
        print(f"{ROOM} is not set: nothing is held against the published schema of VK", file=sys.stderr)
        return None
    return Schema(Path(folder) / "vk")


class Schema:
    """Methods, objects, errors and events of the version in *folder*. Complaints are lists of sentences; empty: all is well."""

    def __init__(self, folder: Path) -> None:
        self._methods: dict[str, Json] = {}
        self._definitions: dict[str, Json] = {}
        resources = []
        for path in sorted(folder.glob("*/*.json")):
            content = json.loads(path.read_text("utf-8"))
            if path.name == "methods.json":
                self._methods |= {method["name"]: method for method in content["methods"]}
                continue
            definitions = content["definitions"]
            if path.name == "objects.json":
                for place, correct in CORRECTIONS:
                    if place == path.parent.name:
                        correct(definitions)
            rewritten = {name: _rewritten(definition) for name, definition in definitions.items()}
            self._definitions |= rewritten
            address = f"vk:{path.parent.name}/{path.name}"
            resources.append((address, DRAFT7.create_resource({"$id": address, "definitions": rewritten})))
        self._registry: Registry[Any] = Registry().with_resources(resources)
        errors = json.loads((folder / "errors.json").read_text("utf-8"))["errors"]
        self._sentences = {int(error["code"]): str(error["description"]) for error in errors.values()}
        self._validators: dict[str, Draft7Validator] = {}

    @property
    def event_names(self) -> list[str]:
        """What a community can be told of."""
        return list(self._definitions["groups_long_poll_events"]["properties"])

    def sentence(self, code: int) -> str:
        """Return what VK says with an error; empty: it does not know the code."""
        return self._sentences.get(code, "")

    def of_call(self, method: str, parameters: Mapping[str, str]) -> list[str]:
        """Complain of what a caller sent, all of it as the text that came over the wire."""
        if method not in self._methods:
            return [f"{method} is not a method"]
        known = {spec["name"]: spec for spec in self._methods[method].get("parameters", [])}
        found = [f"{method} has no parameter {name}" for name in parameters if name not in known.keys() | COMMON]
        for name, spec in known.items():
            if name in parameters:
                found += self._of_parameter(method, name, spec, parameters[name])
            elif spec.get("required"):
                found.append(f"{method} was called without {name}")
        return found

    def of_answer(self, method: str, parameters: Mapping[str, str], answer: Json) -> list[str]:
        """Complain of `{"response": ...}` to a call with *parameters*."""
        kinds = self._methods[method]["responses"]
        extended = parameters.get("extended") in {"1", "true"} and "extendedResponse" in kinds
        names = ["extendedResponse"] if extended else [name for name in kinds if name != "extendedResponse"]
        if method == "messages.send":
            names = ["userIdsResponse" if parameters.get("peer_ids") else "deprecatedResponse"]
        tried = [self._against(f"{method} {name}", _rewritten(kinds[name]), answer) for name in names]
        return min(tried, key=len)

    def of_error(self, error: Json) -> list[str]:
        """Complain of what is in `{"error": ...}`."""
        # Every object of a union bears its name in the files; on the wire an error does not.
        return self.of("base_error", {"inner_type": "base_error"} | error)

    def of_event(self, event: Json) -> list[str]:
        """Complain of an event of the long poll or the Callback API."""
        found = self.of("callback_base", event)
        kind = str(event.get("type"))
        name = {"message_reply": "callback_message", "message_edit": "callback_message"}.get(kind, f"callback_{kind}")
        if kind != "confirmation" and name in self._definitions:
            found += self.of(name, event.get("object"))
        return found

    def of(self, definition: str, value: object) -> list[str]:
        """Complain of *value* as the object that a file calls *definition*."""
        if definition not in self._definitions:
            return [f"nothing is called {definition}"]
        return self._against(definition, self._definitions[definition], value)

    def _of_parameter(self, method: str, name: str, spec: Json, text: str) -> list[str]:
        schema = {word: said for word, said in spec.items() if word not in {"name", "description", "required", "default"}}
        if "$ref" in schema and self._definitions.get(schema["$ref"].rpartition("/")[2], {}).get("type") == "object":
            del schema["type"]  # JSON in a string
            try:
                value = json.loads(text)
            except ValueError:
                return [f"{method}: {name} is not JSON"]
        else:
            value = _read(schema, text)
        return self._against(f"{method} {name}", _rewritten(schema), value)

    def _against(self, name: str, schema: Json, value: object) -> list[str]:
        if name not in self._validators:
            self._validators[name] = Draft7Validator(schema, registry=self._registry)
        try:
            return [f"{name}{error.json_path[1:]}: {_told(error)}" for error in self._validators[name].iter_errors(value)]
        except Unresolvable as error:
            return [f"{name}: the files here do not have {error.ref}"]


def _told(error: ValidationError) -> str:
    said = str(error.message)
    return said if len(said) <= SHOWN_CHARS else said[:SHOWN_CHARS] + "…"


def _rewritten(schema: Any) -> Any:
    """Return *schema* with `required` as lists, nothing next to `$ref`, and references that hold from anywhere."""
    if not isinstance(schema, dict):
        return schema
    made: Json = {}
    for word, said in schema.items():
        match word:
            case "properties":
                made[word] = {name: _rewritten(inner) for name, inner in said.items()}
                if needed := [name for name, inner in said.items() if inner.get("required") is True]:
                    made["required"] = needed
            case "allOf" | "oneOf" | "anyOf":
                made[word] = [_rewritten(inner) for inner in said]
            case "items":
                made[word] = _rewritten(said)
            case "$ref":
                made[word] = said.replace("../", "vk:", 1)
            case "type" | "enum" | "minimum" | "maximum" | "minLength" | "maxLength" | "minItems" | "maxItems" | "pattern":
                made[word] = said
            case "additionalProperties":
                made[word] = said
    if "$ref" in made and len(made) > 1:
        reference = {"$ref": made.pop("$ref")}
        return {"allOf": [reference, made]}
    return made


def _read(schema: Json, text: str) -> object:
    """Return the value that *text* stands for in a parameter; *text* itself if it stands for none."""
    kinds = schema.get("type", "string")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds:
        return [_read(schema.get("items", {}), part.strip()) for part in text.split(",")] if text else []
    if "integer" in kinds and re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if "boolean" in kinds:
        return {"0": False, "1": True, "false": False, "true": True}.get(text, text)
    if "number" in kinds:
        try:
            return float(text)
        except ValueError:
            return text
    return text
