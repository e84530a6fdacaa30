"""Make the descriptor set and the typing stubs from spec/coreml.proto: `python -m refquant.schema.generate`.

With `--check` nothing is written, and stale files are an error. Needs a checkout (spec/ is not part of an
installed package) and the extra `schema`.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from refquant.schema import coreml

HERE = Path(__file__).parent
SOURCE = HERE.parent.parent / "spec" / "coreml.proto"

#: What protoc's stub says of the float payload at run time, and what it must say besides: the view as floats.
PAYLOAD = "    floatBytes: _containers.RepeatedScalarFieldContainer[bytes]\n"
PROPERTY = "    @property\n    def floatValue(self) -> memoryview[float]: ...\n"

#: The functions of coreml.py that are not messages.
FUNCTIONS = """
def definition() -> FileDescriptorProto: ...
def with_floats_as_bytes(file: FileDescriptorProto) -> FileDescriptorProto: ...
def standard_model() -> type[Model]: ...
def has_unpacked_floats(params: WeightParams) -> bool: ...
"""
#: What the functions and the changed types need.
IMPORT = "from typing import Any as _Any\nfrom google.protobuf.descriptor_pb2 import FileDescriptorProto\n"


def protoc(*arguments: str) -> None:
    """Run the pinned protoc; its own message says what is wrong with the source."""
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)


def generate() -> dict[Path, bytes]:
    """Make the content of every generated file."""
    with tempfile.TemporaryDirectory() as folder:
        standard, run_time = Path(folder, "standard.binpb"), Path(folder, "run_time.binpb")
        protoc(f"-I{SOURCE.parent}", f"--descriptor_set_out={standard}", SOURCE.name)
        (definition,) = FileDescriptorSet.FromString(standard.read_bytes()).file
        patched = FileDescriptorSet(file=[coreml.with_floats_as_bytes(definition)])
        run_time.write_bytes(patched.SerializeToString())
        protoc(f"--descriptor_set_in={run_time}", f"--pyi_out={folder}", SOURCE.name)
        stub = Path(folder, "coreml_pb2.pyi").read_text()
        if stub.count(PAYLOAD) != 1:
            raise SystemExit("protoc wrote a stub without the float payload; has its form changed?")
        stub = stub.replace("_Mapping]", "_Mapping[str, _Any]]")
        return {
            HERE / "coreml.binpb": standard.read_bytes(),
            HERE / "coreml.pyi": (IMPORT + stub.replace(PAYLOAD, PAYLOAD + PROPERTY) + FUNCTIONS).encode(),
        }


def is_stale(path: Path, content: bytes) -> bool:
    """Tell whether a generated file is missing or has other content."""
    return not path.exists() or path.read_bytes() != content


def main(arguments: list[str]) -> int:
    """Write the generated files or, with --check, tell whether they are current."""
    if arguments not in ([], ["--check"]):
        raise SystemExit("usage: python -m refquant.schema.generate [--check]")
    if not SOURCE.exists():
        raise SystemExit("spec/coreml.proto is not here: this command works in a checkout only")
    if importlib.util.find_spec("grpc_tools") is None:
        raise SystemExit("protoc is not here: pip install -e '.[schema]'")
    made = generate()
    stale = [path for path, content in made.items() if is_stale(path, content)]
    if arguments and stale:
        names = ", ".join(path.name for path in stale)
        raise SystemExit(f"stale: {names}; run: python -m refquant.schema.generate")
    for path in stale:
        path.write_bytes(made[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
