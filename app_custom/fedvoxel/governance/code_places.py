"""Looks at each place of a file of Python code: whether it reaches out of the trainer, or hides what it does.

What is looked for is in `code_names`. A name is judged alike in whatever way it is reached: written out, said to
`getattr`, imported, matched, or as part of a type that stands as text.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from fedvoxel.governance import code_names as names

_DUNDER = re.compile(r"__\w+?__")


@dataclass(frozen=True, order=True)
class CodeFinding:
    """Is one thing that a person should look at.

    Attributes:
        file: Path in the app.
        line: From 1; 0 for the file as a whole.
        what: What it does.
        refused: Whether no approval can let it in.
    """

    file: str
    line: int
    what: str
    refused: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.what}" + ("; refused whoever approves" if self.refused else "")


def places(path: str, tree: ast.AST) -> Iterator[CodeFinding]:
    """Looks at every place of a file that was parsed.

    Args:
        path: Path in the app.
        tree: What it says.
    """
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        yield from _annotated(path, node)
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from imported(path, node)
            case ast.Name():
                yield from _name(path, node, called.get(id(node)))
            case ast.Attribute():
                yield from _attribute(path, node, called.get(id(node)))
            case ast.MatchClass():
                yield from _matched(path, node)
            case ast.Constant(value=str() as text):
                yield from _text(path, node.lineno, text)
            case ast.keyword():
                yield from _argument(path, node)
            case ast.Call():
                yield from _called(path, node)


def _matched(path: str, node: ast.MatchClass) -> Iterator[CodeFinding]:
    for name in node.kwd_attrs:
        yield from _reached(path, node.lineno, name)
    if node.patterns:  # the class says in its __match_args__, as data, which attributes these are
        yield CodeFinding(path, node.lineno, "matches a class by place: say its attributes by name", refused=True)


def _text(path: str, line: int, text: str) -> Iterator[CodeFinding]:
    for word in {text, *_DUNDER.findall(text)} & names.BAD_TEXTS:
        yield CodeFinding(path, line, f"has a text with {word}", refused=True)


def _argument(path: str, node: ast.keyword) -> Iterator[CodeFinding]:
    if node.arg in names.SAFE_ARGUMENTS:
        safe = names.SAFE_ARGUMENTS[node.arg]
        if not (isinstance(node.value, ast.Constant) and node.value.value is safe):
            yield CodeFinding(path, node.lineno, f"says {node.arg}, which may be {safe} only", refused=True)


def _name(path: str, node: ast.Name, call: ast.Call | None) -> Iterator[CodeFinding]:
    if node.id in names.HIDING_NAMES or (_is_dunder(node.id) and node.id not in names.DUNDERS):
        yield CodeFinding(path, node.lineno, f"uses {node.id}: what it runs cannot be read here", refused=True)
    elif node.id in names.BY_NAME:
        yield from _by_name(path, node.lineno, node.id, call, call.args[1:2] if call else [])
    elif call is None and isinstance(node.ctx, ast.Load):
        yield from _handed_on(path, node.lineno, node.id)


def _attribute(path: str, node: ast.Attribute, call: ast.Call | None) -> Iterator[CodeFinding]:
    if node.attr in names.SAID_DUNDERS:
        args = call.args if call else []
        place = len(args) - names.SAID_DUNDERS[node.attr]
        yield from _by_name(path, node.lineno, node.attr, call, args[place : place + 1] if place >= 0 else [])
    # A network's .modules() is called; sys.modules, by whatever name of sys, is not.
    elif node.attr == names.MODULES and call is not None:
        return
    elif node.attr in names.WRITING:
        yield CodeFinding(path, node.lineno, f"calls .{node.attr}(): may write or remove files")
    else:
        yield from _reached(path, node.lineno, node.attr)
        yield from _handed_on(path, node.lineno, node.attr) if call is None else ()


def _handed_on(path: str, line: int, name: str) -> Iterator[CodeFinding]:
    """Judges what is not called here: under which name, and with which arguments, it is called cannot be seen."""
    if name in ("load", names.BY_MODULE):
        yield CodeFinding(path, line, "loads by another name", refused=True)
    elif name == "open":
        yield CodeFinding(path, line, "opens files by another name")


def _reached(path: str, line: int, name: str) -> Iterator[CodeFinding]:
    """Judges an attribute, in whatever way it is reached."""
    bare = name.strip("_")
    unknown = _is_dunder(name) and name not in names.DUNDERS and name not in names.SAID_DUNDERS
    if unknown or name in names.HIDING_ATTRIBUTES | {names.MODULES} or bare in names.HIDING:
        yield CodeFinding(path, line, f"reaches around names with {name}", refused=True)
    elif name == "__class__":
        yield CodeFinding(path, line, f"looks at {name}")
    for what, known in names.KINDS.items():
        if bare in known - names.ORDINARY and not _is_dunder(name):
            yield CodeFinding(path, line, f"reaches {name}: {what}")


def _by_name(path: str, line: int, by: str, call: ast.Call | None, asked: list[ast.expr]) -> Iterator[CodeFinding]:
    """Judges what takes an attribute's name as data."""
    spread = call is not None and any(isinstance(one, ast.Starred) for one in call.args)
    said = asked[0].value if asked and isinstance(asked[0], ast.Constant) else None
    if spread or not isinstance(said, str):
        yield CodeFinding(path, line, f"{by} with a name that is not said", refused=True)
    elif said in names.HIDING_NAMES:
        yield CodeFinding(path, line, f"reaches around names with {said}", refused=True)
    else:
        yield from _reached(path, line, said)


