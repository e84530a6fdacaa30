"""Make the descriptor set and the typing stubs from spec/coreml.proto: `python -m refquant.schema.generate`.

With `--check` nothing is written, and stale files are an error. Needs a checkout (spec/ is not part of an
installed package) and the extra `schema`.
"""

from __future__ import annotations

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


def main(arguments: list[str]) -> int:
    """Write the generated files or, with --check, tell whether they are current."""
    if not SOURCE.exists():
        raise SystemExit("spec/coreml.proto is not here: this command works in a checkout only")
    made = generate()
    if arguments == ["--check"]:
        stale = [path.name for path, content in made.items() if path.read_bytes() != content]
        if stale:
            raise SystemExit(f"stale: {', '.join(stale)}; run: python -m refquant.schema.generate")
        return 0
    for path, content in made.items():
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
