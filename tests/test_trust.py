"""What SECURITY.md says: nothing that comes in runs, and nothing in the package could make it run."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import refquant

ROOT = Path(refquant.__file__).parent
MODULES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}

#: Functions of Python that run what they are given.
RUNS_CODE = {"eval", "exec", "compile", "__import__", "breakpoint"}

#: Modules by which data becomes objects of any kind, code, a program or a connection -> those that may use
#: them, and for what.
POWERS: dict[str, dict[str, str]] = {
    "pickle": {"parallel.py": "functions and causes of errors that go between processes of one user"},
    "multiprocessing": {"crew.py": "the processes of `jobs`, whose pipes carry pickles between them"},
    "importlib": {
        "__init__.py": "the public names, from a table",
        "choices.py": "--lut-function, as named on the command line",
        "conformance/vectors.py": "the files of the kit",
        "schema/generate.py": "whether protoc is there",
    },
    "pkgutil": {"schema/coreml.py": "the descriptor set", "sample/__init__.py": "the sample"},
    "subprocess": {
        "conformance/process.py": "the program under test, as named on the command line",
        "schema/generate.py": "protoc, in a checkout",
    },
    "ctypes": {"codec/binary64.py": "how the x87 unit rounds, on 32-bit x86 alone"},
}

#: Others of the kind, for which the package has no use.
NEVER = {
    "makes objects or code of data": "cloudpickle code copyreg dbm dill imp joblib marshal runpy shelve yaml",
    "runs machine code": "cffi distutils mmap",
    "reaches others": "asyncio ftplib http requests smtplib socket ssl urllib webbrowser",
    "starts programs": "pdb pty",
}

#: Functions of `os` that start programs.
STARTS = ("system", "popen", "exec", "spawn", "posix_spawn", "fork", "startfile")


def nodes() -> Iterator[tuple[str, ast.AST]]:
    for name, path in MODULES.items():
        yield from ((name, node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(node: ast.AST) -> set[str]:
    """Give the modules that a statement imports, by the first part of their names."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        assert not node.level, "the package imports by full names"
        return {str(node.module).partition(".")[0]}
    return set()


class TestSource:
    def test_no_function_that_runs_what_it_is_given(self) -> None:
        found = [
            (name, node.id) for name, node in nodes() if isinstance(node, ast.Name) and node.id in RUNS_CODE
        ]
        assert found == []
        assert not [name for name, node in nodes() if "builtins" in imported(node)]

    @pytest.mark.parametrize("power", POWERS)
    def test_powers(self, power: str) -> None:
        assert {name for name, node in nodes() if power in imported(node)} == POWERS[power].keys()

    @pytest.mark.parametrize("names", NEVER.values(), ids=NEVER)
    def test_no_other_powers(self, names: str) -> None:
        assert not [(name, imported(node)) for name, node in nodes() if imported(node) & set(names.split())]

    def test_no_programs_by_way_of_os(self) -> None:
        found = [
            (name, node.attr)
            for name, node in nodes()
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
            and node.attr.startswith(STARTS)
        ]
        assert found == []
        # Nor under a name that the above does not see.
        assert not [
            name for name, node in nodes() if isinstance(node, ast.ImportFrom) and node.module == "os"
        ]

    def test_pickles_are_loaded_in_two_places(self) -> None:
        loads = [
            (name, ast.unparse(node))
            for name, node in nodes()
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("pickle.load")
        ]
        # What a process of ours sent, and what was pickled in the same line.
        assert loads == [
            ("parallel.py", "pickle.loads(data)"),
            ("parallel.py", "pickle.loads(pickle.dumps(value))"),
        ]

    def test_no_shell(self) -> None:
        keywords = {word.arg for _, node in nodes() if isinstance(node, ast.Call) for word in node.keywords}
        assert "shell" not in keywords


#: Has a model in each form, good and bad, read, converted and compared, twice: the first time everything is
#: imported; the second time the audit events of Python are kept, and printed.
AUDITED = """
import sys, warnings
import refquant
from refquant import sample
from tests.broken import CASES

warnings.simplefilter("ignore")
original = sample.model_bytes()
FILES = [case.model.SerializeToString() for case in CASES]
FILES += [original[:1000 * n] + bytes([n]) + original[1000 * n + 1:] for n in range(0, 121, 5)]
FILES += [b"", b"no model", original[:-1], bytes(1000), b"cos\\nsystem\\n(S'false'\\ntR."]
SETTINGS = ((16, "linear"), (8, "linear"), (1, "linear_lut"), (2, "kmeans_lut"))

def handle(data, nbits, mode):
    try:
        refquant.validate_model(data)
        refquant.inspect_weights(data)
        made = refquant.quantize_weights(data, nbits, mode)
        refquant.compare_weights(data, refquant.dequantize_weights(made))
    except refquant.RefquantError:
        return 0
    return 1

def everything():
    whole = sum(handle(original, *setting) for setting in SETTINGS)
    return whole, sum(handle(data, *SETTINGS[number % 2]) for number, data in enumerate(FILES))

def hook(event, arguments):
    if not {event, event.partition(".")[0]} & HARMLESS:
        seen.add(f"{event} {arguments!r:.200}")

# An attribute that was looked up, an array that was made, and who is to be told of a warning.
HARMLESS = {"object", "array", "sys._getframe"}
seen = set()
whole, some = everything()
assert whole == 4 and 10 < some < len(FILES), (whole, some)
sys.addaudithook(hook)
everything()
print("\\n".join(sorted(seen)))
seen.clear()
open(sys.executable, "rb").close()
assert seen, "the hook hears nothing"
"""


@pytest.mark.skipif(not (ROOT.parent / "tests").exists(), reason="needs a checkout")
def test_nothing_in_a_model_runs_opens_or_imports_anything() -> None:
    """Python tells an audit hook of every import, file, connection, program, pickle and piece of code."""
    done = subprocess.run(
        [sys.executable, "-c", AUDITED], cwd=ROOT.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
