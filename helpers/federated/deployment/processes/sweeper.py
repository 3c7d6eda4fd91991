"""Delete a folder once whoever named it on standard input has ended."""

import shutil
import sys
import time
from pathlib import Path

_ATTEMPTS, _PAUSE = 50, 0.1


def main() -> None:
    """Read the folder's name, wait for the end of the input, and delete the folder."""
    folder = Path(sys.stdin.readline().rstrip("\n"))
    sys.stdin.read()
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)  # processes that end as well may have written in between


if __name__ == "__main__":
    main()
