"""Drives FedVoxel: server and hospitals on machines of their own, mutual TLS, up before the job is submitted.

python -m benchmarks.peers.ours SETTING ANSWER
"""

import shutil
import sys
from pathlib import Path

from benchmarks.overhead.federated import run_once
from benchmarks.peers.machines import running_apart
from benchmarks.peers.setting import Answer, read_setting, write_answer
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE
from fedvoxel.governance.consortium import load_consortium


def main(setting_file: Path, answer_file: Path) -> None:
    """Runs the job folder `more["job"]`, with its run key, in the workspace `more["workspace"]`."""
    setting = read_setting(setting_file)
    consortium, run_key = load_consortium(Path(setting.more["workspace"])), setting.more["run_key"]
    times = run_once(consortium, Path(setting.more["job"]), run_key, running_apart(consortium))
    shutil.copyfile(consortium.server_kit / "state" / "runs" / run_key / GLOBAL_MODEL_FILE, setting.model)
    submitted = times["submitted"]
    write_answer(answer_file, Answer(submitted, submitted + times["outcome_s"], submitted + times["seconds"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
