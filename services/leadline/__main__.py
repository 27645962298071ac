"""The `leadline` command: no traceback reaches a user for a mistake of the user's.

Exit codes: 0 done; 1 something is wrong that the command looked for, or a server did not answer; 2
the call or a setting must be changed; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from leadline.cli.root import root
from leadline.records.errors import LeadlineError, TransientError, UsageError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and ends the process."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    try:
        code = root.main(
            None if arguments is None else list(arguments),
            prog_name="leadline",
            standalone_mode=False,
        )
    except (click.ClickException, click.exceptions.Exit, click.Abort) as stop:
        return _stopped(stop)
    except LeadlineError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `leadline ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _stopped(stop: click.ClickException | click.exceptions.Exit | click.Abort) -> int:
    if isinstance(stop, click.ClickException):
        stop.show()
    return 130 if isinstance(stop, click.Abort) else stop.exit_code


def _failed(error: LeadlineError) -> int:
    if isinstance(error, UsageError):
        return _fail(str(error), error.remedy, 2)
    remedy = ""
    if isinstance(error, TransientError):
        remedy = "Check that it runs and can be reached: `leadline doctor`."
    return _fail(str(error), remedy, 1)


def _fail(message: str, remedy: str, code: int) -> int:
    """One line in red: what is wrong, then what to do."""
    text = click.style(message.rstrip("."), fg="red", bold=True)
    after = remedy[:1].upper() + remedy[1:]
    click.echo(f"{text}. {after}".rstrip(), err=True)
    return code


if __name__ == "__main__":
    main()
