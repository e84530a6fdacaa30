"""Every mutant of a module, by an id that says what it is and outlives edits elsewhere.

An id is file, function, operator, and what stands where what stood: `codec/packing.py pack: comparison:
nbits == 8 -> nbits != 8`. Where a function has several alike, they are numbered: ` #2`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from tests.mutants.operators import OPERATORS, changed

#: The package.
ROOT = Path(__file__).parents[2] / "refquant"

#: What is mutated.
MODULES = ("codec/*.py", "model/*.py", "quantize.py", "arguments.py")

#: Fields that only type checkers read.
TYPES = ("annotation", "returns", "type_params")

#: Calls whose positional arguments are prose for people, or types. So are those of every exception raised.
PROSE = ("warn", "debug", "TypeVar", "cast")

#: Types with parameters.
GENERIC = ("Callable", "Literal", "Optional", "Union")

#: Most characters of an expression in an id.
LONGEST = 70

Names = tuple[str, ...]


class Mutant(NamedTuple):
    """One fault: a node of a module's tree, and what takes its place."""

    id: str
    file: str
    #: Path of the outermost function around the node, whose code alone differs; None: the module's own does.
    function: Names | None
    #: Lines of the statement, of which one is run whenever the node is.
    lines: range
    #: Lines where functions around the node are made, but for the outermost.
    made: tuple[int, ...]
    #: Position of the node in a walk through the tree.
    at: int
    replacement: ast.AST

    @property
    def module(self) -> str:
        """Name of the module."""
        return "refquant." + self.file[: -len(".py")].replace("/", ".")


class _Place(NamedTuple):
    """Where a node stands: in which scope, functions and lines, and below which node."""

    names: Names
    function: Names | None
    lines: range
    made: tuple[int, ...]
    parent: ast.AST


def files() -> list[str]:
    """List the files that are mutated."""
    return [str(path.relative_to(ROOT)) for glob in MODULES for path in sorted(ROOT.glob(glob))]


def mutants(file: str) -> list[Mutant]:
    """List the mutants of a file."""
    tree = _tree(file)
    indices = {id(node): index for index, node in enumerate(ast.walk(tree))}
    seen: Counter[str] = Counter()
    found = []
    for node, place in _nodes(tree, _Place((), None, range(0), (), tree)):
        for name, operator in OPERATORS.get(type(node), ()):
            for replacement in operator(node):
                change = " -> ".join(_texts(node, replacement, place.parent))
                key = f"{file} {'.'.join(place.names) or 'module'}: {name}: {change}"
                seen[key] += 1
                number = f" #{seen[key]}" if seen[key] > 1 else ""
                place_of_it = (place.function, place.lines, place.made, indices[id(node)])
                found.append(Mutant(key + number, file, *place_of_it, replacement))
    return found


def compiled(mutant: Mutant) -> CodeType:
    """Compile a module with a mutant's fault in it."""
    tree = _tree(mutant.file)
    node = next(node for index, node in enumerate(ast.walk(tree)) if index == mutant.at)
    _Replacing(node, mutant.replacement).visit(tree)
    return compile(ast.fix_missing_locations(tree), str(ROOT / mutant.file), "exec", dont_inherit=True)


def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


class _Replacing(ast.NodeTransformer):
    """Puts another node in the place of one."""

    def __init__(self, node: ast.AST, replacement: ast.AST) -> None:
        self.node = node
        self.replacement = replacement

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self.node:
            return ast.copy_location(self.replacement, node)
        return self.generic_visit(node)


def _nodes(node: ast.AST, place: _Place) -> Iterator[tuple[ast.AST, _Place]]:
    """Give every node that can be mutated, with its place."""
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _passed_over(node, field, child):
                below = _below(node, field, child, place)
                yield child, below
                yield from _nodes(child, below)


def _passed_over(node: ast.AST, field: str, child: ast.AST) -> bool:
    """Tell whether a node is a type, a docstring or prose, and so is nothing that a test could notice."""
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    if isinstance(node, ast.JoinedStr):
        return isinstance(child, ast.Constant)
    if isinstance(node, ast.Subscript) and field == "slice":
        return getattr(node.value, "id", "") in GENERIC
    if isinstance(node, ast.Call) and field == "args":
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        return name in PROSE or name.endswith("Error")
    if isinstance(node, ast.Assign) and isinstance(child, ast.Constant):
        return getattr(node.targets[0], "id", "") == "reason"
    return field in TYPES or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")


def _below(node: ast.AST, field: str, child: ast.AST, place: _Place) -> _Place:
    """Give the place of a node below another."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        names = (*place.names, node.name)
        inside = field == "body" and not isinstance(node, ast.ClassDef)
        function = place.function or (names if inside else None)
        made = (*place.made, node.lineno) if inside and place.function else place.made
        place = place._replace(names=names, function=function, made=made)
    if isinstance(child, ast.stmt):
        body = getattr(child, "body", None)
        last = max(child.lineno, body[0].lineno - 1) if body else child.end_lineno or child.lineno
        place = place._replace(lines=range(child.lineno, last + 1))
    return place._replace(parent=node)


def _texts(node: ast.AST, replacement: ast.AST, parent: ast.AST) -> list[str]:
    """Say what stood there and what stands there now; a constant with the expression that it is part of."""
    texts = [_text(node), _text(replacement)]
    if isinstance(node, ast.Constant) and isinstance(parent, (ast.expr, ast.keyword)):
        whole = [_text(parent), _text(_with(parent, node, replacement))]
        texts = texts if len(whole[0]) > LONGEST else whole
    # What both begin with is cut where it is long: the difference must show.
    same = next((at for at, (a, b) in enumerate(zip(*texts)) if a != b), 0)
    start = max(0, same - LONGEST // 2) if len(texts[0]) > LONGEST else 0
    cut = [("..." if start else "") + text[start:] for text in texts]
    return [text if len(text) <= LONGEST else f"{text[:LONGEST]}..." for text in cut]


def _with(parent: ast.AST, node: ast.AST, replacement: ast.AST) -> ast.AST:
    """Give a copy of a node with one of its children replaced."""
    fields: dict[str, object] = {}
    for field, value in ast.iter_fields(parent):
        if value is node:
            fields[field] = replacement
        elif isinstance(value, list) and any(each is node for each in value):
            fields[field] = [replacement if each is node else each for each in value]
    return changed(parent, **fields)


def _text(node: ast.AST) -> str:
    if isinstance(node, (ast.If, ast.While)):
        node = node.test
    elif isinstance(node, ast.ExceptHandler) and node.type is not None:
        node = node.type
    return " ".join(ast.unparse(node).split())
