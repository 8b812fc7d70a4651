"""Fixtures that every test shares: the development scans, and a home folder that is nobody's."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Examples are the same in every run, and their database is not left in the checkout.
settings.register_profile("house", derandomize=True, database=None, deadline=None, max_examples=50)
settings.load_profile("house")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of development scans that FEDVOXEL_DATA names; the test is skipped without it."""
    named = os.environ.get("FEDVOXEL_DATA")
    if not named:
        pytest.skip("set FEDVOXEL_DATA to a folder with the development scans")
    folder = Path(named).resolve()
    if not folder.is_dir():
        pytest.fail(f"FEDVOXEL_DATA names {named}, which is not a folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _heeds_interrupts() -> None:
    """Undoes what a shell does to a command that it runs in the background: it has that ignore interrupts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session", autouse=True)
def _nobodys_home(_home: Path) -> Iterator[None]:
    """Gives this process and its children a home of their own: FLARE, matplotlib and nilearn write to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(_home))
        patch.setenv("XDG_CACHE_HOME", str(_home / ".cache"))
        patch.setenv("XDG_CONFIG_HOME", str(_home / ".config"))
        patch.setenv("MPLCONFIGDIR", str(_home / ".config" / "matplotlib"))
        patch.setenv("MPLBACKEND", "Agg")
        yield


@pytest.fixture
def owners_umask() -> Iterator[None]:
    """Has the test write as a kit's processes do: for the owner alone."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the tests marked gpu where torch sees none; torch is imported only when such a test was chosen."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a GPU that torch can use"))
