"""Generates the Python stubs of protos/leadline/v1 into services/leadline/v1.

    python protos/generate.py            write the stubs, remove stale ones
    python protos/generate.py --check    exit 1 and name the files that are not current

Message stubs (`_pb2.py`, `_pb2.pyi`) are written for every file, service stubs (`_pb2_grpc.py`,
`_pb2_grpc.pyi`) only for files that declare a service. The result depends on the .proto files and
on the pinned generators (grpcio-tools, mypy-protobuf in requirements/dev.txt), on nothing else.
"""

import argparse
import filecmp
import os
import re
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PACKAGE = Path("leadline", "v1")
STUB = re.compile(r".*_pb2(_grpc)?\.pyi?")
SERVICE = re.compile(r"^service\s", re.MULTILINE)


def main() -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Generate the Python stubs of the .proto files.")
    parser.add_argument("--check", action="store_true", help="fail when committed stubs are stale")
    check: bool = parser.parse_args().check
    sources = Path(__file__).resolve().parent
    committed = sources.parent / "services" / PACKAGE
    with tempfile.TemporaryDirectory() as folder:
        generate(sources, Path(folder))
        fresh = Path(folder) / PACKAGE
        stale = differences(fresh, committed)
        if check:
            return report(stale)
        install(fresh, committed, stale)
    return 0


def generate(sources: Path, target: Path) -> None:
    """Writes the stubs of every .proto file below `sources` into `target`.

    Raises:
        subprocess.CalledProcessError: a file does not compile; protoc has said why on stderr.
    """
    protos = sorted((sources / PACKAGE).glob("*.proto"))
    services = [path for path in protos if SERVICE.search(path.read_text(encoding="utf-8"))]
    protoc(sources, protos, f"--python_out={target}", f"--mypy_out=quiet:{target}")
    protoc(sources, services, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}")


def protoc(sources: Path, protos: list[Path], *outputs: str) -> None:
    """Runs protoc with the plugins that are installed beside the running Python."""
    if not protos:
        return
    plugins = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{plugins}{os.pathsep}{os.environ.get('PATH', '')}"}
    includes = [f"-I{sources}", f"-I{files('grpc_tools') / '_proto'}"]
    names = [str(path.relative_to(sources)) for path in protos]
    command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *outputs, *names]
    subprocess.run(command, check=True, env=environment)


def differences(fresh: Path, committed: Path) -> list[str]:
    """Names of stubs that are missing, stale, or left over from a removed .proto file."""
    expected = {path.name for path in fresh.iterdir()}
    present = {path.name for path in committed.glob("*_pb2*") if STUB.fullmatch(path.name)}
    _, changed, unreadable = filecmp.cmpfiles(
        fresh, committed, sorted(expected & present), shallow=False
    )
    return sorted((expected ^ present) | set(changed) | set(unreadable))


def report(stale: list[str]) -> int:
    """Says which stubs are not current; returns the exit code."""
    for name in stale:
        sys.stderr.write(f"stale: services/{PACKAGE}/{name} (run `make protos`)\n")
    return 1 if stale else 0


def install(fresh: Path, committed: Path, stale: list[str]) -> None:
    """Brings `committed` to the state of `fresh`, touching only what differs."""
    committed.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if (fresh / name).exists():
            (committed / name).write_bytes((fresh / name).read_bytes())
        else:
            (committed / name).unlink()
        sys.stdout.write(f"updated services/{PACKAGE}/{name}\n")


if __name__ == "__main__":
    sys.exit(main())
