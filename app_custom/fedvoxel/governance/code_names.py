"""The names by which code that came with a job reaches out of itself, or hides what it does: what a scan looks for.

A list of known ways, and so never complete. What only reaches out is shown to the person who approves; what hides is
refused whoever approves: whoever needs it in a trainer can write it in another way, which a person can read.
"""

_NETWORK = frozenset(
    {
        "aiohttp", "asyncio", "boto3", "comet_ml", "dask", "datasets", "dicomweb_client", "distributed", "fastapi",
        "flask", "fsspec", "ftplib", "gcsfs", "grpc", "http", "httpx", "huggingface_hub", "imaplib", "mlflow",
        "neptune", "nntplib", "paramiko", "poplib", "pynetdicom", "ray", "requests", "s3fs", "select", "selectors",
        "smbclient", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "tornado", "transformers", "urllib",
        "urllib3", "uvicorn", "wandb", "websocket", "websockets", "wsgiref", "xmlrpc", "zmq",
        # Not modules, but classes and functions that reach it, or take an address in the place of a file.
        "DataSource", "DatagramHandler", "HTTPHandler", "SMTPHandler", "SocketHandler", "SysLogHandler",
        "download_and_extract", "download_url", "from_pretrained", "genfromtxt", "load_url", "loadtxt", "read_csv",
        "read_excel", "read_html", "read_json", "read_parquet", "read_xml", "urlretrieve",
    }
)  # fmt: skip
_PROGRAMS = frozenset(
    {
        "antigravity", "concurrent", "distutils", "fabric", "invoke", "multiprocessing", "pexpect", "pip", "plumbum",
        "pty", "pytest", "setuptools", "signal", "subprocess", "threading", "thread", "webbrowser",
    }
)  # fmt: skip
_MACHINE = frozenset(
    {
        "FileIO", "as_strided", "fcntl", "fileinput", "from_file", "gc", "glob", "inspect", "io", "linecache", "mmap",
        "nt", "os", "pathlib", "platform", "posix", "posixpath", "psutil", "resource", "shutil", "sqlite3", "sys",
        "tempfile", "types", "winreg",
    }
)  # fmt: skip
KINDS = {
    "reaches the network": _NETWORK,
    "starts programs, processes or threads": _PROGRAMS,
    "reaches the machine or its files": _MACHINE,
    "loads archives": frozenset({"extractall", "zipfile", "tarfile"}),
}
"""What is shown of a module that is imported, or reached as an attribute of another (`torch.os`)."""

ORDINARY = frozenset({"datasets", "invoke", "io", "ray", "resource", "select", "thread"})
"""Of these: modules whose names are ordinary for an attribute, where they are not shown."""

HIDING = frozenset(
    {
        "builtins", "cffi", "cloudpickle", "codeop", "ctypes", "ctypeslib", "dill", "f2py", "imp", "importlib",
        "joblib", "jsonpickle", "marshal", "pdb", "pickle", "pkgutil", "pydoc", "pyximport", "runpy", "shelve",
        "string", "timeit", "tkinter", "unittest", "zipimport",
    }
)  # fmt: skip
"""Modules that run, import or unpickle what they are given; neither imported nor reached as an attribute."""

HIDING_ROOTS = HIDING | {
    "Cython", "IPython", "asteval", "bdb", "cPickle", "cProfile", "code", "cppyy", "doctest", "fire", "hydra", "jinja2",
    "jsonargparse", "llvmlite", "mako", "numexpr", "omegaconf", "profile", "pybind11", "ruamel", "site", "sympy",
    "trace",
}  # fmt: skip
"""With those whose names are ordinary for an attribute (`torch.trace`): these are not imported."""

HIDING_PATHS = ("logging.config", "torch.package", "torch.utils.benchmark")
"""Parts of ordinary packages that do the same, and whose last names are ordinary for an attribute."""

HARMLESS = frozenset({"timeit.default_timer"})
"""What may be imported out of one of these."""

BY_NAME = frozenset({"getattr", "setattr", "delattr"})
"""What takes an attribute's name as data: called by that name, with a constant that is looked at, and never else."""

BY_MODULE = "optional_import"
"""MONAI's way to import what need not be there; called with constants, it is an import like any other."""

HIDING_NAMES = frozenset({"breakpoint", "compile", "eval", "exec", "globals", "locals", "vars"})

