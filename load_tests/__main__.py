"""`make bench`: runs every scenario, prints its table, writes its figures as JSON.

python -m load_tests [SCENARIO ...] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCENARIOS = {
    "hop": ["gateway/hop.py", "--tools", ".tools"],
    "stall": ["gateway/stall.py"],
    "kafka_to_truth": ["counting/kafka_to_truth.py"],
}


def main() -> int:
    """Runs the chosen scenarios one after the other; returns how many missed their goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"of: {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("test-results"), help="for the JSON")
    given = parser.parse_args()
    unknown = set(given.scenario) - set(SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    given.out.mkdir(parents=True, exist_ok=True)
    missed = 0
    for name in given.scenario or SCENARIOS:
        script, *options = SCENARIOS[name]
        print(f"\n== {name} ==", flush=True)
        command = [sys.executable, str(HERE / script), *options]
        command += ["--json", str(given.out / f"{name}.json")]
        missed += subprocess.run(command, check=False).returncode != 0
    return missed


if __name__ == "__main__":
    sys.exit(main())
