"""`make example-filetype`: a real model of 214 classes on real labelled traffic, the files here.

start  magika's network in Triton (or in process), log, truth store, `leadline up`; declare it
play   files of this machine through the gateway; their extensions are the labels
end    accuracy, worst types, most confused pairs; the same out of the log in one batch, else exit 1

Nothing leaves the machine, and no file's content is kept: only scores, classes and sizes.
"""

from __future__ import annotations

import shutil
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import grpc
import numpy as np
from rich.console import Console
from tritonclient.grpc import service_pb2_grpc

from leadline.demo.filetype_data import FileModel, LabelledFile, choose, read_model, walk
from leadline.demo.filetype_play import (
    INPUT,
    MODEL,
    OUTPUT,
    VERSION,
    FilePlayer,
    infer_request,
    scores_of,
)
from leadline.demo.filetype_report import ROWS, report
from leadline.demo.onnx_repository import load_repository
from leadline.demo.player import CALL_SECONDS
from leadline.demo.recompute import ends, recompute, rows_in
from leadline.demo.show import Reader
from leadline.demo.world import (
    Choices,
    require_free_ports,
    serve_models,
    start_leadline,
    start_log,
    start_store,
)
from leadline.records.errors import LeadlineError
from leadline.runtime.clock import SystemClock
from leadline.runtime.declaration import read_declarations
from leadline.runtime.log.open import open_log
from leadline.runtime.log.port import Log
from leadline.testing.servers.process import ServerError, until
from leadline.testing.servers.triton import Tensor, write_onnx_model

SETTLE_SECONDS = 60.0
EACH = 500
"""Files between two lines."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to play.

    Attributes:
        roots: folders whose files are the traffic.
        files: at most so many.
        seed: of the choice.
        keep: whether everything stays up to be looked at, until Ctrl-C.
    """

    roots: tuple[Path, ...]
    files: int
    seed: int
    keep: bool


FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    default=(Path("/usr"), Path("/etc")),
    show_default=True,
    help="Folder whose files are the traffic; may be given again.",
)
@click.option("--files", default=4_000, show_default=True, help="At most so many.")
@click.option("--seed", default=1, show_default=True, help="Of the choice of files.")
@click.option("--keep", is_flag=True, help="Stay up to be looked at, until Ctrl-C.")
@click.option("--kafka", is_flag=True, help="A real Apache Kafka instead of the embedded log.")
@click.option("--postgres", is_flag=True, help="A real PostgreSQL instead of SQLite.")
@click.option("--port", default=8430, show_default=True, help="The console's.")
@click.option("--data", type=FOLDER, default=Path(".demo/filetype"), show_default=True)
@click.option("--tools", type=FOLDER, default=Path(".tools"), show_default=True)
def main(  # noqa: PLR0913 - one argument an option
    *,
    roots: tuple[Path, ...],
    files: int,
    seed: int,
    keep: bool,
    kafka: bool,
    postgres: bool,
    port: int,
    data: Path,
    tools: Path,
) -> None:
    """Evaluates a model of 214 file types on the files of this machine."""
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    choices = Choices(data.resolve(), tools.resolve(), kafka, postgres, port)
    try:
        require_free_ports(choices)
        with ExitStack() as stack:
            if not run(stack, choices, console, Asked(roots, files, seed, keep)):
                sys.exit(1)
    except KeyboardInterrupt:
        console.print("\nStopped.")
    except (LeadlineError, ServerError) as error:
        console.print(f"[red]{error}[/red]", markup=True)
        sys.exit(2)