HIDING_ATTRIBUTES = BY_NAME | {
    # Attributes, classes and functions by name.
    "StrFormatter", "attrgetter", "class_utils", "component_builder", "convert_field", "format_field", "function_utils",
    "get_field", "getattr_static", "getclosurevars", "getmembers", "getmembers_static", "import_module",
    "import_string", "instantiate", "instantiate_class", "load_submodules", "methodcaller", "resolve_name",
    # Frames and what they hold; objects that refer to others.
    "_current_frames", "_getframe", "ag_code", "ag_frame", "cell_contents", "cr_code", "cr_frame", "currentframe",
    "f_back", "f_builtins", "f_code", "f_globals", "f_locals", "get_objects", "get_referents", "get_referrers",
    "gi_code", "gi_frame", "tb_frame",
    # Code and text that is run, compiled or imported.
    "CodeType", "ForwardRef", "TypeAdapter", "create_model", "exec", "exec_module", "get_type_hints", "load_module",
    "meta_path", "module_from_spec", "path_hooks", "run_cmd", "collect_env", "cpp_extension", "dictConfig",
    "fileConfig", "fx", "hub", "load_inline", "load_library",
    # Settings that hold expressions, as MONAI's bundles do.
    "ConfigParser", "ConfigWorkflow", "MonaiAlgo", "MonaiAlgoStats", "auto3dseg", "bundle",
    # Pickle in other clothes.
    "CLoader", "CUnsafeLoader", "HDFStore", "Loader", "NpzFile", "PackageImporter", "UnsafeLoader", "_legacy_load",
    "_load_from_bytes", "add_safe_globals", "fobs", "load_from_checkpoint", "read_array", "read_hdf", "read_pickle",
    "safe_globals", "unsafe_load", "unsafe_load_all",
}  # fmt: skip

SAFE_ARGUMENTS: dict[str, object] = {
    "allow_pickle": False,
    "eval_str": False,
    "pickle_module": None,
    "trust_remote_code": False,
    "weights_only": True,
}
"""Arguments of whatever function that may be said with this constant only."""

MODULES = "modules"
"""Of `sys`: every module by its name, those above too."""

_OPERATORS = (
    "abs add and bool bytes call complex concat contains delitem divmod enter eq exit float floordiv format fspath ge "
    "getitem gt hash index int invert iter le len length_hint lshift lt matmul missing mod mul ne neg next or pos pow "
    "repr reversed round rshift setitem str sub truediv trunc xor"
)
_REFLECTED = "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor"
_OTHERS = (
    "aenter aexit aiter all anext array_function array_priority array_ufunc author await cause class class_getitem "
    "context copy dataclass_fields date debug deepcopy del doc email file get getstate init init_subclass "
    "instancecheck license module name new package post_init qualname set set_name setstate slots subclasscheck "
    "suppress_context torch_function traceback version wrapped"
)
DUNDERS = frozenset(
    f"__{name}__"
    for name in (
        *_OPERATORS.split(),
        *(f"{side}{one}" for side in "ri" for one in _REFLECTED.split()),
        *_OTHERS.split(),
    )
)
"""Names between double underscores that reach nothing but the object itself; every other one is refused."""

SAID_DUNDERS = {"__getattr__": 1, "__delattr__": 1, "__setattr__": 2}
"""Those that take an attribute's name as data, and at which place from the last: like `BY_NAME`."""

BAD_TEXTS = frozenset(
    {
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "__annotations__", "__base__", "__bases__", "__builtins__", "__closure__",
        "__code__", "__dict__", "__func__", "__getattribute__", "__globals__", "__import__", "__loader__",
        "__match_args__", "__mro__", "__reduce__", "__reduce_ex__", "__self__", "__spec__", "__subclasses__",
        *SAFE_ARGUMENTS,
    }
)  # fmt: skip
"""Words that no text in the code needs."""

WRITING = frozenset(
    {
        "chmod", "copyfile", "dump", "imsave", "imwrite", "makedirs", "memmap", "mkdir", "open_memmap", "rename",
        "replace", "rmdir", "rmtree", "save", "savetxt", "savez", "savez_compressed", "symlink_to", "to_csv",
        "to_filename", "to_json", "to_pickle", "tofile", "touch", "unlink", "write", "write_bytes", "write_text",
        "writelines",
    }
)  # fmt: skip
TEXT = frozenset({".cfg", ".csv", ".json", ".md", ".toml", ".txt", ".yaml", ".yml"})
