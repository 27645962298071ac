"""`make demo`: real digits through a real model, labels that come late, and live figures.

start    model server, log, truth store, `leadline up`; declare the model
play     requests through the gateway; labels later, some wrong and corrected
halfway  one kiosk's camera goes bad, and the figures show it
end      everything once more out of the log in one batch: equal, or exit 1
"""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from leadline.demo.assets import load_heldout, load_record
from leadline.demo.history import DAY_SECONDS, write_history
from leadline.demo.onnx_repository import load_repository
from leadline.demo.player import CHAMPION, MODEL, SHADOW, Played, Player
from leadline.demo.recompute import Figures, ends, recompute, rows_in
from leadline.demo.show import Reader, comparison, device_lines, progress_line
from leadline.demo.traffic import LabelHabits, Traffic
from leadline.demo.world import (
    Choices,
    require_free_ports,
    start_leadline,
    start_log,
    start_model,
    start_store,
)
from leadline.records.errors import LeadlineError
from leadline.runtime.clock import SystemClock
from leadline.runtime.declaration import read_declarations
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import Log
from leadline.testing.servers.process import ServerError, until

DEVICES = ("kiosk-a", "kiosk-b", "kiosk-c")
SETTLE_SECONDS = 60.0
HISTORY_RATE = 0.06
LINE_SECONDS = 5.0
CHOSEN = "choices.txt"


@click.command()
@click.option("--duration", type=float, help="Seconds of traffic; without it until Ctrl-C.")
@click.option("--kafka", is_flag=True, help="A real Apache Kafka instead of the embedded log.")
@click.option("--postgres", is_flag=True, help="A real PostgreSQL instead of SQLite.")
@click.option("--rate", default=40.0, show_default=True, help="Requests a second.")
@click.option("--seed", default=1, show_default=True, help="Of all that is random.")
@click.option("--port", default=8430, show_default=True, help="The console's.")
@click.option("--open", "again", is_flag=True, help="Show the data of the last run again.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Folder of everything that the demo writes.",
)
@click.option(
    "--tools",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".tools"),
    show_default=True,
    help="Folder of Triton and Kafka.",
)
def main(
    duration: float | None,
    kafka: bool,
    postgres: bool,
    rate: float,
    seed: int,
    port: int,
    again: bool,
    data: Path,
    tools: Path,
) -> None:
    """Runs everything on this machine and shows a model's figures live."""
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    choices = Choices(data.resolve(), tools.resolve(), kafka, postgres, port)
    try:
        require_free_ports(choices)
        with ExitStack() as stack:
            if again:
                show_again(stack, choices, console)
            elif not play(stack, choices, console, duration, rate, seed):
                sys.exit(1)
    except KeyboardInterrupt:
        console.print("\nStopped. The data stay: `make demo-open` shows them again.")
    except (LeadlineError, ServerError) as error:
        console.print(f"[red]{error}[/red]", markup=True)
        sys.exit(2)


def play(
    stack: ExitStack,
    choices: Choices,
    console: Console,
    duration: float | None,
    rate: float,
    seed: int,
) -> bool:
    """The whole demo; returns whether live and batch figures are equal."""
    shutil.rmtree(choices.data, ignore_errors=True)
    choices.data.mkdir(parents=True)
    (choices.data / CHOSEN).write_text(f"{choices.kafka:d}{choices.postgres:d}")
    log_url = start_log(stack, choices, console.print)
    store_url = start_store(stack, choices, console.print)
    triton = start_model(stack, choices, console.print)
    start_leadline(stack, choices, log_url, store_url, triton)
    reader = Reader(choices.address(1), MODEL)
    stack.callback(reader.close)
    for spec in read_declarations(Path(__file__).with_name("digits.yaml")):
        reader.apply(spec)
    log = open_log(log_url, SystemClock())
    stack.callback(log.close)
    past = import_history(choices, log, seed)
    introduce(console, choices, past[0])
    played = run_traffic(console, choices, reader, make_traffic(duration, rate, seed))
    sent = (past[0] + played.requests + played.shadows, past[1] + played.labels)
    return check(console, choices, reader, log, sent)


