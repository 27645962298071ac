"""Plays ranges of seeds: `make simulate SEEDS=0:1000`, or `python -m simulation --seeds 0:1000`."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from simulation.batch import chunk
from simulation.controls import CONTROLS

CHUNK = 250


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:1000", help="FROM:TO")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--control", choices=sorted(CONTROLS), help="without one of the guards")
    parser.add_argument("--cover", action="store_true", help="print how often what was met")
    options = parser.parse_args(arguments)
    begin, end = map(int, options.seeds.split(":"))
    chunks = [(at, min(at + CHUNK, end), options.control) for at in range(begin, end, CHUNK)]
    started, cover, played, failure = time.monotonic(), Counter(), 0, None
    with ProcessPoolExecutor(options.jobs) as pool:
        for count, more, words in pool.map(chunk, chunks):
            played += count
            cover.update(more)
            failure = failure or words
            seconds = time.monotonic() - started
            sys.stdout.write(f"\r{played} schedules, {played / seconds:.0f}/s ")
            sys.stdout.flush()
            if failure:
                pool.shutdown(cancel_futures=True)
                break
    sys.stdout.write("\n")
    if options.cover:
        for name, count in sorted(cover.items()):
            sys.stdout.write(f"{count:10d} {count / max(played, 1):8.3f}  {name}\n")
    if failure:
        sys.stdout.write(failure + "\n")
    return int(bool(failure))


if __name__ == "__main__":
    sys.exit(main())
