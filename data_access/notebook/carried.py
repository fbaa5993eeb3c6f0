"""The source of this package as a notebook carries it: the modules needed, and no others.

Nothing here runs what it reads: imports are told from the syntax.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import inspect
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["carried", "imports_of", "third_parties"]

ROOMS: Final = ("data_access", "ingest")
MODULES_MAX: Final = 200


@lru_cache(maxsize=MODULES_MAX)
def _source(module: str) -> tuple[str, bool]:
    """Return a module's source, and whether it is a package."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise LookupError(f"There is no source of {module}.")
    path = Path(found.origin)
    return path.read_text("utf-8"), path.name == "__init__.py"


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield what is imported when the code runs: what is for the type checker is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        else:
            yield from _imports(node)


@lru_cache(maxsize=MODULES_MAX)
def _imported(source: str) -> tuple[tuple[str, str | None], ...]:
    """Return (module, name) of every import; the name is None where the module itself is meant."""
    found: list[tuple[str, str | None]] = []
    for node in _imports(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        else:
            found += [(node.module or "", alias.name) for alias in node.names]
    return tuple(found)


def carried(roots: Iterable[str]) -> dict[str, str]:
    """Return name -> source of the modules that these need, and of those that those need.

    Packages are as empty as can be: only what a carried module imports from one is imported there.
    """
    modules: dict[str, str] = {}
    packages: dict[str, set[str]] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        source, is_package = _source(name)
        for level in range(1, name.count(".") + (2 if is_package else 1)):
            packages.setdefault(".".join(name.split(".")[:level]), set())
        if is_package:
            continue
        modules[name] = source
        for module, one in _imported(source):
            if module.partition(".")[0] not in ROOMS:
                continue
            if one is not None and _is_module(f"{module}.{one}"):
                waiting.append(f"{module}.{one}")
            elif _source(module)[1] and one is not None:
                origin = _origin(module, one)
                packages.setdefault(module, set()).add(f"from {origin} import {one}")
                waiting.append(origin)
            else:
                waiting.append(module)
    said = {
        name: "\n".join(['"""The part of this package that is needed here."""', *sorted(lines), ""])
        for name, lines in packages.items()
    }
    return dict(sorted((said | modules).items()))


def _origin(package: str, name: str) -> str:
    """Return the module that a package's `__init__` takes a name from."""
    for module, one in _imported(_source(package)[0]):
        if one == name:
            return module
    raise LookupError(f"{package} does not say where {name} comes from.")


def third_parties(modules: Iterable[str]) -> list[str]:
    """Return the packages that carried sources import, besides the standard library."""
    tops = {module.partition(".")[0] for source in modules for module, _ in _imported(source)}
    return sorted(tops - set(ROOMS) - sys.stdlib_module_names)


# --- one function ----------------------------------------------------------------------------


def imports_of(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return a function's source, and for every global name in it the line that imports it.

    Its annotations count: outside of its module nothing postpones them.
    """
    plain = inspect.unwrap(function)
    source = inspect.getsource(plain)
    known = _names_of(plain.__module__)
    used = {
        node.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name)
        and node.id != plain.__name__
        and not hasattr(builtins, node.id)
    }
    return source, {name: known[name] for name in sorted(used & known.keys())}


@lru_cache(maxsize=MODULES_MAX)
def _names_of(module: str) -> dict[str, str]:
    """Return every name a module knows, with the line that imports it elsewhere."""
    tree = ast.parse(_source(module)[0])
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = f"import {alias.name}" + (
                    f" as {alias.asname}" if alias.asname else ""
                )
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for alias in node.names:
                found[alias.asname or alias.name] = f"from {node.module} import {alias.name}" + (
                    f" as {alias.asname}" if alias.asname else ""
                )
    for node in tree.body:
        for name in _defined(node):
            found[name] = f"from {module} import {name}"
    return found


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    each = [one for target in targets for one in getattr(target, "elts", [target])]
    return [one.id for one in each if isinstance(one, ast.Name)]
