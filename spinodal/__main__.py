"""python -m spinodal, and the command `spinodal`: the command line; ctrl-C while its modules load ends with 130."""

import os
import signal


def main() -> None:
    """Loads the command line and runs it."""
    default = signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    from spinodal.cli import main as run

    signal.signal(signal.SIGINT, default)
    run()


if __name__ == "__main__":
    main()