def run(stack: ExitStack, choices: Choices, console: Console, asked: Asked) -> bool:
    """The whole example; returns whether live and batch figures are equal."""
    model = read_model(choices.tools)
    found = list(walk(asked.roots, model.type_of))
    chosen = choose(found, asked.files, np.random.default_rng(asked.seed))
    types = len({each.true_type for each in chosen})
    where = ", ".join(map(str, asked.roots))
    console.print(
        f"{len(found):,} files of {where} have an extension that names a type; "
        f"{len(chosen):,} of {types} types are played."
    )
    if not chosen:
        raise ServerError(f"no file of {where} has an extension of a known type")
    shutil.rmtree(choices.data, ignore_errors=True)
    choices.data.mkdir(parents=True)
    log, reader = start(stack, choices, console, model)
    player = FilePlayer(choices.address(3), SystemClock())
    play(player, chosen, console)
    settle(choices, log, reader, (player.predictions, player.labels))
    summary = reader.summary(VERSION)
    if summary is None:
        raise ServerError("nothing was counted")
    for line in report(summary, reader.matrix(VERSION, pairs_max=ROWS)):
        console.print(line)
    equal = reader.figures(VERSION) == recompute(log, choices.partitions)[MODEL, VERSION]
    console.print(
        "\nThe same out of the log in one batch: equal, cell by cell."
        if equal
        else "\n[red]The log in one batch gives other figures: this is a bug.[/red]",
        markup=True,
    )
    if asked.keep:
        console.print(f"Look at {page(choices)}; Ctrl-C ends.")
        signal.pause()
    return equal


def start(
    stack: ExitStack, choices: Choices, console: Console, model: FileModel
) -> tuple[Log, Reader]:
    """Starts everything and declares the model."""
    log_url = start_log(stack, choices, console.print)
    store_url = start_store(stack, choices, console.print)
    served = start_model(stack, choices, console, model)
    start_leadline(stack, choices, log_url, store_url, served)
    reader = Reader(choices.address(1), MODEL)
    stack.callback(reader.close)
    (choices.data / "classes.txt").write_text("\n".join(model.classes) + "\n", "utf-8")
    declared = Path(__file__).with_name("filetype.yaml")
    for spec in read_declarations(Path(shutil.copy(declared, choices.data))):
        reader.apply(spec)
    log = open_log(log_url, SystemClock())
    stack.callback(log.close)
    console.print(f"console               {page(choices)}\n")
    return log, reader


def page(choices: Choices) -> str:
    """Where the figures are to be seen."""
    return f"http://{choices.address(0)}/models/{MODEL}/versions/{VERSION}"


def start_model(stack: ExitStack, choices: Choices, console: Console, model: FileModel) -> str:
    """Address of a server of the network, which is known to answer rightly."""
    repository = choices.data / "models"
    write_onnx_model(
        repository,
        MODEL,
        int(VERSION),
        model.onnx,
        [Tensor(INPUT, "INT32", (2_048,))],
        [Tensor(OUTPUT, "FP32", (len(model.classes),), labels=model.classes)],
        queue_delay_us=2_000,
    )
    address = serve_models(stack, choices, repository, console.print, MODEL)
    fed = np.arange(2_048, dtype=np.int32) % 257
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        served = scores_of(stub.ModelInfer(infer_request(fed, 1), timeout=CALL_SECONDS))
    (local,) = load_repository(repository)[MODEL, VERSION].run({INPUT: fed[None]}, [OUTPUT])
    if served.shape != local[0].shape or not np.allclose(served, local[0], atol=1e-4):
        raise ServerError("the server answers wrong scores: run `make clean` and `make tools`")
    return address


def play(player: FilePlayer, files: list[LabelledFile], console: Console) -> None:
    """Plays the files and says now and then how many."""
    for number in player.play(files):
        if number % EACH == 0:
            console.print(f"{number:6,} files asked, {player.labels:6,} labels reported")
    console.print(f"{player.predictions:6,} files asked, {player.labels:6,} labels reported\n")


def settle(choices: Choices, log: Log, reader: Reader, sent: tuple[int, int]) -> None:
    """Waits until all that was sent is in the log and counted."""
    partitions = choices.partitions
    until(lambda: rows_in(log, partitions) == sent, SETTLE_SECONDS, f"{sent} rows in the log")
    until(lambda: reader.vector() == ends(log, partitions), SETTLE_SECONDS, "everything counted")


if __name__ == "__main__":
    main()
