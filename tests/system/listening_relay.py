"""A relay whose owner reads along: FLARE's own program, which also keeps every message after its TLS has ended.

It is run in the place of FLARE's, with the environment's LISTENING_RELAY_FILE as the place to keep them.
"""

import os
import sys
from pathlib import Path

from nvflare.fuel.f3.connection import Connection
from nvflare.fuel.f3.mpm import MainProcessMonitor
from nvflare.private.fed.app.relay import relay


def main() -> int:
    """Runs the relay; every frame goes to the file too."""
    process_frame = Connection.process_frame
    with Path(os.environ["LISTENING_RELAY_FILE"]).open("ab", buffering=0) as kept:

        def listening(connection: Connection, frame: bytes) -> None:
            kept.write(bytes(frame))
            process_frame(connection, frame)

        Connection.process_frame = listening
        arguments = relay.parse_arguments()
        return int(MainProcessMonitor.run(main_func=relay.main, run_dir=arguments.workspace, args=arguments) or 0)


if __name__ == "__main__":
    sys.exit(main())
