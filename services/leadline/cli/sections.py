"""Every service's settings, by their section."""

from __future__ import annotations

from importlib import import_module

from pydantic import BaseModel

SECTIONS = {
    "gateway": ("leadline.gateway.settings", "GatewaySettings"),
    "owner": ("leadline.metrics.owner_settings", "OwnerSettings"),
    "reader": ("leadline.metrics.settings", "ReaderSettings"),
    "console": ("leadline.console.settings", "ConsoleSettings"),
}


EXTRAS = {"gateway": "gateway", "owner": "metrics", "reader": "metrics", "console": "console"}
"""What to install for a section's service."""


def settings_class(section: str) -> type[BaseModel]:
    """The settings of a section; imports that module alone."""
    module, name = SECTIONS[section]
    found: type[BaseModel] = getattr(import_module(module), name)
    return found
