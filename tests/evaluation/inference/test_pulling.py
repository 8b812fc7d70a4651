"""Pulled images pass through a folder that goes, also when the program that made it was killed."""

import signal
import subprocess
import sys
from pathlib import Path

from fedvoxel.evaluation.inference.pulling import passing_folder

PULLING = """
import sys, time
from pathlib import Path
from fedvoxel.evaluation.inference.pulling import passing_folder
with passing_folder(Path(sys.argv[1])) as folder:
    (folder / "1.dcm").write_bytes(b"a patient's")
    print(folder.name, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_program_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PULLING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = tmp_path / other.stdout.readline().strip()
        try:
            with passing_folder(tmp_path) as ours:
                assert ours.stat().st_mode & 0o777 == 0o700
                assert (theirs / "1.dcm").is_file()
            assert not ours.exists()
        finally:
            other.send_signal(signal.SIGKILL)
    assert (theirs / "1.dcm").is_file()
    with passing_folder(tmp_path) as ours:
        assert list(tmp_path.iterdir()) == [ours]
    assert list(tmp_path.iterdir()) == []
