"""`leadline models`: declare models, and look at declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from leadline.cli.options import json_option, reader_option, timeout_option
from leadline.cli.output import message_dict, print_json
from leadline.cli.reader_client import ReaderClient, open_reader
from leadline.runtime.declaration import declaration_of, read_declarations
from leadline.v1 import models_pb2
from leadline.wire.models import model_from_proto, model_to_proto

_PAGE = 1000


@click.group("models")
def command() -> None:
    """Declare models, and look at declarations."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check and say what would change; change nothing.")
@reader_option
@timeout_option
@json_option
def apply(*, file: Path, dry_run: bool, reader: str, timeout_seconds: float, as_json: bool) -> None:
    """Declare the models in FILE (YAML or JSON), or change their declarations.

    A class list may only grow. All models of the file are checked before the first is changed.
    """
    specs = read_declarations(file)
    done: list[dict[str, Any]] = []
    with open_reader(reader, timeout_seconds) as client:
        for validate_only in (True,) if dry_run else (True, False):
            done = [
                {"model": spec.name, "changes": list(answer.changes)}
                for spec in specs
                for answer in [
                    client.ask(
                        client.models.ApplyModel,
                        models_pb2.ApplyModelRequest(
                            model=model_to_proto(spec), validate_only=validate_only
                        ),
                    )
                ]
            ]
    if as_json:
        print_json({"applied": not dry_run, "models": done})
        return
    for each in done:
        changes = each["changes"] or ["nothing changes" if dry_run else "unchanged"]
        for change in changes:
            click.echo(f"{each['model']}: {change}")


@command.command("list")
@reader_option
@timeout_option
@json_option
def list_(*, reader: str, timeout_seconds: float, as_json: bool) -> None:
    """List declared models, and those that are counted without a declaration."""
    with open_reader(reader, timeout_seconds) as client:
        found = all_models(client)
    if as_json:
        print_json([message_dict(model) for model in found])
        return
    from rich.table import Table  # noqa: PLC0415 - as in output.console

    from leadline.cli.output import console  # noqa: PLC0415 - as above

    table = Table(box=None, header_style="dim")
    for name in ("model", "task", "classes", "versions", "declared"):
        table.add_column(name)
    for model in found:
        versions = [each.name.rpartition("/")[2] for each in model.versions]
        table.add_row(
            model.name.removeprefix("models/"),
            model.task or model.name.removeprefix("models/"),
            str(len(model.classes) or "-"),
            ", ".join(versions[:5]) or "-",
            "yes" if model.declared else "no",
        )
    console().print(table if found else "no model is declared or counted")


@command.command()
@click.argument("name")
@reader_option
@timeout_option
@json_option
def show(*, name: str, reader: str, timeout_seconds: float, as_json: bool) -> None:
    """Show the declaration of model NAME, as a file for `apply` would hold it."""
    with open_reader(reader, timeout_seconds) as client:
        request = models_pb2.GetModelRequest(name=f"models/{name.removeprefix('models/')}")
        model = client.ask(client.models.GetModel, request).model
    if as_json:
        print_json(message_dict(model))
        return
    declared = declaration_of(model_from_proto(model))
    if not model.declared:
        click.echo("# counted without a declaration; this is what it is taken for")
    click.echo(yaml.safe_dump(declared, sort_keys=False, allow_unicode=True).rstrip())


def all_models(client: ReaderClient) -> list[models_pb2.Model]:
    """Every model that the reader knows, page by page."""
    found: list[models_pb2.Model] = []
    token = ""
    while True:
        answer = client.ask(
            client.models.ListModels,
            models_pb2.ListModelsRequest(page_size=_PAGE, page_token=token),
        )
        found += answer.models
        token = answer.next_page_token
        if not token:
            return found
