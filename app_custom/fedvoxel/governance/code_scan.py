"""What code that came with a job could do, as far as reading it without running it can tell.

For the person who approves it: each place where it reaches the network, other programs, the machine or its files. Code
that a reader cannot follow is refused whoever approves: what is built or loaded while it runs, what reaches around
Python's own names, what is no source text. A scan proves nothing harmless; who approves code trusts who wrote it.

Written here rather than taken from bandit, which looks for mistakes in code of one's own: it reports neither an import
of the network or of `os` nor a file that is written, which is what is asked here.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from fedvoxel.governance.job_folder import META_FILE

_NETWORK = frozenset(
    {
        "aiohttp", "asyncio", "boto3", "ftplib", "grpc", "http", "httpx", "imaplib", "nntplib", "paramiko", "poplib",
        "pynetdicom", "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib", "urllib3",
        "websocket", "websockets", "xmlrpc", "zmq",
    }
)  # fmt: skip
_PROGRAMS = frozenset({"concurrent", "multiprocessing", "pty", "signal", "subprocess", "threading", "_thread"})
_MACHINE = frozenset(
    {
        "fcntl", "gc", "glob", "inspect", "mmap", "os", "pathlib", "platform", "posix", "psutil", "shutil", "sys",
        "tempfile", "types",
    }
)  # fmt: skip
_LOADING = frozenset({"dill", "joblib", "pickle", "shelve", "zipfile", "tarfile"})
_KINDS = {
    "reaches the network": _NETWORK,
    "starts programs, processes or threads": _PROGRAMS,
    "reaches the machine or its files": _MACHINE,
    "loads objects or archives": _LOADING,
}
_HIDING = frozenset(
    {"builtins", "cffi", "codeop", "ctypes", "importlib", "imp", "marshal", "pkgutil", "runpy", "zipimport"}
)
_HIDING_NAMES = frozenset(
    {"__builtins__", "__import__", "__loader__", "compile", "eval", "exec", "globals", "locals", "vars"}
)
_HIDING_ATTRIBUTES = frozenset(
    {
        "__bases__", "__builtins__", "__code__", "__getattribute__", "__globals__", "__import__", "__loader__",
        "__mro__", "__reduce__", "__reduce_ex__", "__subclasses__", "exec", "import_module",
    }
)  # fmt: skip
_MODULES = "modules"
"""Of `sys`: every module by its name, those above too."""
_ODD_ATTRIBUTES = frozenset({"__class__", "__dict__"})
_WRITING = frozenset(
    {
        "chmod", "mkdir", "rename", "replace", "rmdir", "rmtree", "save", "savez", "symlink_to", "tofile", "touch",
        "unlink", "write", "write_bytes", "write_text",
    }
)  # fmt: skip
_TEXT = frozenset({".cfg", ".csv", ".json", ".md", ".toml", ".txt", ".yaml", ".yml"})


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


def scan(files: Mapping[str, bytes], code: tuple[str, ...]) -> tuple[CodeFinding, ...]:
    """Looks through what came with a job besides its settings.

    Args:
        files: The app's files by path.
        code: Those that are no settings, as `Submission.code` has them.

    Returns:
        What was found, by file and line.
    """
    found = {finding for path in code if path in files for finding in _file(path, files[path])}
    # Of an app's file with that name it says nothing: the job's own meta is no file of the app.
    if code.count(META_FILE) > (META_FILE in files):
        found.add(CodeFinding(META_FILE, 0, "says what program or image the job is started with", refused=True))
    return tuple(sorted(found))


def _file(path: str, content: bytes) -> Iterator[CodeFinding]:
    kind = PurePosixPath(path).suffix
    if kind != ".py" and kind not in _TEXT:
        yield CodeFinding(path, 0, f"is no source text (*{kind})", refused=True)
        return
    try:
        text = content.decode("utf-8")
        tree = ast.parse(text) if kind == ".py" else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield CodeFinding(path, 0, "cannot be read as Python or UTF-8 text", refused=True)
        return
    if tree is not None:
        yield from _places(path, tree)


def _places(path: str, tree: ast.AST) -> Iterator[CodeFinding]:
    # A network's .modules() is called; sys.modules, by whatever name of sys, is not.
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == _MODULES and id(node) not in called:
            yield CodeFinding(path, node.lineno, "reaches around names with modules", refused=True)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(path, node)
        elif isinstance(node, ast.Name) and node.id in _HIDING_NAMES:
            yield CodeFinding(path, node.lineno, f"uses {node.id}: what it runs cannot be read here", refused=True)
        elif isinstance(node, ast.Attribute) and node.attr in _HIDING_ATTRIBUTES:
            yield CodeFinding(path, node.lineno, f"reaches around names with {node.attr}", refused=True)
        elif isinstance(node, ast.Attribute) and node.attr in _ODD_ATTRIBUTES:
            yield CodeFinding(path, node.lineno, f"looks at {node.attr}")
        elif isinstance(node, ast.Call):
            yield from _called(path, node)


def _imported(path: str, node: ast.Import | ast.ImportFrom) -> Iterator[CodeFinding]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for name in names:
        root = name.split(".")[0]
        if root in _HIDING:
            yield CodeFinding(path, node.lineno, f"imports {name}: what it runs cannot be read here", refused=True)
        for what, roots in _KINDS.items():
            if root in roots:
                yield CodeFinding(path, node.lineno, f"imports {name}: {what}")
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            of_sys = node.module == "sys" and alias.name in (_MODULES, "*")
            if of_sys or alias.name in _HIDING_ATTRIBUTES | _HIDING_NAMES | _HIDING:
                yield CodeFinding(path, node.lineno, f"imports {alias.name} under a name of its own", refused=True)


def _called(path: str, node: ast.Call) -> Iterator[CodeFinding]:
    called = node.func
    if isinstance(called, ast.Name) and called.id == "open" and not _reads_only(node):
        yield CodeFinding(path, node.lineno, "opens a file for writing, or in a mode that is not said")
    elif isinstance(called, ast.Name) and called.id in ("getattr", "setattr", "delattr"):
        asked = node.args[1] if len(node.args) > 1 else None
        if not (isinstance(asked, ast.Constant) and isinstance(asked.value, str)):
            yield CodeFinding(path, node.lineno, f"{called.id} with a name that is not said", refused=True)
        elif asked.value in _HIDING_ATTRIBUTES | _HIDING_NAMES | {_MODULES}:
            yield CodeFinding(path, node.lineno, f"reaches around names with {asked.value}", refused=True)
    elif isinstance(called, ast.Attribute) and called.attr in _WRITING:
        yield CodeFinding(path, node.lineno, f"calls .{called.attr}(): may write or remove files")
    elif isinstance(called, ast.Attribute) and called.attr == "open" and not _reads_only(node, place=0):
        yield CodeFinding(path, node.lineno, "opens something for writing, or in a mode that is not said")


def _reads_only(node: ast.Call, place: int = 1) -> bool:
    """Says whether a call of `open` says a mode for reading; no mode means reading."""
    given = [word.value for word in node.keywords if word.arg == "mode"] + node.args[place : place + 1]
    if any(word.arg is None for word in node.keywords) or any(isinstance(value, ast.Starred) for value in node.args):
        return False
    return all(isinstance(value, ast.Constant) and value.value in ("r", "rb", "rt") for value in given)
