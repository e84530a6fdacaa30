"""What can be wrong with a node of the syntax tree: for each type of node, other nodes in its place.

The operators are those of the literature (comparisons at their boundary and negated, arithmetic, constants,
connectives, statements left out, arguments swapped and dropped, results, slices, filters), each a function
from a node to its replacements. They make new nodes and change none.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Mapping
from typing import Any, Callable

#: An operator: takes a node, gives its replacements.
Edit = Callable[[Any], Iterator[ast.AST]]

#: Comparison -> its neighbours: the boundary moved, and the comparison negated.
COMPARISONS: Mapping[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}

#: Operator of arithmetic -> the one that is taken for it.
ARITHMETIC: Mapping[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}

#: Function -> the one that is taken for it.
FUNCTIONS = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "bisect_left": "bisect_right",
    "bisect_right": "bisect_left",
}

#: Functions whose arguments are not swapped: the first call would fail, or would give the same.
ORDERED = (
    "isinstance",
    "issubclass",
    "hasattr",
    "getattr",
    "setattr",
    "TypeVar",
    "cast",
    "zip",
    "map",
    "min",
    "max",
)

#: Types of conditions that another operator negates.
NEGATED = (ast.Compare, ast.BoolOp)


def changed(node: ast.AST, **fields: Any) -> ast.AST:
    """Give a copy of a node with other fields."""
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def without(values: list[Any], index: int) -> list[Any]:
    """Give a list without one of its members."""
    return values[:index] + values[index + 1 :]


def comparison(node: ast.Compare) -> Iterator[ast.AST]:
    """Move a comparison's boundary, or negate it."""
    for index, operator in enumerate(node.ops):
        for other in COMPARISONS[type(operator)]:
            yield changed(node, ops=[*node.ops[:index], other(), *node.ops[index + 1 :]])


def arithmetic(node: ast.BinOp | ast.AugAssign) -> Iterator[ast.AST]:
    """Take another operator."""
    yield changed(node, op=ARITHMETIC[type(node.op)]())


def sign(node: ast.UnaryOp) -> Iterator[ast.AST]:
    """Leave out `not`, a sign or a complement."""
    yield node.operand


def connective(node: ast.BoolOp) -> Iterator[ast.AST]:
    """Take `and` for `or`."""
    yield changed(node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())


def constant(node: ast.Constant) -> Iterator[ast.AST]:
    """Count one more or less (where that is another number), turn a truth value over, misspell a string."""
    value = node.value
    others: tuple[str | bytes | float, ...] = ()
    if isinstance(value, bool):
        others = (not value,)
    elif isinstance(value, (int, float)):
        others = (value + 1, value - 1)
    elif isinstance(value, str):
        others = (value + "X",)
    elif isinstance(value, bytes):
        others = (bytes(byte ^ 1 for byte in value) or b"X",)
    yield from (ast.Constant(other) for other in others if other != value)


def condition(node: ast.If | ast.While | ast.IfExp) -> Iterator[ast.AST]:
    """Negate a condition that has no operator of its own."""
    if not isinstance(node.test, NEGATED) and not isinstance(node.test, ast.UnaryOp):
        yield changed(node, test=ast.UnaryOp(ast.Not(), node.test))


def filters(node: ast.comprehension) -> Iterator[ast.AST]:
    """Leave out a filter of a comprehension."""
    for index in range(len(node.ifs)):
        yield changed(node, ifs=without(node.ifs, index))


def call(node: ast.Call) -> Iterator[ast.AST]:
    """Call another function, swap two arguments, leave a named one out."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in FUNCTIONS:
        yield changed(node, func=ast.Name(FUNCTIONS[name], ast.Load()))
    for index, (first, second) in enumerate(zip(node.args, node.args[1:])):
        if name not in ORDERED and ast.dump(first) != ast.dump(second):
            yield changed(node, args=[*node.args[:index], second, first, *node.args[index + 2 :]])
    for index in range(len(node.keywords)):
        yield changed(node, keywords=without(node.keywords, index))


def bounds(node: ast.Slice) -> Iterator[ast.AST]:
    """Leave out a bound or the step of a slice."""
    for field in ("lower", "upper", "step"):
        if getattr(node, field) is not None:
            yield changed(node, **{field: None})


def result(node: ast.Return) -> Iterator[ast.AST]:
    """Return nothing."""
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield changed(node, value=ast.Constant(None))


def handlers(node: ast.ExceptHandler) -> Iterator[ast.AST]:
    """Let one of several kinds of exceptions pass."""
    if isinstance(node.type, ast.Tuple):
        for index in range(len(node.type.elts)):
            yield changed(node, type=ast.Tuple(without(node.type.elts, index), ast.Load()))


def left_out(node: ast.stmt) -> Iterator[ast.AST]:
    """Leave a statement out."""
    yield ast.Pass()


def assignment(node: ast.Assign) -> Iterator[ast.AST]:
    """Leave out an assignment that the rest can do without: to a part of something, or to a name anew."""
    read = {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
    for target in node.targets:
        if isinstance(target, (ast.Attribute, ast.Subscript)) or getattr(target, "id", None) in read:
            yield ast.Pass()


#: Type of node -> its operators, with the names that ids have.
OPERATORS: Mapping[type[ast.AST], tuple[tuple[str, Edit], ...]] = {
    ast.Compare: (("comparison", comparison),),
    ast.BinOp: (("arithmetic", arithmetic),),
    ast.AugAssign: (("arithmetic", arithmetic), ("left out", left_out)),
    ast.UnaryOp: (("sign", sign),),
    ast.BoolOp: (("connective", connective),),
    ast.Constant: (("constant", constant),),
    ast.If: (("condition", condition),),
    ast.While: (("condition", condition),),
    ast.IfExp: (("condition", condition),),
    ast.comprehension: (("filter", filters),),
    ast.Call: (("call", call),),
    ast.Slice: (("slice", bounds),),
    ast.Return: (("result", result),),
    ast.ExceptHandler: (("handler", handlers),),
    ast.Assign: (("left out", assignment),),
    ast.Expr: (("left out", left_out),),
    ast.Delete: (("left out", left_out),),
    ast.Raise: (("left out", left_out),),
    ast.Break: (("left out", left_out),),
    ast.Continue: (("left out", left_out),),
}
