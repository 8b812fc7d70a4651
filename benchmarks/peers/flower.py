"""Drives Flower, in Flower's own environment: its SuperLink, four SuperNodes or its simulation engine, and one run.

The SuperLink, and the SuperNodes of the deployment engine, are up and connected before the run is submitted. The
deployment has TLS, and every SuperNode signs with a key of its own that the SuperLink knows.

    python -m benchmarks.peers.flower SETTING ANSWER
"""

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.peers.lines import SERVER, Lines
from benchmarks.peers.setting import Answer, Setting, read_setting, write_answer

APP = Path(__file__).with_name("flower_app")
_LOOPBACK, _PORT, _NODE_PORT = "127.0.0.1", 28151, 28152
_START_TIMEOUT_S = 180.0


def main(setting_file: Path, answer_file: Path) -> None:
    """Runs the app once with the engine `more["engine"]`: `simulation` or `deployment`.

    Raises:
        RuntimeError: Flower left no model.
    """
    setting = read_setting(setting_file)
    simulation = setting.more["engine"] == "simulation"
    _write_connection(setting, simulation)
    with _simulation_link() if simulation else _deployment(setting):
        # Imported before the clock starts, as FLARE is for the others' submitters.
        from flwr.cli.run.run import run

        nodes = [f"num-supernodes={len(setting.site_files)} client-resources-num-cpus=1"] if simulation else None
        chosen = [f'setting="{setting_file}"']
        submitted = time.time()
        run(str(APP), "peers", None, chosen, nodes, stream=True, output_format="default")
        finished = time.time()
    model = Path(setting.model)
    if not model.is_file():
        raise RuntimeError("Flower's run left no model: an error of its ServerApp or of a ClientApp")
    write_answer(answer_file, Answer(submitted, model.stat().st_mtime, finished))


def _write_connection(setting: Setting, simulation: bool) -> None:
    """Writes Flower's own settings, which say where the SuperLink is."""
    trust = "insecure = true" if simulation else f'root-certificates = "{setting.more["certificates"]}/ca.pem"'
    host = _LOOPBACK if simulation else SERVER
    lines = ["[superlink]", 'default = "peers"', "[superlink.peers]", f'address = "{host}:{_PORT}"', trust, ""]
    home = Path(setting.more["flower_home"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text("\n".join(lines))


@contextlib.contextmanager
def _simulation_link() -> Iterator[None]:
    with _running([["flower-superlink", "--simulation", "--insecure", *_at(_PORT)]]):
        _wait("its SuperLink", lambda: _listens(_LOOPBACK))
        yield


@contextlib.contextmanager
def _deployment(setting: Setting) -> Iterator[None]:
    keys = Path(setting.more["certificates"])
    tls = ["--ssl-certfile", f"{keys}/server.pem", "--ssl-keyfile", f"{keys}/server.key"]
    tls += ["--ssl-ca-certfile", f"{keys}/ca.pem"]
    lines = Lines(list(setting.site_files))
    with _running([["flower-superlink", *tls, "--enable-supernode-auth", *_at(_PORT, SERVER)]]):
        _wait("its SuperLink", lambda: _listens(SERVER))
        for site in setting.site_files:
            _flwr("supernode", "register", f"{keys}/{site}.pub", "peers")
        with contextlib.ExitStack() as nodes:
            for site in setting.site_files:
                with lines.at(site):
                    nodes.enter_context(_running([_supernode(keys, site)]))
            _wait("every SuperNode", lambda: _nodes_online() == len(setting.site_files))
            yield


def _supernode(keys: Path, site: str) -> list[str]:
    command = ["flower-supernode", "--superlink", f"{SERVER}:{_PORT}", "--root-certificates", f"{keys}/ca.pem"]
    command += ["--auth-supernode-private-key", f"{keys}/{site}.key", "--node-config", f'site="{site}"']
    return [*command, *_at(_NODE_PORT)]


def _at(port: int, host: str = _LOOPBACK) -> list[str]:
    return ["--host", host, "--port", str(port)]


@contextlib.contextmanager
def _running(commands: Sequence[Sequence[str]]) -> Iterator[None]:
    processes = [subprocess.Popen([_program(command[0]), *command[1:]]) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _wait(what: str, is_there: Callable[[], bool]) -> None:
    """Waits until something of Flower is up.

    Raises:
        RuntimeError: The time is over.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not is_there():
        if time.monotonic() > deadline:
            raise RuntimeError(f"error: Flower did not have {what} up within {_START_TIMEOUT_S:.0f} s")
        time.sleep(0.5)


def _listens(host: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, _PORT)) == 0


def _nodes_online() -> int:
    said = _flwr("supernode", "list", "peers", "--format", "json")
    return sum(node["status"] == "online" for node in json.loads(said[said.index("{") :])["nodes"])


def _flwr(*words: str) -> str:
    return subprocess.run([_program("flwr"), *words], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
