"""Opens the log that a setting names."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TypeVar
from urllib.parse import parse_qsl

from leadline.records.errors import UsageError
from leadline.runtime.clock import Clock
from leadline.runtime.log.port import Log

NO_OPTIONS: Mapping[str, str] = types.MappingProxyType({})

_Settings = TypeVar("_Settings")


def open_log(url: str, clock: Clock, options: Mapping[str, str] = NO_OPTIONS) -> Log:
    """Opens "local:PATH" or "kafka://host:port,host:port"; may block until the log answers.

    Args:
        url: the setting `log_url`. Kafka's may carry options: "kafka://host:port?security_protocol=
            SASL_SSL&sasl_mechanism=PLAIN&sasl_plain_username=me&sasl_plain_password=secret".
        clock: stamps local records, and measures waits and stalls.
        options: bounds of the adapter by name (`LocalSettings`, `KafkaSettings`); for Kafka also
            the client's security settings ("security_protocol", "sasl_mechanism", "ssl_cafile").

    Raises:
        UsageError: the address or an option is not understood, or the file cannot be used.
        TransientError: the log does not answer.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "local" and rest:
        from leadline.runtime.log.local import LocalLog  # noqa: PLC0415
        from leadline.runtime.log.local_file import LocalSettings  # noqa: PLC0415

        return LocalLog(rest, clock, settings_from(LocalSettings, options))
    if scheme == "kafka" and rest.startswith("//") and rest.strip("/"):
        servers, _, query = rest.strip("/").partition("?")
        given = {**options, **dict(parse_qsl(query, keep_blank_values=True))}
        return _open_kafka(servers.rstrip("/").split(","), clock, given)
    raise UsageError(
        f"log_url = {url!r} names no log",
        "set log_url to local:PATH or kafka://host:port,host:port",
    )


def _open_kafka(bootstrap: list[str], clock: Clock, options: Mapping[str, str]) -> Log:
    try:
        from leadline.runtime.log.kafka import KafkaLog  # noqa: PLC0415
        from leadline.runtime.log.kafka_client import KafkaSettings, security_names  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"log_url names Kafka, and its client cannot be used: {error}",
            "install 'kafka-python[crc32c]>=3.0.12,<4'",
        ) from error
    security = {name: text for name, text in options.items() if name in security_names()}
    numbers = {name: text for name, text in options.items() if name not in security}
    settings = replace(settings_from(KafkaSettings, numbers), security=security)
    return KafkaLog(bootstrap, clock, settings)


def settings_from(kind: type[_Settings], options: Mapping[str, str]) -> _Settings:
    """A frozen settings value from text; its fields are numbers.

    Raises:
        UsageError: an option of another name, or one that is not a number.
    """
    types_of = {
        field.name: field.type
        for field in fields(kind)  # type: ignore[arg-type]
        if field.type in {"int", "float"}
    }
    values: dict[str, float] = {}
    for name, text in options.items():
        if name not in types_of:
            raise UsageError(
                f"log option {name!r} is not known", f"use one of {', '.join(sorted(types_of))}"
            )
        try:
            values[name] = int(text) if types_of[name] == "int" else float(text)
        except ValueError:
            raise UsageError(f"log option {name} = {text!r} is not a number") from None
    return kind(**values)
