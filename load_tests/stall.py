"""The gateway while its log takes nothing: `gateway/stall.py` as a scenario."""

from __future__ import annotations

from load_tests.gateway_script import outcome
from load_tests.options import Options
from load_tests.result import Result

GOAL_MIB, GOAL_RATIO = 32.0, 1.2


def run(options: Options) -> Result:
    """The phases of the script, as figures."""
    found = outcome("stall.py", ["--seconds", "5" if options.quick else "60"])
    result = Result("stall", data=found)
    stalled = found["stalled"]
    well = (found["before"]["p99_ms"] + found["after"]["p99_ms"]) / 2
    ratio = stalled["p99_ms"] / well
    result.add("p99 stalled / well", ratio, "ratio", goal=GOAL_RATIO, at_least=False)
    grown = stalled["memory_growth_bytes"] / 2**20
    result.add("memory growth stalled", grown, "MiB", goal=GOAL_MIB, at_least=False)
    result.add("calls stalled", stalled["rate"], "calls/s")
    return result
