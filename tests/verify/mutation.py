"""
What a mutant is: a module's source with one small thing changed.

The changes of a source are listed in the order of its text, so a number names one. What only traces or counts is left
alone, and so are declarations: nothing that a kernel does would differ.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
NEIGHBOUR: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
COMPARED = OPPOSITE | NEIGHBOUR
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}

# Names for things of the same kind: where two of them are arguments, they can be taken for each other.
KINDS = (
    frozenset({"thread", "client", "server", "peer", "source", "target", "sender", "receiver", "donor", "donee", "by"}),
    frozenset({"done", "words", "left", "room", "most", "limit", "source_done", "first", "last", "start", "end"}),
    frozenset({"SENDING", "RECEIVING"}),
)
UNSEEN = ("trace", "statistics")  # what speaks of these is for onlookers
CHANGES = {
    "ops": "other comparison",
    "op": "other operator",
    "operand": "negation removed",
    "value": "other constant",
}
SHOWN_MAX = 60  # characters of a change that is shown


class Mutation(NamedTuple):
    """One change: the line, what it is, and the function that makes it, in the tree that it was found in."""

    line: int
    what: str
    change: Callable[[], None]


def mutations(tree: ast.Module) -> list[Mutation]:
    """All changes that there are, in the order of the text."""
    return sorted(_of_body(tree), key=lambda each: (each.line, each.what))


def mutant(source: str, number: int) -> ast.Module:
    """The tree of a source with the change of that number made."""
    tree = ast.parse(source)
    mutations(tree)[number].change()
    return ast.fix_missing_locations(tree)


def _of_body(parent: ast.AST) -> Iterator[Mutation]:
    for name, block in ast.iter_fields(parent):
        if not isinstance(block, list):
            continue
        for index, statement in enumerate(block):
            if isinstance(statement, ast.ExceptHandler):
                yield from _of_body(statement)
            elif isinstance(statement, ast.stmt) and not _is_left_alone(statement):
                if _can_be_removed(statement):
                    yield _removed(block, index)
                yield from _of_statement(statement)
                yield from _of_body(statement)
            elif not isinstance(statement, ast.AST) or name == "decorator_list":
                break


def _is_left_alone(statement: ast.stmt) -> bool:
    """Whether it declares, or is for onlookers: a branch for the trace, a count, a check of what must be so."""
    match statement:
        case ast.If(test=test):
            return "TYPE_CHECKING" in (shown := ast.unparse(test)) or shown.endswith("trace is not None")
        case ast.AugAssign(target=target):
            return any(name in ast.unparse(target) for name in UNSEEN)
        case ast.Import() | ast.ImportFrom() | ast.AnnAssign(value=None) | ast.Assert():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.FunctionDef(name="__init__" | "__repr__"):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in ("__slots__", "type", "wrong_type", "layout", "links")
    return False


def _can_be_removed(statement: ast.stmt) -> bool:
    """Whether the rest still makes sense without it: a call, or a change of something that was there before."""
    match statement:
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Delete() | ast.Continue():
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() | ast.Tuple(elts=[ast.Attribute(), *_])]):
            return True
    return False


def _removed(block: list[ast.stmt], index: int) -> Mutation:
    statement = block[index]

    def change() -> None:
        block[index] = ast.copy_location(ast.Pass(), statement)

    return Mutation(statement.lineno, f"removed: {_shown(statement)}", change)


def _of_statement(statement: ast.stmt) -> Iterator[Mutation]:
    """The changes in a statement's own expressions; those of the statements inside are theirs."""
    for name, value in ast.iter_fields(statement):
        if name in ("returns", "annotation", "decorator_list", "args", "bases", "keywords", "type_params", "targets"):
            continue
        for node in value if isinstance(value, list) else (value,):
            if isinstance(node, ast.expr):
                if name == "test":
                    yield from _negated(statement, name, node)
                yield from _of_expression(node, node if hasattr(statement, "body") else statement)


def _of_expression(root: ast.expr, around: ast.AST) -> Iterator[Mutation]:
    """The changes in an expression; `around` is shown with those of constants, which say little by themselves."""
    for node in ast.walk(root):
        match node:
            case ast.Compare(ops=[op]):
                yield _set(node, "ops", [COMPARED[type(op)]()])
            case ast.BoolOp(op=op):
                yield _set(node, "op", ast.Or() if isinstance(op, ast.And) else ast.And())
            case ast.BinOp(op=op) if type(op) in ARITHMETIC:
                yield _set(node, "op", ARITHMETIC[type(op)]())
            case ast.UnaryOp(op=ast.Not()):
                yield _set(node, "operand", ast.UnaryOp(ast.Not(), node.operand))
            case ast.IfExp(test=test):
                yield from _negated(node, "test", test)
            case ast.Constant(value=bool(value)):
                yield _set(node, "value", not value)
            case ast.Constant(value=int(value)):
                where = f"other constant: {value} in {_shown(around)}"
                yield _set(node, "value", value + 1)._replace(what=where)
            case ast.Call(func=ast.Name(id="min" | "max")):
                pass  # the order of its arguments is nothing
            case ast.Call(args=arguments):
                for index in range(len(arguments) - 1):
                    if _are_of_one_kind(arguments[index], arguments[index + 1]):
                        yield _swapped(node, index)


def _are_of_one_kind(one: ast.expr, other: ast.expr) -> bool:
    names = {ast.unparse(one), ast.unparse(other)}
    return len(names) == 2 and any(names <= kind for kind in KINDS)


def _negated(parent: ast.AST, field: str, test: ast.expr) -> Iterator[Mutation]:
    """A condition turned round, unless another change does the same."""
    match test:
        case ast.Compare(ops=[op]) if type(op) in OPPOSITE:
            return
        case ast.UnaryOp(op=ast.Not()) | ast.Constant():
            return

    def change() -> None:
        setattr(parent, field, ast.UnaryOp(ast.Not(), test))

    yield Mutation(test.lineno, f"negated: {_shown(test)}", change)


def _set(node: ast.expr, field: str, value: object) -> Mutation:
    return Mutation(node.lineno, f"{CHANGES[field]}: {_shown(node)}", lambda: setattr(node, field, value))


def _swapped(node: ast.Call, index: int) -> Mutation:
    arguments = node.args

    def change() -> None:
        arguments[index], arguments[index + 1] = arguments[index + 1], arguments[index]

    return Mutation(node.lineno, f"arguments {index} and {index + 1} swapped: {_shown(node)}", change)


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."
