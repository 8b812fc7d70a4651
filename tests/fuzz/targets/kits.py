"""Startup kits, consortium files, and a site's own policies."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import strategies as st

from fedvoxel.governance.certificates import check_certificates
from fedvoxel.governance.cohort_policy import check_cohort_policy
from fedvoxel.governance.consortium_file import load_consortium_file
from fedvoxel.governance.kit import open_kit, upstream_names
from fedvoxel.governance.ledger_presence import check_ledgers, check_note
from fedvoxel.governance.relay_policy import check_relay
from fedvoxel.governance.site_policy import check_policy
from fedvoxel.privacy.policy import load_privacy_policy
from fedvoxel.records.identity import load_identity
from fedvoxel.volumes.site import SITE_FILE, load_site_config
from tests.blob_job import describe_blobs
from tests.consortium_kits import FILE, SERVER, small_consortium
from tests.fuzz.mutation import HOSTILE, mutated_bytes
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target

_PARTS = ("startup/fed_", "startup/client", "startup/server", "startup/rootCA.pem", "local/", "startup/sub_start.sh")


@cache
def kits() -> dict[str, Path]:
    """The kits of a site, of a person and of the server."""
    made = small_consortium(Path(mkdtemp(prefix="fedvoxel_fuzz_")))
    describe_blobs(made.kit("hospital-a"))
    return {name: made.kit(name) for name in ("hospital-a", "scientist@consortium.example", SERVER)}


@st.composite
def _kits(draw: st.DrawFn) -> tuple[str, Spoiled]:
    name = draw(st.sampled_from(tuple(kits())))
    files = {path: content for path, content in files_of(kits()[name]).items() if path.startswith(_PARTS)}
    return name, draw(spoiled(files, tuple(files)))


def _open(case: tuple[str, Spoiled], folder: Path) -> None:
    name, change = case
    kit = open_kit(lay_out(kits()[name], change, folder))
    check_certificates(kit)
    if kit.kind in ("server", "site"):
        check_policy(kit)
        check_note(kit)
    if kit.kind != "site":
        return
    check_relay(kit)
    upstream_names(kit.folder)
    load_identity(kit.startup)
    site = load_site_config(kit.local / SITE_FILE)
    check_cohort_policy(kit, site.cohorts)
    check_ledgers(kit, site.cohorts)
    load_privacy_policy(kit.local)


_YAML = FILE.format(port=8102)
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(9)
)
_SAYINGS = (
    *("!!python/object/apply:os.system ['true']", "name: !!binary x", "[" * 5000, "{" * 5000, "- " * 5000, "&a *a"),
    *("a: &a {b: *a}", _BOMB, "1_0: 2001-99-99", "? [a]\n: b", "%TAG ! x\n---\n", "\ufeffname: x", "name: 1e999"),
)


@st.composite
def _consortia(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(("bytes", "line", "value", "saying")))
    if kind == "bytes":
        return draw(mutated_bytes((_YAML.encode(),)))
    lines = _YAML.splitlines()
    place = draw(st.integers(0, len(lines) - 1))
    if kind == "saying":
        lines[place : place + 1] = [draw(st.sampled_from(_SAYINGS))]
    elif kind == "line":
        lines[place : place + 1] = draw(st.sampled_from(([], [lines[place]] * 2, ["  " + lines[place]], ["\t"])))
    else:
        key, _, rest = lines[place].partition(":")
        lines[place] = f"{key}: {draw(st.sampled_from(HOSTILE))!r}{rest[-2:]}"
    text = "\n".join(lines) if draw(st.integers(0, 9)) else draw(st.sampled_from(_SAYINGS))
    return text.encode("utf-8", "surrogatepass")


def _consortium(content: bytes, folder: Path) -> None:
    (folder / "consortium.yml").write_bytes(content)
    load_consortium_file(folder / "consortium.yml")


TARGETS = (
    Target("kit", "kits", st.deferred(_kits), _open),
    Target("consortium_file", "kits", _consortia(), _consortium, bytes_origins=(_YAML.encode(),)),
)
