"""FLARE's own encodings as our processes meet them: FOBS messages, and job archives on their way through the server.

What FLARE raises is as good as a refusal: its receiver catches it and answers. What must not happen is that the process
ends, hangs, takes memory out of proportion, loads a class or a file that nobody registered, or writes elsewhere.
"""

import io
import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import strategies as st
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.fuel.utils import fobs
from nvflare.fuel.utils.fobs.builtin_decomposers import BUILTIN_DECOMPOSERS, BUILTIN_TYPES
from nvflare.fuel.utils.zip_utils import unzip_all_from_bytes
from nvflare.private.fed.server.job_meta_validator import JobMetaValidator
from nvflare.private.fed.utils.fed_utils import fobs_initialize

from fedvoxel.flare.pieces import use_pieces
from tests.blob_job import job_documents
from tests.fuzz.mutation import mutated_bytes, mutated_text
from tests.fuzz.target import Target, UnwantedError

_NAME = "job"


@cache
def _messages() -> tuple[bytes, ...]:
    """A reply of a site, as far as it travels in one message, after our processes' own set-up of FOBS."""
    fobs_initialize()
    use_pieces()
    model = FLModel(params_type=ParamsType.DIFF, params={"a": 1.5}, meta={"case_count": 5, "run_key": "run"})
    shareable = FLModelUtils.to_shareable(model)
    return fobs.dumps(shareable), fobs.dumps({"task": "train", "numbers": [1, 2.5, None], "t": (1, 2)})


_TYPES = (
    *sorted(BUILTIN_TYPES),
    *("os.system", "subprocess.Popen", "builtins.eval", "pathlib.Path", "numpy.ndarray", "torch.Tensor", "", "x"),
    *("nvflare.apis.shareable.Shareable", "nvflare.apis.dxo.DXO", "collections.OrderedDict", "datetime.datetime"),
    *("nvflare.apis.fl_context.FLContext", "fedvoxel.flare.kit_storage.KitStorage", "tempfile.TemporaryDirectory"),
)
_DECOMPOSERS = (*sorted(BUILTIN_DECOMPOSERS), "os.system", "", "nvflare.fuel.utils.fobs.decomposer.DictDecomposer")
_CONTENTS = st.recursive(
    st.sampled_from((None, True, -1, 2**63, 1e308, "", "/etc/passwd", "x" * 3000, b"", b"\x00" * 100, b"PK\x03\x04")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def _objects(draw: st.DrawFn) -> bytes:
    """A message that names a type and how to make it, right or wrong, perhaps in others without end."""
    content: Any = draw(_CONTENTS)
    for _ in range(draw(st.sampled_from((1, 1, 2, 5, 400)))):
        content = {
            "__fobs_type__": draw(st.sampled_from(_TYPES)),
            "__fobs_data__": draw(st.sampled_from((content, [content], {"x": content}))),
            "__fobs_dc__": draw(st.sampled_from(_DECOMPOSERS)),
        }
    try:
        return bytes(msgpack.packb(content, strict_types=True))
    except (ValueError, OverflowError):
        return b"\xdd\xff\xff\xff\xff"


_BOMBS = (
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc1"),
    *(b"\x91" * 100_000, b"\xdd\x7f\xff\xff\xff" * 1000, b"\x81\xa1a" * 50_000, b"\xc9\xff\xff\xff\xff\x01", b""),
)


def _load(content: bytes, folder: Path) -> None:
    _messages()
    fobs.loads(content)


# ------------------------------------------------------------------ archives


_PATHS = (
    *(
        "../escaped.json",
        "/escaped.json",
        f"{_NAME}/../../escaped.json",
        f"{_NAME}/app/custom/x.py",
        "C:/x",
        "a\\..\\..\\b",
    ),
    *(
        f"{_NAME}/" + "d/" * 500 + "x",
        f"{_NAME}/meta.json",
        f"{_NAME}/a\x00b",
        f"{_NAME}/\u202e.json",
        "",
        f"{_NAME}/app/",
    ),
)
_CONF = 'include file("/etc/passwd")\ninclude url("http://127.0.0.1:9/x")\nname = x\na = ${?PATH}'
_KINDS = ("plain", "path", "link", "device", "bomb", "meta bomb", "twice", "conf", "yml", "method", "many", "meta")


@st.composite
def archives(draw: st.DrawFn) -> bytes:
    """A job's ZIP that no console of ours would make."""
    kind, stream = draw(st.sampled_from(_KINDS)), io.BytesIO()
    documents = {f"{_NAME}/{name}": json.dumps(content).encode() for name, content in job_documents().items()}
    if kind == "meta":
        documents[f"{_NAME}/meta.json"] = draw(mutated_text((job_documents()["meta.json"],)))
    if kind in ("conf", "yml"):
        documents.pop(f"{_NAME}/meta.json")
        documents[f"{_NAME}/meta.{kind}"] = _CONF.encode() if kind == "conf" else b"!!python/name:os.system"
    method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    with zipfile.ZipFile(stream, "w", method if kind == "method" else zipfile.ZIP_DEFLATED) as archive:
        for folder in ("", "app/", "app/config/"):
            archive.writestr(f"{_NAME}/{folder}", b"")
        for name, content in documents.items():
            archive.writestr(name, content)
        _add(archive, kind, draw(st.sampled_from(_PATHS)))
    content = stream.getvalue()
    return draw(mutated_bytes((content,))) if draw(st.booleans()) else content


def _add(archive: zipfile.ZipFile, kind: str, path: str) -> None:
    info = zipfile.ZipInfo(path or "x")
    if kind in ("link", "device"):
        info.external_attr = (0o120777 if kind == "link" else 0o020666) << 16
        archive.writestr(info, b"/etc/passwd")
        archive.writestr(f"{path}/inside", b"x")
    elif kind == "path":
        archive.writestr(info, b"x")
    elif kind == "bomb":
        archive.writestr(f"{_NAME}/app/config/bomb.json", bytes(100_000_000))
    elif kind == "meta bomb":
        archive.writestr(f"{_NAME}/app/config/config_fed_client.conf", bytes(100_000_000))
    elif kind == "twice":
        archive.writestr(f"{_NAME}/meta.json", b"{}")
    elif kind == "many":
        for index in range(2000):
            archive.writestr(f"{_NAME}/app/config/{index}.json", b"{}")


def _submit(content: bytes, folder: Path) -> None:
    """What the server does with a submitted job: it looks into the archive, and unpacks it."""
    valid, why, _ = JobMetaValidator().validate(_NAME, content)
    (folder / "unpacked").mkdir()
    unzip_all_from_bytes(content, str(folder / "unpacked"))
    if any(path.is_symlink() for path in (folder / "unpacked").rglob("*")):
        raise UnwantedError("a link that was unpacked")
    if not valid:
        raise ValueError(why)


TARGETS = (
    Target(
        "messages",
        "messages",
        st.deferred(lambda: st.one_of(mutated_bytes(_messages()), _objects(), st.sampled_from(_BOMBS))),
        _load,
        (Exception,),
    ),
    Target("archives", "job archives", archives(), _submit, (Exception,)),
)
