"""Files into a running `leadline up`, and the figures out: the same as with no server."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import pytest

NAMES = ("cat", "dog", "fox")
DECLARATION = "name: animals\nclasses: [cat, dog, fox]\noutput: {form: probabilities}\n"


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that nobody uses now."""
    for _ in range(100):
        first = random.randrange(20_000, 30_000)
        sockets = [socket.socket() for _ in range(count)]
        try:
            for at, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + at))
        except OSError:
            continue
        else:
            return first
        finally:
            for each in sockets:
                each.close()
    pytest.fail("no free ports")


@pytest.fixture
def leadline(tmp_path):
    """Runs a command beside a running `leadline up`."""
    port = free_ports(6)
    environ = {name: text for name, text in os.environ.items() if not name.startswith("LEADLINE_")}
    environ["LEADLINE_READER"] = f"127.0.0.1:{port + 1}"
    command = [sys.executable, "-m", "leadline"]
    running = subprocess.Popen(
        [*command, "up", "--port", str(port)],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    while "ready" not in lines:
        line = running.stdout.readline()
        assert line, f"it ended: {lines}"
        lines.append(line.strip())

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            check=False,
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
        )

    yield call
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    running.stdout.close()


def write_files(folder) -> None:
    rng = random.Random(3)
    predictions, labels = [], []
    for at in range(2000):
        true = rng.randrange(3)
        scores = [rng.random() / 2 for _ in NAMES]
        scores[true] += 0.3
        scores = [score / sum(scores) for score in scores]
        named = {f"score_{name}": score for name, score in zip(NAMES, scores, strict=True)}
        predictions.append({"id": f"order-{at}", **named, "device": "phone" if at % 2 else "web"})
        if at % 3:
            labels.append({"id": f"order-{at}", "label": NAMES[true]})
    for name, rows in (("p.csv", predictions), ("l.csv", labels)):
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def shown(leadline, labels: int, *arguments: str) -> dict:
    """The answer of `show` once so many labels are counted."""
    deadline = time.monotonic() + 30
    while True:
        done = leadline("show", "animals", "--json", *arguments)
        if done.returncode == 0:
            found = json.loads(done.stdout)
            if int(found["summary"]["basis"]["labelled"]) >= labels:
                return found
        assert time.monotonic() < deadline, done.stdout + done.stderr


def test_files_through_the_system_give_the_figures_of_files_alone(leadline, tmp_path):
    write_files(tmp_path)
    (tmp_path / "m.yaml").write_text(DECLARATION)
    applied = leadline("models", "apply", "m.yaml", "--json")
    assert applied.returncode == 0, applied.stderr
    assert json.loads(applied.stdout)["models"][0]["changes"]
    assert "unchanged" in leadline("models", "apply", "m.yaml").stdout
    assert "cat" in leadline("models", "show", "animals").stdout
    arguments = ("--model", "animals", "--version", "1", "--slice", "device")
    done = leadline("predictions", "import", "p.csv", *arguments)
    assert done.returncode == 0, done.stderr
    done = leadline("labels", "import", "l.csv", "--task", "animals")  # names: from the declaration
    assert done.returncode == 0, done.stderr
    alone = json.loads(leadline("evaluate", "p.csv", "l.csv", "--json").stdout)
    live = shown(leadline, alone["labelled"])
    summary = live["summary"]
    assert summary["accuracy"]["value"] == alone["accuracy"]["value"]
    assert summary["macro"]["f1"] == pytest.approx(alone["macro"]["f1"])
    matrix = live["confusion_matrix"]
    assert matrix["true_class"] == alone["confusion"]["true_class"]
    assert matrix["predicted_class"] == alone["confusion"]["predicted_class"]
    assert [int(count) for count in matrix["count"]] == alone["confusion"]["count"]
    part = shown(leadline, 1, "--slice", "device=phone")["summary"]["basis"]
    assert 0 < int(part["predictions"]) < 2000
    people = leadline("show", "animals")
    assert "Confusion matrix" in people.stdout
    assert "animals version 1" in people.stdout
    listed = leadline("models", "list")
    assert "animals" in listed.stdout
    doctor = leadline("doctor", "--json")
    assert doctor.returncode == 0, doctor.stdout
    missing = leadline("show", "nobody")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
