"""Options that many commands share; each has an environment variable."""

from __future__ import annotations

import click

DEFAULT_LOG_URL = "local:leadline-data/log.sqlite"
DEFAULT_STORE_URL = "sqlite:leadline-data/truth.sqlite"
DEFAULT_READER = "127.0.0.1:8431"
"""The defaults are what `leadline up` makes in the folder where both are called."""

log_option = click.option(
    "--log",
    "log_url",
    envvar="LEADLINE_LOG_URL",
    default=DEFAULT_LOG_URL,
    show_default=True,
    show_envvar=True,
    help="The log: local:PATH or kafka://host:port,host:port.",
)
store_option = click.option(
    "--store",
    "store_url",
    envvar="LEADLINE_STORE_URL",
    default=DEFAULT_STORE_URL,
    show_default=True,
    show_envvar=True,
    help="The truth store: sqlite:PATH or postgresql://user@host/database.",
)
stream_option = click.option(
    "--stream", default="main", show_default=True, help="Which pair of topics."
)
reader_option = click.option(
    "--reader",
    envvar="LEADLINE_READER",
    default=DEFAULT_READER,
    show_default=True,
    show_envvar=True,
    help="gRPC address of a reader, host:port.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
timeout_option = click.option(
    "--timeout",
    "timeout_seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds to wait for an answer.",
)
stop_option = click.option(
    "--stop-seconds",
    envvar="LEADLINE_STOP_SECONDS",
    default=20.0,
    show_default=True,
    show_envvar=True,
    type=click.FloatRange(min=0, min_open=True),
    help="From SIGTERM to the end of the process, by force if need be.",
)
