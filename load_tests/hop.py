"""What the gateway's hop costs: `gateway/hop.py` as a scenario."""

from __future__ import annotations

from load_tests.gateway_script import outcome
from load_tests.options import Options
from load_tests.result import Result

GOAL_MS, GOAL_CPU_MS = 0.6, 0.9


def run(options: Options) -> Result:
    """The rounds of the script, as figures."""
    rounds = ["--rounds", "1", "--requests", "50"] if options.quick else []
    found = outcome("hop.py", ["--tools", str(options.tools), *rounds])
    result = Result("hop", data=found)
    own = found["gateway"]
    result.add("added at p50", own["added_p50_ms"], "ms", goal=GOAL_MS, at_least=False)
    result.add("CPU a request", own["cpu_ms"], "ms", goal=GOAL_CPU_MS, at_least=False)
    result.add("p99", own["p99_ms"], "ms")
    return result
