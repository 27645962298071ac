"""Puts the console together."""

from __future__ import annotations

from leadline.cli.launch import Running, run
from leadline.console.service import ConsoleService
from leadline.console.settings import ConsoleSettings as Settings
from leadline.runtime.clock import SystemClock

__all__ = ["Settings", "start"]


async def start(stack: Running, settings: Settings) -> list[str]:
    """Starts it, to be ended with the stack; returns what to tell the person who started it."""
    service = ConsoleService(settings, clock=SystemClock())
    await run(stack, service)
    return [f"console               http://{service.address}/"]
