"""Templates to HTML: a page is a frame around named regions, which live updates replace."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from leadline.console.core import words

FOLDER = Path(__file__).parent
DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page, and a digest by which a browser knows that it has it already."""

    html: str
    digest: str


class Statics:
    """Static files, under names that hold a digest: they may be kept forever."""

    def __init__(self, folder: Path = FOLDER / "static") -> None:
        self._folder = folder
        names = sorted(p.name for p in folder.iterdir() if p.suffix in (".css", ".js", ".svg"))
        self._files = {name: (folder / name).read_bytes() for name in names}
        self.version = _digest(b"".join(self._files.values()))

    def url(self, name: str) -> str:
        """Where a file is served; an unknown name is a bug."""
        if name not in self._files:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"

    def get(self, name: str) -> bytes | None:
        """A file's content."""
        return self._files.get(name)


class Renderer:
    """The templates; every variable must be given and every value is escaped."""

    def __init__(self, statics: Statics) -> None:
        self._env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._env.globals["static"] = statics.url
        self._env.globals["words"] = words

    def regions(self, names: tuple[str, ...], context: Mapping[str, object]) -> dict[str, Region]:
        """The named regions, each from the template of its name."""
        found = {}
        for name in names:
            html = self._env.get_template(f"regions/{name}.html").render(context)
            found[name] = Region(html, _digest(html.encode()))
        return found

    def page(
        self, template: str, regions: Mapping[str, Region], context: Mapping[str, object]
    ) -> str:
        """A whole page around its regions."""

        def region(name: str, tag: str = "div", css: str = "") -> Markup:
            part = regions[name]
            return Markup('<{0} class="{1}" data-region="{2}" data-digest="{3}">{4}</{0}>').format(
                Markup(tag),  # noqa: S704 - a constant of the templates
                css,
                name,
                part.digest,
                Markup(part.html),  # noqa: S704 - rendered and escaped above
            )

        return self._env.get_template(template).render({**context, "region": region})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
