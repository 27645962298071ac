"""The root of the command line: which commands there are, and where they live."""

from __future__ import annotations

import importlib
import importlib.util
from typing import NamedTuple

import click

import leadline
from leadline.records.errors import UsageError


class Entry(NamedTuple):
    """A command that is not imported yet.

    Attributes:
        module: its module; the command is its attribute `command`.
        help: its first line, so that `--help` imports nothing.
        attribute: its name in the module.
    """

    module: str
    help: str
    attribute: str = "command"


COMMANDS: dict[str, Entry] = {
    "up": Entry("leadline.cli.up", "Run everything in one process, on the embedded log.", "up"),
    "serve": Entry("leadline.cli.serve", "Run one service.", "serve"),
    "topics": Entry("leadline.cli.topics", "Create and check a stream's topics."),
    "models": Entry("leadline.cli.models", "Declare models, and look at declarations."),
    "labels": Entry("leadline.cli.labels", "Import true labels from a file."),
    "predictions": Entry("leadline.cli.predictions", "Import predictions from a file."),
    "evaluate": Entry("leadline.cli.evaluate", "Figures of files, with no server."),
    "compare": Entry("leadline.cli.compare", "Which version is better, for people and rollouts."),
    "report": Entry("leadline.cli.report", "Everything about a model in one file."),
    "show": Entry("leadline.cli.show", "A model's figures and matrix in the terminal."),
    "dead-letters": Entry("leadline.cli.dead_letters", "Look at refused records."),
    "rebuild": Entry("leadline.cli.rebuild", "Compare shards with their log, or replace them."),
    "delete": Entry("leadline.cli.delete", "Delete a model, or the cases of an id, for ever."),
    "doctor": Entry("leadline.cli.doctor", "Check the installation, and say what to do."),
    "version": Entry("leadline.cli.version", "Print versions."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands that are installed, in the order of the table."""
        del ctx
        return [name for name, entry in COMMANDS.items() if importlib.util.find_spec(entry.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        if cmd_name not in self.list_commands(ctx):
            return None
        entry = COMMANDS[cmd_name]
        try:
            module = importlib.import_module(entry.module)
        except ModuleNotFoundError as missing:
            library = (missing.name or "").partition(".")[0]
            if library in {"", "leadline"}:
                raise
            raise UsageError(
                f"`{cmd_name}` needs {library}, which is not installed",
                "Install it: pip install 'leadline[all]'",
            ) from missing
        command: click.Command = getattr(module, entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing any."""
        rows = [(name, COMMANDS[name].help) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(leadline.__version__, prog_name="leadline")
def root() -> None:
    """How good each deep-learning model is right now, on live traffic, and why it errs."""
