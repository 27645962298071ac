"""`leadline delete`: delete a model, or the cases of an id, for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from leadline.cli.options import json_option, store_option
from leadline.cli.output import print_json
from leadline.records.errors import UsageError
from leadline.records.ids import id_from_text
from leadline.runtime.clock import SystemClock
from leadline.runtime.store.blob import open_blobs
from leadline.runtime.store.open import open_store
from leadline.runtime.store.port import TruthKeeper

_blobs_option = click.option(
    "--blobs",
    "blob_url",
    envvar="LEADLINE_BLOB_URL",
    default="",
    show_envvar=True,
    help="Where kept inputs are, to delete those that no case needs any more; empty: leave them.",
)


@click.group("delete")
def command() -> None:
    """Delete a model, or the cases of an id, for ever.

    What comes later under that name or id is not shown either. The topics are not touched: they
    forget by their own retention.
    """


@command.command("id")
@click.argument("text", metavar="ID")
@click.option("--task", default="", help="Only the cases of this task; else those of all.")
@store_option
@_blobs_option
@json_option
def id_(*, text: str, task: str, store_url: str, blob_url: str, as_json: bool) -> None:
    """Delete the cases of ID with their kept inputs; counts stay as they are.

    ID is the text that the producer gave: a UUID, or any other.
    """
    with _opened(store_url) as store:
        keys = store.delete_id(id_from_text(text), task, SystemClock().now_us())
    _tell({"id": text, "task": task}, keys, blob_url, as_json=as_json)


@command.command("model")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it: there is no way back.")
@store_option
@_blobs_option
@json_option
def model(*, name: str, yes: bool, store_url: str, blob_url: str, as_json: bool) -> None:
    """Delete all figures and cases of model NAME with its declaration.

    The name cannot be used again. Unmatched labels belong to the task and stay.
    """
    name = name.removeprefix("models/")
    if not yes:
        raise UsageError(
            f"All figures, cases and the declaration of model {name!r} would be deleted for ever.",
            "Say --yes to do it.",
        )
    with _opened(store_url) as store:
        keys = store.delete_model(name, SystemClock().now_us())
    _tell({"model": name}, keys, blob_url, as_json=as_json)


@contextmanager
def _opened(store_url: str) -> Iterator[TruthKeeper]:
    store = open_store(store_url)
    try:
        yield store
    finally:
        store.close()


def _tell(what: dict[str, str], keys: list[str], blob_url: str, *, as_json: bool) -> None:
    """Deletes inputs that nobody needs, and says what was done."""
    if keys and blob_url:
        open_blobs(blob_url).delete(keys)
    if as_json:
        deleted, left = (keys, []) if blob_url else ([], keys)
        print_json({**what, "inputs_deleted": deleted, "inputs_left": left})
        return
    named = " ".join(f"{kind} {value}" for kind, value in what.items() if value)
    click.echo(f"{named}: deleted")
    if keys and not blob_url:
        click.echo(f"{len(keys)} kept inputs are not needed any more; --blobs deletes them:")
        for key in keys:
            click.echo(key)
    elif keys:
        click.echo(f"{len(keys)} kept inputs deleted")
