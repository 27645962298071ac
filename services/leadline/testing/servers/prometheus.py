"""Prometheus on loopback, from the system's package, and the judgement of its `promtool`."""

import http.client
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from leadline.testing.servers.process import (
    ManagedProcess,
    ServerError,
    answers_ok,
    find_program,
    free_port,
)

REMEDY = "Install Prometheus: `apt-get install prometheus`, or `make tools`."


@dataclass(frozen=True)
class Sample:
    """One element of an instant vector.

    Attributes:
        labels: all its labels; the metric's name is `__name__`.
        value: at the time of the question.
    """

    labels: dict[str, str]
    value: float


class Prometheus:
    """One Prometheus server that scrapes the given targets every second.

    Args:
        folder: its configuration, data and log. Made if missing.
        targets: `host:port` of each; `/metrics` is scraped there.
        rules: files with recording or alerting rules, evaluated every second.

    Raises:
        MissingProgramError: Prometheus is not installed.
    """

    def __init__(self, folder: Path, targets: Sequence[str], rules: Sequence[Path] = ()) -> None:
        self._folder = folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        configuration = self._folder / "prometheus.json"  # YAML, of which JSON is a part
        configuration.write_text(json.dumps(scrape_config(targets, rules)), encoding="utf-8")
        command = [
            str(find_program("prometheus", REMEDY)),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        self._process = ManagedProcess("prometheus", command, self._folder)

    @property
    def address(self) -> str:
        """`host:port` of its web page and API."""
        return f"127.0.0.1:{self._port}"

    @property
    def process(self) -> ManagedProcess:
        """The running program, for its log and its process id."""
        return self._process

    def start(self, deadline_s: float = 30.0) -> None:
        """Starts the server; the first scrapes follow within two seconds.

        Raises:
            ServerError: it was not ready in time.
        """
        self._process.start(self.ready, deadline_s)

    def ready(self) -> bool:
        """Whether the server answers queries."""
        return answers_ok(self._port, "/-/ready")

    def query(self, promql: str) -> list[Sample]:
        """The answer to an instant query, now; empty where nothing matches.

        Raises:
            ServerError: the query is not valid, or does not yield a vector or a scalar.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", f"/api/v1/query?{urlencode({'query': promql})}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["status"] != "success":
            raise ServerError(f"{promql}: {answer['error']}")
        return samples(answer["data"], promql)

    def stop(self, budget_s: float = 15.0) -> None:
        """Stops the server; its data stay."""
        self._process.stop(budget_s)


def samples(data: dict[str, object], promql: str) -> list[Sample]:
    """The samples in the `data` of an answer of the query API.

    Raises:
        ServerError: it is neither a vector nor a scalar.
    """
    match data:
        case {"resultType": "vector", "result": list(elements)}:
            return [Sample(each["metric"], float(each["value"][1])) for each in elements]
        case {"resultType": "scalar", "result": [_, str(value)]}:
            return [Sample({}, float(value))]
    raise ServerError(f"{promql}: not an instant vector or a scalar")


def scrape_config(targets: Sequence[str], rules: Sequence[Path]) -> dict[str, object]:
    """Prometheus's configuration for these targets, everything every second."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path.resolve()) for path in rules],
        "scrape_configs": [{"job_name": "leadline", "static_configs": [{"targets": [*targets]}]}],
    }


def promtool_check(metrics: str) -> list[str]:
    """What promtool finds wrong in a page of metrics, a line each; empty when all is well.

    Raises:
        MissingProgramError: promtool is not installed.
    """
    return promtool(["check", "metrics"], metrics)


def promtool_check_rules(rules: Path) -> list[str]:
    """What promtool finds wrong in a file of rules, a line each; empty when all is well.

    Raises:
        MissingProgramError: promtool is not installed.
    """
    return promtool(["check", "rules", str(rules)], "")


def promtool(arguments: Sequence[str], text: str) -> list[str]:
    """Runs promtool with `text` as its input; its complaints, a line each."""
    tool = str(find_program("promtool", REMEDY))
    result = subprocess.run(
        [tool, *arguments], input=text, capture_output=True, text=True, check=False
    )
    complaints = result.stderr.strip().splitlines()
    if result.returncode != 0 and not complaints:
        complaints = result.stdout.strip().splitlines() or [f"exit code {result.returncode}"]
    return complaints if result.returncode != 0 else []