def imported(path: str, node: ast.Import | ast.ImportFrom) -> Iterator[CodeFinding]:
    """Judges what is imported; `path` is the file's in the app."""
    line, source = node.lineno, "" if isinstance(node, ast.Import) else node.module or ""
    for alias in node.names:
        whole = f"{source}.{alias.name}".strip(".")
        root, *parts = whole.split(".")
        if whole in names.HARMLESS:
            continue
        if root.lstrip("_") in names.HIDING_ROOTS or any(f"{whole}.".startswith(f"{p}.") for p in names.HIDING_PATHS):
            yield CodeFinding(path, line, f"imports {whole}: what it runs cannot be read here", refused=True)
        for what, known in names.KINDS.items():
            if root.lstrip("_") in known:
                yield CodeFinding(path, line, f"imports {root}: {what}")
        # A network's classes are in torch.nn.modules; sys.modules is found by whatever name of sys.
        whose = source.rpartition(".")[2].lstrip("_")
        judged = [part for part in parts if part != names.MODULES or whose == "sys"]
        yield from (found for part in judged for found in _reached(path, line, part))
        if source and alias.name in names.HIDING_NAMES:
            yield CodeFinding(path, line, f"imports {alias.name} under a name of its own", refused=True)
        if source and alias.asname not in (None, alias.name):
            yield from _handed_on(path, line, alias.name)
        if alias.name == "*" and not (isinstance(node, ast.ImportFrom) and node.level):
            yield CodeFinding(path, line, f"imports every name of {source}: say which", refused=True)


def _annotated(path: str, node: ast.AST) -> Iterator[CodeFinding]:
    """Looks into types that stand as text: who asks for them has Python run them."""
    for place in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        if not isinstance(place, ast.expr):
            continue
        for text in _texts(place):
            try:
                written = ast.parse(text.strip(), mode="eval")
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue  # nor can Python run it
            for found in places(path, written):
                yield CodeFinding(path, place.lineno, found.what, found.refused)


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif not (isinstance(node, ast.Subscript) and _last_name(node.value) == "Literal"):
        yield from (
            text for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) for text in _texts(child)
        )


def _perhaps_imported(path: str, node: ast.Call, spread: bool) -> Iterator[CodeFinding]:
    """Judges what is imported by a name that is data."""
    given = [*node.args[:1], *(word.value for word in node.keywords if word.arg in ("module", "name"))]
    said = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if spread or len(node.args) > 2 or len(said) < len(given) or not said:
        yield CodeFinding(path, node.lineno, f"{names.BY_MODULE} with names that are not said", refused=True)
        return
    for whole in (said[0], ".".join(said)):
        yield from imported(path, ast.Import([ast.alias(whole)], lineno=node.lineno))


def _called(path: str, node: ast.Call) -> Iterator[CodeFinding]:
    called, name = node.func, _last_name(node.func)
    spread = any(word.arg is None for word in node.keywords) or any(isinstance(arg, ast.Starred) for arg in node.args)
    if name == names.BY_MODULE:
        yield from _perhaps_imported(path, node, spread)
    if name == "load" and (spread or len(node.args) > 2):
        yield CodeFinding(path, node.lineno, "loads with arguments whose names are not said", refused=True)
    if name == "eval" and isinstance(called, ast.Attribute) and (node.args or node.keywords):
        yield CodeFinding(path, node.lineno, "has a text evaluated with .eval()", refused=True)
    if name == "query" and isinstance(called, ast.Attribute):
        yield CodeFinding(path, node.lineno, "calls .query(): of a table it runs what its text says")
    if name == "open" and not _reads_only(node, spread, place=1 if isinstance(called, ast.Name) else 0):
        what = "a file" if isinstance(called, ast.Name) else "something"
        yield CodeFinding(path, node.lineno, f"opens {what} for writing, or in a mode that is not said")


def _reads_only(node: ast.Call, spread: bool, place: int) -> bool:
    """Says whether a call of `open` says a mode for reading; no mode means reading."""
    given = [word.value for word in node.keywords if word.arg == "mode"] + node.args[place : place + 1]
    return not spread and all(isinstance(value, ast.Constant) and value.value in ("r", "rb", "rt") for value in given)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_dunder(name: str) -> bool:
    return bool(_DUNDER.fullmatch(name))