def import_history(choices: Choices, log: Log, seed: int) -> tuple[int, int]:
    """A day of the same traffic before now, when all cameras were good; returns its rows."""
    clock = SystemClock()
    day = replace(make_traffic(DAY_SECONDS, HISTORY_RATE, seed + 1), degraded_devices=())
    model = load_repository(choices.data / "models")[MODEL, CHAMPION]
    writer = log.writer()
    write_history(
        writer,
        model,
        day,
        partitions=choices.partitions,
        end_us=clock.now_us(),
        rng=np.random.default_rng(seed + 2),
    )
    writer.close()
    return rows_in(log, choices.partitions)


def make_traffic(duration: float | None, rate: float, seed: int) -> Traffic:
    """Held-out digits from three kiosks; the second one's camera goes bad halfway."""
    images, labels = load_heldout()
    return Traffic(
        images,
        labels,
        np.random.default_rng(seed),
        devices=DEVICES,
        rate_per_second=rate,
        duration_seconds=duration,
        strength=1.2,
        habits=LabelHabits(),
    )


def introduce(console: Console, choices: Choices, past: int) -> None:
    """Says where everything is."""
    accuracy = load_record()["versions"][CHAMPION]["heldout"]["accuracy"]
    page = f"http://{choices.address(0)}/models/{MODEL}/versions/{CHAMPION}"
    console.print(f"figures               {choices.address(1)}  (gRPC)")
    console.print(f"Prometheus            http://{choices.address(2)}/metrics")
    console.print(f"gateway               {choices.address(3)}  (gRPC, in front of the models)")
    console.print(f"[bold]console               {page}[/bold]\n", markup=True)
    console.print(
        f"Real digits that the model never saw: version {CHAMPION} was right on {accuracy:.1%} of "
        "them.\nTheir labels come seconds later; one in twenty is wrong at first and corrected.\n"
        f"A day of history was imported before: {past:,} predictions of the same model.\n"
    )


def run_traffic(console: Console, choices: Choices, reader: Reader, traffic: Traffic) -> Played:
    """Plays the traffic and says every few seconds what the reader sees of two minutes."""
    player = Player(choices.address(3), SystemClock())
    turns, said = traffic.degrades_at_seconds, 0.0
    turned = False
    for second in player.play(iter(traffic)):
        if not turned and second >= turns:
            turned = True
            console.print(f"\n{second:5.0f} s   The camera of kiosk-b goes bad: blur, rotation.\n")
        if second - said >= LINE_SECONDS:
            said = second
            summary = reader.summary(CHAMPION, last_seconds=120)
            console.print(progress_line(second, player.played, summary))
    console.print()
    return player.played


def check(
    console: Console, choices: Choices, reader: Reader, log: Log, sent: tuple[int, int]
) -> bool:
    """Waits until all that was sent is counted, and compares with a batch over the log."""
    partitions = choices.partitions
    until(lambda: rows_in(log, partitions) == sent, SETTLE_SECONDS, f"{sent} rows in the log")
    until(lambda: reader.vector() == ends(log, partitions), SETTLE_SECONDS, "everything counted")
    console.print("The last two minutes, by device:")
    for line in device_lines(reader, CHAMPION, DEVICES):
        console.print(line)
    found = recompute(log, partitions)
    batch = {version: figures for (_, version), figures in found.items()}
    live: dict[str, Figures] = {version: reader.figures(version) for version in (CHAMPION, SHADOW)}
    console.print()
    console.print(comparison(live, batch))
    equal = live == batch
    console.print(
        "\nEqual, cell by cell." if equal else "\n[red]They differ: this is a bug.[/red]",
        markup=True,
    )
    return equal


def show_again(stack: ExitStack, choices: Choices, console: Console) -> None:
    """Starts the services on the data of the last run, without traffic, until Ctrl-C.

    Raises:
        ServerError: there are no data.
    """
    noted = choices.data / CHOSEN
    if not noted.exists():
        raise ServerError("there are no data yet: run `make demo` first")
    kafka, postgres = (letter == "1" for letter in noted.read_text())
    same = Choices(choices.data, choices.tools, kafka, postgres, choices.port)
    log_url = start_log(stack, same, console.print)
    store_url = start_store(stack, same, console.print)
    start_leadline(stack, same, log_url, store_url, "")
    console.print(f"[bold]console               http://{same.address(0)}/[/bold]", markup=True)
    console.print("Ctrl-C ends.")
    signal.pause()


if __name__ == "__main__":
    main()
