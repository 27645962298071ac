"""The system's Chromium for Playwright, which brings no browser of its own here.

chromium = find_chromium()
browser = playwright.chromium.launch(
    executable_path=str(chromium.executable), args=list(chromium.arguments)
)
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from leadline.testing.servers.process import MissingProgramError

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # the sandbox needs rights that root in a container does not have
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # a container's shared memory is often too small for a page
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Chromium:
    """An installed browser.

    Attributes:
        executable: its absolute path.
        arguments: launch arguments for a quiet, offline, headless run.
    """

    executable: Path
    arguments: tuple[str, ...]


def find_chromium() -> Chromium:
    """The installed Chromium.

    Raises:
        MissingProgramError: there is none.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return Chromium(Path(found), ARGUMENTS)
    raise MissingProgramError(
        "Chromium is not installed. Install it: `apt-get install chromium`, or `make tools`."
    )
