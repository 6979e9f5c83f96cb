"""Formulas with one number changed: each numeric literal that an entry of the theory is computed with, times 1.2.

What is changed: literals in the entry's function and in what it reaches inside `bandit_rft.theory` (functions, classes,
and those methods whose name is spoken). What is not: zeros, defaults, decorators, checks of arguments, comparisons,
subscripts, loops' ranges, messages, and named options of NumPy and SciPy, none of which is a constant of a formula.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

FACTOR = 1.2
_PLUMBING = ("catalogue", "checks", "prediction", "bound")
_NOT_FORMULA_CALLS = (
    "arguments",
    "range",
    "reshape",
    "searchsorted",
    "geomspace",
    "linspace",
    "zeros",
    "empty",
    "full",
)


class Mutant(NamedTuple):
    """One changed literal: where (module:line, source text) and the entry's function that uses it."""

    where: str
    text: str
    function: Callable[..., Any]


def mutants(function: Callable[..., Any]) -> Iterator[Mutant]:
    """Every mutant of an entry's function."""
    home = inspect.getmodule(function)
    assert home is not None
    trees = {name: ast.parse(inspect.getsource(sys.modules[name])) for name in _modules(home)}
    for module, node in _literals(function.__name__, home.__name__, trees):
        changed = copy.deepcopy(trees[module])
        for other in ast.walk(changed):
            if (
                isinstance(other, ast.Constant)
                and (other.lineno, other.col_offset) == (node.lineno, node.col_offset)
                and other.value == node.value
            ):
                other.value = other.value * FACTOR
        text = inspect.getsource(sys.modules[module]).splitlines()[node.lineno - 1].strip()
        yield Mutant(
            f"{module}:{node.lineno}", f"{node.value} in {text}", _made(function.__name__, home, module, changed)
        )


def _modules(home: types.ModuleType) -> list[str]:
    """The entry's module and the modules of the theory that it imports from."""
    found = [home.__name__]
    for node in ast.walk(ast.parse(inspect.getsource(home))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bandit_rft.theory."):
            name = str(node.module)
            if name.rsplit(".", 1)[1] not in _PLUMBING and name not in found:
                importlib.import_module(name)
                found.append(name)
    return found


def _literals(start: str, home: str, trees: dict[str, ast.Module]) -> list[tuple[str, ast.Constant]]:
    definitions: dict[str, list[tuple[str, str | None, ast.AST]]] = {}
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                definitions.setdefault(node.name, []).append((module, None, node))
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        definitions.setdefault(inner.name, []).append((module, node.name, inner))
    reached = {id(node): (module, node) for module, _, node in definitions[start] if module == home}
    while True:
        spoken: set[str] = set()
        for _, node in reached.values():
            spoken |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            spoken |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
        more = {
            id(node): (module, node)
            for name in spoken
            for module, owner, node in definitions.get(name, [])
            if (owner is None or owner in spoken) and id(node) not in reached
        }
        if not more:
            break
        reached |= more
    found = []
    for module, node in reached.values():
        assert isinstance(node, ast.FunctionDef)
        for statement in node.body:
            found += [(module, literal) for literal in _numbers(statement)]
    return sorted(found, key=lambda pair: (pair[0], pair[1].lineno, pair[1].col_offset))


def _numbers(node: ast.AST) -> Iterator[ast.Constant]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, (int, float)) and not isinstance(node.value, bool) and node.value != 0:
            yield node
        return
    if isinstance(node, (ast.Compare, ast.Raise, ast.JoinedStr, ast.Assert, ast.arguments)):
        return
    if isinstance(node, ast.Call) and _called(node.func) in _NOT_FORMULA_CALLS:
        return
    for name, child in ast.iter_fields(node):
        if isinstance(node, ast.Subscript) and name == "slice":
            continue
        if isinstance(node, ast.Call) and name == "keywords":
            # An option of a library's function is a plain number; what a formula computes is more than that.
            child = [keyword for keyword in child if not isinstance(keyword.value, ast.Constant)]
        if isinstance(node, ast.AnnAssign) and name == "annotation":
            continue
        for inner in child if isinstance(child, list) else [child]:
            if isinstance(inner, ast.AST):
                yield from _numbers(inner)


def _called(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        root = node.value
        return "arguments" if isinstance(root, ast.Name) and root.id == "arguments" else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _made(name: str, home: types.ModuleType, module: str, tree: ast.Module) -> Callable[..., Any]:
    """The entry's function in a module of its own in which one tree is the changed one."""
    changed = _executed(module, tree)
    if module == home.__name__:
        return changed[name]
    fresh = _executed(home.__name__, ast.parse(inspect.getsource(home)))
    original = vars(sys.modules[module])
    for key, value in list(fresh.items()):
        if key in changed and value is original.get(key) and not key.startswith("__"):
            fresh[key] = changed[key]
    return fresh[name]


def _executed(module: str, tree: ast.Module) -> dict[str, Any]:
    tree = copy.deepcopy(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):  # a mutant must not enter the catalogue
            node.decorator_list = [
                d for d in node.decorator_list if not (isinstance(d, ast.Call) and _called(d.func) == "entry")
            ]
    namespace: dict[str, Any] = {"__name__": module, "__file__": module}
    exec(compile(ast.fix_missing_locations(tree), module, "exec"), namespace)
    return namespace
