"""``python -m tests.tools.generated [--check]``: write what is made from other sources, or say that it is out of date.

The browser side knows the frames of the two sockets by TypeScript made from the msgspec structs that the server speaks:

    channels/widget/frames.py   →   web/shared/frames/visitor.ts
    operators/frames.py         →   web/shared/frames/operator.ts

Administrators know the numbers of `/metrics` by the table in docs/monitoring.md, made from broker/metrics.py.

A struct becomes an interface, also one of another module that a frame has in it; a union of structs a union told apart by `t`, a named
Literal a type of its name, an enum its values. A field with a default is optional: the server leaves defaults out, and so may the
browser; the default stands in the comment.
"""

from __future__ import annotations

import argparse
import ast
import enum
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "web/shared/frames/visitor.ts": "channels.widget.frames",
    "web/shared/frames/operator.ts": "operators.frames",
}
METRICS = "docs/monitoring.md"
METRICS_BEGIN, METRICS_END = "<!-- from broker/metrics.py -->\n", "<!-- to here -->\n"
PLAIN = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
WIDTH = 120


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them with ``--check``; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.generated", description="Write generated files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    check = parser.parse_args(arguments).check
    stale = 0
    made = {name: (source, TypeScript(importlib.import_module(source)).module()) for name, source in SOURCES.items()}
    made[METRICS] = ("broker.metrics", metrics_page((ROOT / METRICS).read_text(encoding="utf-8")))
    for name, (source, text) in made.items():
        path = ROOT / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"{name} is not what {source} says; run: python -m tests.tools.generated")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return 1 if check and stale else 0


def families() -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Yield what `/metrics` may show, by name: each family (name, type, documentation) and its labels."""
    from broker.metrics import REGISTRY

    # The registry tells only what has been counted; labels that nobody has used yet are with the collectors.
    registry: Any = REGISTRY
    for collector in sorted(registry._collector_to_names, key=lambda one: str(one._name)):
        (family,) = collector.describe()
        yield family, collector._labelnames


def metrics_page(page: str) -> str:
    """Return *page* with the table of what `/metrics` shows as it is now."""
    rows = ["| name | kind | labels | what |", "|---|---|---|---|"]
    for family, names in families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in names)
        rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    before, rest = page.split(METRICS_BEGIN)
    return before + METRICS_BEGIN + "\n".join(rows) + "\n" + METRICS_END + rest.split(METRICS_END)[1]


class TypeScript:
    """One Python module of frames, said in TypeScript."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module = module
        own = [(name, value) for name, value in vars(module).items() if not name.startswith("_")]
        self._structs: list[type[msgspec.Struct]] = []
        for _, value in own:
            if is_struct(value) and value.__module__ == module.__name__:
                self._add(value)
        self._unions = [(name, value) for name, value in own if isinstance(value, types.UnionType)]
        self._literals = {typing.get_args(value): name for name, value in own if typing.get_origin(value) is Literal}
        sources = {struct.__module__ for struct in self._structs}
        self._field_notes = dict(note for name in sources for note in field_notes(inspect.getsource(sys.modules[name])))

    def module(self) -> str:
        """Return the whole text of the TypeScript module."""
        parts = [self._header()]
        parts += [f"export type {name} = {literal(values)};" for values, name in self._literals.items()]
        parts += [self._interface(struct) for struct in self._structs]
        parts += [self._union(name, union) for name, union in self._unions]
        return "\n\n".join(parts) + "\n"

    def _add(self, struct: type[msgspec.Struct]) -> None:
        """Add *struct*, and before it what its fields have of other modules."""
        for field in msgspec.structs.fields(struct):
            for part in parts_of(field.type):
                if is_struct(part) and part.__module__ != self._module.__name__ and part not in self._structs:
                    self._add(part)
        self._structs.append(struct)

    def _header(self) -> str:
        path = self._module.__name__.replace(".", "/") + ".py"
        return (
            f"// Made from {path} by `python -m tests.tools.generated`. Do not edit: change the source and run it again.\n"
            "//\n"
            "// A field with a default is optional: whoever sends leaves the default out."
        )

    def _interface(self, struct: type[msgspec.Struct]) -> str:
        lines = [comment(inspect.getdoc(struct) or "", ""), f"export interface {struct.__name__} {{"]
        tag = struct.__struct_config__.tag
        if tag is not None:
            lines.append(f"  {struct.__struct_config__.tag_field}: {json.dumps(tag)};")
        for field in msgspec.structs.fields(struct):
            note = self._field_notes.get((struct.__name__, field.name), "")
            if not field.required:
                note = f"{note} Default: {default_of(field)}.".strip()
            if note:
                lines.append(comment(note, "  "))
            lines.append(f"  {field.encode_name}{'' if field.required else '?'}: {self._type(field.type)};")
        return "\n".join([*filter(None, lines), "}"])

    def _union(self, name: str, union: types.UnionType) -> str:
        members = [member.__name__ for member in typing.get_args(union)]
        line = f"export type {name} = {' | '.join(members)};"
        if len(line) <= WIDTH:
            return line
        return "\n".join([f"export type {name} =", *(f"  | {member}" for member in members)]) + ";"

    def _type(self, hint: Any) -> str:
        if hint in PLAIN:
            return PLAIN[hint]
        if is_struct(hint):
            return str(hint.__name__)
        if isinstance(hint, type) and issubclass(hint, enum.Enum):
            return literal(tuple(str(member.value) for member in hint))
        origin, of = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self._type(of[0])
        if origin is Literal:
            return self._literals.get(of) or literal(of)
        if origin in {types.UnionType, typing.Union}:
            return " | ".join(self._type(member) for member in of)
        if origin is list or (origin is tuple and of[1:] == (Ellipsis,)):
            member = self._type(of[0])
            return f"({member})[]" if " | " in member else f"{member}[]"
        if origin is dict and self._type(of[0]) == "string":
            return f"Record<string, {self._type(of[1])}>"
        raise TypeError(f"{self._module.__name__}: no TypeScript for {hint!r}; teach tests.tools.generated to say it")


def parts_of(hint: Any) -> Iterator[Any]:
    """Yield *hint* and every type that it is made of."""
    yield hint
    for part in typing.get_args(hint):
        yield from parts_of(part)


def literal(values: tuple[str, ...]) -> str:
    """Return the type that is one of *values*."""
    return " | ".join(json.dumps(value) for value in values)


def is_struct(value: object) -> typing.TypeGuard[type[msgspec.Struct]]:
    """Whether *value* is a class made from msgspec.Struct."""
    return isinstance(value, type) and issubclass(value, msgspec.Struct)


def field_notes(source: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield ((class, field), text) for every string that stands below a field."""
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.ClassDef):
            continue
        for above, below in zip(statement.body, statement.body[1:], strict=False):
            if not (isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
                yield (statement.name, above.target.id), inspect.cleandoc(below.value.value)


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """Return the field's default as JSON."""
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.json.encode(field.default_factory()).decode()
    return msgspec.json.encode(field.default).decode()


def comment(text: str, indent: str) -> str:
    """Return *text* as a documentation comment."""
    lines = text.replace("*/", "* /").splitlines()
    if len(lines) <= 1:
        return f"{indent}/** {text} */" if text else ""
    return "\n".join([f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"])


if __name__ == "__main__":
    sys.exit(main())
