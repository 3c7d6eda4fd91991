import sys
from pathlib import Path

# The benchmarks are scripts: what they share is found beside them.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
