"""The package as a whole: its public names, its arrows, and what is in it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import refquant

ROOT = Path(refquant.__file__).parent
CHECKOUT = ROOT.parent


def test_public_names() -> None:
    stub = ast.parse((ROOT / "__init__.pyi").read_text())
    listed = next(
        ast.literal_eval(node.value)
        for node in stub.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    )
    assert sorted(refquant.__all__) == sorted(listed)
    for name in refquant.__all__:
        assert getattr(refquant, name) is not None
    assert set(dir(refquant)) == set(refquant.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        refquant.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_codec_needs_no_protobuf() -> None:
    script = (
        "import sys; sys.modules['google'] = None\nfrom refquant.codec import half, int8, kmeans, symmetric"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


#: Folder or module -> what it may import of refquant: arrows point one way.
ARROWS = {
    "codec": {"codec", "errors"},
    "schema": {"errors", "schema"},
    "model": {"codec", "errors", "model", "schema"},
    "timing": set[str](),
    "crew": {"errors"},
    "parallel": {"crew", "errors"},
    "steps": {"errors", "model", "parallel", "schema", "timing"},
    "arguments": {"errors", "model", "parallel", "steps"},
    "quantize": {"arguments", "errors", "model", "schema", "steps", "timing"},
    "report": {"errors", "model", "schema"},
}

#: `from refquant.codec import half`, `import refquant.codec` or `from refquant import errors, timing`.
IMPORT = r"^\s*(?:(?:from|import) refquant\.(\w+)|from refquant import (.+)$)"


@pytest.mark.parametrize("part", ARROWS)
def test_arrows(part: str) -> None:
    files = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").exists() else sorted((ROOT / part).glob("*.py"))
    for file in files:
        for named, listed in re.findall(IMPORT, file.read_text(), re.MULTILINE):
            assert {named, *listed.split(", ")} - {""} <= ARROWS[part], file


@pytest.mark.skipif(not (CHECKOUT / "conformance").exists(), reason="needs a checkout")
def test_runs_from_an_archive(tmp_path: Path) -> None:
    """Schema, sample and vectors are read by way of importlib, and the kit finds its own testee."""
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        for path in (path for path in ROOT.rglob("*.*") if path.suffix != ".pyc"):
            archive.write(path, path.relative_to(CHECKOUT))
        for path in (CHECKOUT / "conformance" / "vectors").glob("*.json"):
            archive.write(path, f"refquant/conformance/data/vectors/{path.name}")
    script = (
        "import sys; sys.path.insert(0, 'package.zip')\n"
        "from refquant import cli, quantize_weights, sample\n"
        "assert '.zip' in sample.__file__ and len(quantize_weights(sample.model_bytes(), 8)) < 40_000\n"
        "assert len(sample.images()) == 200\n"
        "assert cli.main(['conformance', 'list']) == 0\n"
        "assert cli.main(['conformance', 'run', '--case', 'half-2ab3221075']) == 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").exists(), reason="needs a checkout")
def test_every_package_is_listed() -> None:
    text = (CHECKOUT / "pyproject.toml").read_text()
    listed = set(re.findall(r'^    "(refquant[.\w]*)",$', text, re.MULTILINE))
    found = {".".join(path.parent.relative_to(CHECKOUT).parts) for path in ROOT.rglob("__init__.py")}
    assert {name for name in listed if "conformance.data" not in name} == found
