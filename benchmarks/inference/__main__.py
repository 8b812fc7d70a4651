"""Compares how a network is used on a CT: python -m benchmarks.inference [--shape 512 512 150] [--repeats 3].

MONAI's sliding window with the eager network and with TorchScript, and ours with ONNX Runtime and OpenVINO, each run in
a process of its own, the systems in turn, so that whatever else the machine does meets all alike. What is finished is
kept: stopped and run again, it goes on. Last, a hippocampus study from its DICOM folder to a segmentation.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import RESULTS, ROOT, WORK
from benchmarks.inference.networks import NETWORKS, convert
from benchmarks.inference.report import MEMORY_TARGET_MIB, markdown, rows_of
from benchmarks.inference.systems import SYSTEMS
from benchmarks.overhead.machine import watched
from benchmarks.parts import Parts, Values
from fedvoxel.records.atomic import write_json, write_text

_STUDY = "dicom_studies/hippocrop/Study1"


def main() -> int:
    """Measures what is missing, prints and writes the report."""
    options = _options()
    parts = Parts(options.work / "parts")
    if options.afresh:
        parts.forget()
    answers = _measured(options, parts)
    study = _study(options, parts)
    conditions = {"shape": options.shape, "window": options.window, "repeats": options.repeats}
    conditions["others"] = max(one["others"] for found in answers.values() for one in found)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    machine |= {name: version(name) for name in ("torch", "monai", "onnxruntime", "openvino", "numpy")}
    rows = rows_of(answers)
    values = {"rows": rows, "study": study, "conditions": conditions, "machine": machine}
    text = markdown(rows, study, conditions, machine)
    write_json(options.out / "inference.json", values)
    write_text(options.out / "inference.md", text)
    print(text + f"\nwritten: {options.out / 'inference.md'}, inference.json")
    return 0


def _measured(options: argparse.Namespace, parts: Parts) -> dict[tuple[str, str], list[Values]]:
    """Runs each system on each network, in turn; the systems that were only tried run once."""
    systems = ["eager", *(name for name in options.system or SYSTEMS if name != "eager")]
    answers: dict[tuple[str, str], list[Values]] = {}
    for network in options.network or NETWORKS:
        parameters = parts.run(f"{network}-forms", {}, lambda name=network: {"count": convert(name, options.work)})
        print(f"{network}: {parameters['count']} parameters", flush=True)
        for repeat in range(options.repeats):
            for system in systems:
                if repeat and SYSTEMS[system].is_tried:
                    continue
                asked = {"what": "volume", "network": network, "system": system, "limit_mb": MEMORY_TARGET_MIB}
                asked |= {"shape": options.shape, "window": options.window, "folder": str(options.work)}
                found = parts.run(f"{network}-{system}-{repeat}", asked, lambda what=asked: _in_process(what))
                answers.setdefault((network, system), []).append(found)
                print(f"  {system}: {found['wall_s']:.1f} s, {found['peak_mib']:.0f} MiB", flush=True)
    return answers


def _study(options: argparse.Namespace, parts: Parts) -> Values | None:
    folder = options.data / _STUDY
    if not folder.is_dir():
        print("no hippocampus study: name the folder of scans with --data")
        return None
    network = (options.network or list(NETWORKS))[0]
    asked = {"what": "study", "network": network, "study": str(folder), "folder": str(options.work)}
    return parts.run("study", asked, lambda: _in_process(asked))


def _in_process(asked: dict[str, Any]) -> Values:
    command = [sys.executable, "-m", "benchmarks.inference.process"]
    started = time.monotonic()

    def measured() -> Values:
        done = subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
        found: Values = json.loads(done.stdout.splitlines()[-1])
        return found

    found = watched(measured)
    return found | {"others": found["others_cpu_s"] / (time.monotonic() - started)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 150], help="voxels of the image")
    parser.add_argument("--window", type=int, nargs=3, default=[96, 96, 96], help="voxels of a window")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each system; medians are reported")
    parser.add_argument("--network", choices=NETWORKS, action="append", help="repeatable; default: all")
    parser.add_argument("--system", choices=SYSTEMS, action="append", help="repeatable; default: all")
    parser.add_argument("--afresh", action="store_true", help="measure again what is finished")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--work", type=Path, default=WORK / "inference", help="folder for what is made on the way")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
