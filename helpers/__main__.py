"""``python -m helpers`` is the console script ``edgesec``."""

from helpers.cli import main

if __name__ == "__main__":
    main(prog_name="edgesec")
