"""What a run says at its end, for people and as JSON."""

import json

from soak.watch import percentile

MIB = 1024 * 1024


def summary(options, rounds, watch, producer, outcome, drained, wall_seconds):
    """Everything that a run found, in one dictionary."""
    recovered = {}
    for one in watch.recoveries:
        recovered.setdefault(one.what, []).append(one.seconds)
    memory = list(watch.seen.memory.values())
    return {
        "seed": options.seed,
        "rounds": options.rounds,
        "harms": dict(sorted(rounds.counts.items())),
        "wall_seconds": round(wall_seconds),
        "records_sent": producer.sent,
        "records_not_acknowledged": producer.lost,
        "rows": {"predictions": outcome.predictions, "labels": outcome.labels},
        "commits_seen": watch.seen.commits,
        "recovery_seconds": {what: _times(seconds) for what, seconds in recovered.items()},
        "owner_processes": len(memory),
        "owner_peak_mib": {
            "max": round(max(memory, default=0) / MIB),
            "p50": round((percentile(memory, 0.5) or 0) / MIB),
        },
        "owners_started_again": rounds.restarts,
        "bugs": [f"slot {bug.slot}: {bug.words}" for bug in rounds.bugs],
        "problems": watch.seen.problems,
        "drained": drained,
        "cells": outcome.cells,
        "cells_by_kind": dict(sorted(outcome.kinds.items())),
        "refused": outcome.refused,
        "rules": outcome.rules,
        "exceptions": outcome.exceptions,
        "control_differences": outcome.control,
        "wrong": outcome.wrong,
    }


def _times(seconds):
    known = [one for one in seconds if one is not None]
    return {
        "count": len(seconds),
        "open": len(seconds) - len(known),
        "p50": percentile(known, 0.5),
        "max": max(known, default=None),
    }


def failures(found):
    """Why a run fails; empty when it does not."""
    reasons = []
    if found["wrong"]:
        reasons.append(f"{found['wrong']} inequalities")
    if found["bugs"]:
        reasons.append(f"{len(found['bugs'])} owners ended by a bug")
    if found["problems"]:
        reasons.append(f"{len(found['problems'])} problems of the vector")
    if not found["drained"]:
        reasons.append("not everything was counted in time")
    if not found["cells"] or not found["control_differences"]:
        reasons.append("nothing was compared")
    return reasons


def lines(found, outcome):
    """The report's end."""
    rows, memory = found["rows"], found["owner_peak_mib"]
    said = [
        "",
        f"{rows['predictions']} predictions and {rows['labels']} labels in "
        f"{found['records_sent']} records, {found['refused']} refused; "
        f"{found['commits_seen']} moves of the vector seen in {found['wall_seconds']} s",
        "harms: " + ", ".join(f"{count} x {fault}" for fault, count in found["harms"].items()),
    ]
    for what, times in found["recovery_seconds"].items():
        if times["p50"] is not None:
            said.append(
                f"first commit after a kill of {what}: p50 {times['p50']:.1f} s, max "
                f"{times['max']:.1f} s of {times['count']}"
            )
    said += [
        f"memory of {found['owner_processes']} owner processes: p50 {memory['p50']} MiB, "
        f"max {memory['max']} MiB; {found['owners_started_again']} ended at their start, for want "
        "of a server, and were started again",
        f"{found['cells']} cells compared under {found['rules']} rules and {found['exceptions']} "
        f"exceptions: {found['wrong']} wrong; {found['control_differences']} differ in the control",
        "cells: " + ", ".join(f"{count} {kind}" for kind, count in found["cells_by_kind"].items()),
        *outcome.lines,
        *(f"bug: {bug}" for bug in found["bugs"]),
        *(f"problem: {problem}" for problem in found["problems"]),
    ]
    reasons = failures(found)
    return [*said, f"FAILED: {'; '.join(reasons)}" if reasons else "every count is right"]


def write(path, found):
    """The dictionary as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
