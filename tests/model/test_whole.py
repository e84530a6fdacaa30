"""Chapter 13, bad days: what is left when a process is ended, a disk full, a folder closed, a name a link."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

import refquant
from refquant import cli
from refquant.errors import FileError
from refquant.model import disk, whole
from refquant.sample import model_path
from tests.model.ways import knows_nameless, unknown
from tests.networks import ROWS, network
from tests.waiting import start

if os.name != "posix":
    pytest.skip("signals, links and permissions are those of POSIX", allow_module_level=True)

CHECKOUT = Path(__file__).parents[2]
OLD, NEW = b"old", bytes(range(256)) * 1000


@pytest.fixture(params=["nameless", "named"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write in both ways; the name is also what scripts are told."""
    if request.param == "named":
        monkeypatch.setattr(whole, "_nameless", unknown)
    elif not knows_nameless(tmp_path):
        pytest.skip("there are no files without names here")
    return str(request.param)


def python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run this interpreter from the checkout."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, **options)


def script(text: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program that has `sys.argv`, `Path`, `disk` and `whole`."""
    start = "import os, sys\nfrom pathlib import Path\nfrom refquant.model import disk, whole\n"
    done = python("-c", start + text, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return done


class TestEnded:
    """FILE-6: whoever looks at any time sees the old file or the new one, each whole."""

    def ended(self, folder: Path, *arguments: object) -> list[dict[str, Any]]:
        done = python("-m", "tests.model.ending", folder, *arguments)
        assert done.returncode == 0, done.stderr
        *ended, last = (
            dict(zip(("status", "content", "mode", "litter"), json.loads(line)))
            for line in done.stdout.splitlines()
        )
        mode = 0o604 if "old" in arguments else last["mode"]
        assert last == {"status": 0, "content": "new", "mode": mode, "litter": {}}
        assert len(ended) > 20
        return ended

    def check(self, ended: list[dict[str, Any]], before: str, mode: int, status: int) -> None:
        """The old one, then the new one, and no way back; permissions are kept."""
        contents = [left["content"] for left in ended]
        split = contents.index("new")
        assert contents == [before] * split + ["new"] * (len(contents) - split)
        assert {left["status"] for left in ended} == {status}
        if before == "old":
            assert {left["mode"] for left in ended} == {mode}

    @pytest.mark.parametrize("steps", ["lines", pytest.param("opcodes", marks=pytest.mark.slow)])
    @pytest.mark.parametrize("name", ["a.mlmodel", pytest.param("a.mlpackage", marks=pytest.mark.slow)])
    @pytest.mark.parametrize("before", ["none", "old"])
    def test_killed(self, name: str, before: str, steps: str, way: str, tmp_path: Path) -> None:
        if steps == "opcodes" and sys.implementation.name != "cpython":
            pytest.skip("only CPython traces instructions")
        options = ["opcodes"] if steps == "opcodes" else []
        ended = self.ended(tmp_path, name, before, way, signal.SIGKILL.value, *options)
        self.check(ended, before, 0o604, -signal.SIGKILL)
        littered = [left for left in ended if left["litter"]]
        if way == "named" or (name, before) == ("a.mlpackage", "none"):
            assert all(".refquant-" in name for left in littered for name in left["litter"])
            assert littered
        elif (name, before) == ("a.mlmodel", "none"):
            assert not littered
        else:  # the moment in which the new file has a name that is not yet the old one's
            for left in littered:
                ((litter, is_new),) = left["litter"].items()
                assert ".refquant-" in litter
                assert is_new or name == "a.mlpackage"  # whose manifest it may be
            steps_of_one = 2 if steps == "lines" else 20
            assert len(littered) <= steps_of_one * (2 if name == "a.mlpackage" else 1)

    @pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("name", ["a.mlmodel", pytest.param("a.mlpackage", marks=pytest.mark.slow)])
    @pytest.mark.parametrize("before", ["none", "old"])
    def test_told_to_end(
        self, name: str, before: str, number: signal.Signals, way: str, tmp_path: Path
    ) -> None:
        """A signal that can be met leaves nothing beside the file, whatever the way."""
        ended = self.ended(tmp_path, name, before, way, number.value)
        self.check(ended, before, 0o604, 128 + number)
        assert [left for left in ended if left["litter"]] == []


class TestCommand:
    """The command, ended from outside at its work."""

    @pytest.mark.parametrize(
        ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
    )
    @pytest.mark.parametrize("jobs", ["1", "2"])
    def test_at_work(self, jobs: str, number: signal.Signals, code: int, tmp_path: Path) -> None:
        (tmp_path / "out.mlmodel").write_bytes(OLD)
        process = start(tmp_path, "--force", "--jobs", jobs)
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == code
        assert (tmp_path / "out.mlmodel").read_bytes() == OLD
        names = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
        assert {name.split("-")[0] for name in names} == {"in.mlmodel", "out.mlmodel", "waits.py", "begun"}

    def test_signal_that_is_ignored_stays_so(self, tmp_path: Path) -> None:
        """As under a program that starts its children so."""
        text = """
import signal
from refquant import cli
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def run(options):
    os.kill(os.getpid(), signal.SIGTERM)
cli.COMMANDS["demo"] = cli.COMMANDS["demo"]._replace(run=run)
assert cli.main(["demo"]) == 0
"""
        script(text)

    def test_handler_is_taken_back(self) -> None:
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        cli.main(["inspect", str(model_path()), "--json"])
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL

    @pytest.mark.slow
    def test_killed_at_any_time(self, tmp_path: Path) -> None:
        """A command that writes in the place of its input is killed a little later each time."""
        model = network(ROWS["gru"], 3).SerializeToString()
        new = refquant.dequantize_weights(model)
        path = tmp_path / "a.mlmodel"
        seen = set()
        for delay in range(0, 400, 2):
            path.write_bytes(model)
            command = [sys.executable, "-m", "refquant", "dequantize", "a.mlmodel", "a.mlmodel", "--force"]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
            with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as done:
                time.sleep(delay / 1000)
                done.kill()
            seen.add(path.read_bytes())
            assert os.listdir(tmp_path) == ["a.mlmodel"]
        assert seen == {model, new}


class TestRoom:
    """A disk that is full: an error that says so, the old file, and no part of the new one."""

    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_small_disk(self, name: str, way: str, tmp_path: Path) -> None:
        """On a file system of 512 KiB, of which the old model takes half."""
        if not shutil.which("unshare") or sys.platform != "linux":
            pytest.skip("needs a mount of one's own")
        text = """
import errno
from refquant.errors import FileError
from tests.model.ways import without_nameless
if sys.argv[2] == "named":
    without_nameless()
old, new, small = b"o" * 200_000, b"n" * 400_000, b"s" * 100_000
path = Path(sys.argv[1])
for before in (None, old):
    if before is not None:
        disk.write(path, before)
    free = os.statvfs(path.parent).f_bfree
    names = sorted(path.parent.rglob("*"))
    try:
        disk.write(path, new if before else new + new)
    except FileError as error:
        assert "No space left on device" in str(error), error
        assert error.__cause__.errno == errno.ENOSPC
    else:
        raise SystemExit("there was room")
    assert sorted(path.parent.rglob("*")) == names
    assert os.statvfs(path.parent).f_bfree == free
    if before is not None:
        assert disk.read(path) == before
disk.write(path, small)
assert disk.read(path) == small
print("done")
"""
        disks = tmp_path / "disk"
        disks.mkdir()
        mount = f'mount -t tmpfs -o size=512k tmpfs "{disks}"'
        start = "import os, sys\nfrom pathlib import Path\nfrom refquant.model import disk\n"
        done = subprocess.run(
            [
                *(
                    "unshare",
                    "--mount",
                    "--map-root-user",
                    "sh",
                    "-c",
                    f'{mount} || exit 77; exec "$@"',
                    "sh",
                ),
                *(sys.executable, "-c", start + text, str(disks / name), way),
            ],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 77 or "unshare failed" in done.stderr:
            pytest.skip("mounting is not allowed here")
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr

    @pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
    def test_device_that_fails(
        self, code: int, failing: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No other way is tried: it would fail as well, and the disk is busy enough."""
        path, tries = tmp_path / "a.mlmodel", []
        path.write_bytes(OLD)

        def fail(*_: Any) -> None:
            tries.append(failing)
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(*((whole, "_fill") if failing == "write" else (os, failing)), fail)
        with pytest.raises(FileError, match=os.strerror(code)):
            disk.write(path, NEW)
        assert tries == [failing]
        assert path.read_bytes() == OLD
        assert os.listdir(tmp_path) == ["a.mlmodel"]

    def test_what_cannot_be_removed_either(
        self, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The error is the one that came first."""

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def broken(*_: Any, **__: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", full)
        monkeypatch.setattr(os, "rmdir", broken)
        with pytest.raises(FileError, match="No space left on device"):
            disk.write(tmp_path / "a.mlpackage", NEW)

    def test_folder_that_cannot_be_synced(
        self, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The file is there, and whole: that is no failure."""
        fsync = os.fsync

        def no_folders(number: int) -> None:
            if os.path.isdir(f"/dev/fd/{number}"):
                raise OSError(errno.EINVAL, "Invalid argument")
            fsync(number)

        monkeypatch.setattr(os, "fsync", no_folders)
        disk.write(tmp_path / "a.mlmodel", NEW)
        assert (tmp_path / "a.mlmodel").read_bytes() == NEW


class TestOrder:
    """FILE-6: ... at every moment, and whatever ends the writer, be it the power: the bytes are on the disk
    before the name is.
    """

    def written(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Write a file or package; tell what was brought to the disk, in order, each file with all bytes."""
        synced: list[os.stat_result] = []
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number)))
            disk.write(path, NEW[:100])  # so few that they would wait for more
        found = {each.stat().st_ino: each for each in (path.parent, path, *path.rglob("*"))}
        for status in synced:
            assert stat.S_ISDIR(status.st_mode) or status.st_size == found[status.st_ino].stat().st_size
        return [str(found[status.st_ino].relative_to(path.parent)) for status in synced]

    def test_file(self, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for _ in ("new", "old"):
            assert self.written(tmp_path / "a.mlmodel", monkeypatch) == ["a.mlmodel", "."]

    def test_package(self, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The manifest gets its name when there is all that it leads to; a new package comes last."""
        path = tmp_path / "a.mlpackage"
        files = ["Data/com.apple.CoreML/model.mlmodel", "Manifest.json"]
        parts = [*files, "Data/com.apple.CoreML", "Data", "."]
        due = [os.path.normpath(f"a.mlpackage/{part}") for part in parts]
        assert self.written(path, monkeypatch) == [*due, "."]
        assert self.written(path, monkeypatch) == due

    def test_what_there_is_to_see(self, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing until the file is whole or, where it needs a name, one that says whose it is."""
        seen: list[list[str]] = []
        monkeypatch.setattr(os, "fsync", lambda number: seen.append(os.listdir(tmp_path)))
        disk.write(tmp_path / "a.mlmodel", NEW)
        names, whole_ones = seen
        assert whole_ones == ["a.mlmodel"]
        assert len(names) == (way == "named")
        assert all(re.fullmatch(r"\.refquant-[0-9a-f]+\.tmp", name) for name in names)

    def test_nothing_stays_open(self, way: str, tmp_path: Path) -> None:
        before = set(os.listdir("/dev/fd"))
        disk.write(tmp_path / "a.mlpackage", NEW)
        assert set(os.listdir("/dev/fd")) <= before


class TestNamesAndLinks:
    def test_links_to_what_is_not_there(self, way: str, tmp_path: Path) -> None:
        """A link to a file that is not there yet makes it; one into a folder that is not there does not."""
        (tmp_path / "folder").mkdir()
        link = tmp_path / "link.mlmodel"
        link.symlink_to(Path("folder", "new.mlmodel"))
        disk.write(link, NEW, overwrite=False)
        assert link.is_symlink()
        assert (tmp_path / "folder" / "new.mlmodel").read_bytes() == NEW
        nowhere = tmp_path / "nowhere.mlmodel"
        nowhere.symlink_to(Path("nothing", "new.mlmodel"))
        with pytest.raises(FileError, match=r"there is no folder .*nothing"):
            disk.write(nowhere, NEW)
        assert sorted(os.listdir(tmp_path)) == ["folder", "link.mlmodel", "nowhere.mlmodel"]

    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_links_in_a_circle(self, name: str, way: str, tmp_path: Path) -> None:
        (tmp_path / name).symlink_to("other")
        (tmp_path / "other").symlink_to(name)
        for path in (tmp_path / name, tmp_path / "other" / name):
            with pytest.raises(FileError, match=r"Too many levels of symbolic links|there is no folder"):
                disk.write(path, NEW)
        assert os.readlink(tmp_path / name) == "other"
        assert sorted(os.listdir(tmp_path)) == sorted([name, "other"])

    def is_written_into(self, path: str, reader: int) -> None:
        with pytest.raises(FileError, match=f"{path} exists already"):
            disk.write(path, OLD, overwrite=False)
        disk.write(path, b"new")
        assert os.read(reader, 100) == b"new"

    def test_pipe(self, tmp_path: Path) -> None:
        """What is no file cannot be replaced: it is written to, if that is allowed."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            self.is_written_into(str(pipe), reader)
        finally:
            os.close(reader)
        assert pipe.is_fifo()

    @pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="no paths for what is open")
    def test_pipe_without_a_name(self) -> None:
        """As a shell gives one for `>(program)`: its path is a link to a name that is none."""
        reader, writer = os.pipe()
        try:
            self.is_written_into(f"/dev/fd/{writer}", reader)
        finally:
            os.close(reader)
            os.close(writer)

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such paths are no links")
    @pytest.mark.parametrize("overwrite", [True, False])
    @pytest.mark.parametrize("names", [[], ["other.mlmodel"]])
    def test_file_that_was_removed(self, names: list[str], overwrite: bool, tmp_path: Path) -> None:
        """It is still open, and there is no other way to it: no new file gets a name like its old one."""
        path = tmp_path / "a.mlmodel"
        with path.open("w+b") as file:
            file.write(NEW + NEW)
            file.flush()
            for name in names:
                os.link(path, tmp_path / name)
            path.unlink()
            if overwrite:
                disk.write(f"/dev/fd/{file.fileno()}", NEW)
            else:
                with pytest.raises(FileError, match="exists already"):
                    disk.write(f"/dev/fd/{file.fileno()}", NEW, overwrite=False)
            file.seek(0)
            assert file.read() == (NEW if overwrite else NEW + NEW)
        assert os.listdir(tmp_path) == names

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such paths are no links")
    def test_file_that_is_open(self, way: str, tmp_path: Path) -> None:
        """What has a name is replaced, as by that name."""
        path = tmp_path / "a.mlmodel"
        path.write_bytes(OLD)
        with path.open("r+b") as file:
            disk.write(f"/dev/fd/{file.fileno()}", NEW)
            assert file.read() == OLD
        assert path.read_bytes() == NEW

    def test_hard_link(self, way: str, tmp_path: Path) -> None:
        """The name gets the new file; another name of the old file still has that."""
        path, other = tmp_path / "a.mlmodel", tmp_path / "b.mlmodel"
        path.write_bytes(OLD)
        os.link(path, other)
        disk.write(path, NEW)
        assert (path.read_bytes(), other.read_bytes()) == (NEW, OLD)
        assert path.stat().st_nlink == other.stat().st_nlink == 1

    @pytest.mark.parametrize("link", [None, os.symlink, os.link])
    def test_the_input_itself(self, link: Any, way: str, tmp_path: Path) -> None:
        path = out = tmp_path / "a.mlmodel"
        model = network(ROWS["innerProduct"]).SerializeToString()
        path.write_bytes(model)
        if link:
            out = tmp_path / "b.mlmodel"
            link(path, out)
        assert cli.main(["quantize", str(path), str(out), "--nbits", "8", "--quiet"]) == 1
        assert path.read_bytes() == model
        command = ["quantize", str(path), str(out), "--nbits", "8", "--quiet", "--force"]
        assert cli.main(command) == 0
        assert out.read_bytes() == refquant.quantize_weights(model, 8)
        assert path.read_bytes() == (model if link is os.link else out.read_bytes())

    def test_owner(self, way: str, tmp_path: Path) -> None:
        path = tmp_path / "a.mlmodel"
        path.write_bytes(OLD)
        if os.geteuid() != 0:
            pytest.skip("only the superuser gives files away")
        os.chown(path, 1234, 5678)
        disk.write(path, NEW)
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)

    @pytest.mark.parametrize(
        ("mode", "error"), [(0o555, "Permission denied"), (0o333, None), (0o222, "Permission denied")]
    )
    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_closed_folder(
        self, name: str, mode: int, error: str | None, way: str, request: pytest.FixtureRequest
    ) -> None:
        """A folder in which names cannot be changed; or not listed, which nobody asked for."""
        # Not in the folders of pytest, which are for one user alone.
        base = tempfile.TemporaryDirectory()
        request.addfinalizer(base.cleanup)
        Path(base.name).chmod(0o755)
        folder = Path(base.name) / "folder"
        folder.mkdir()
        text = """
from refquant.errors import FileError
from tests.model.ways import without_nameless
folder, name, mode, way = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
import hashlib, json, shutil, uuid
if way == "named":
    without_nameless()
nobody = os.geteuid() == 0
if nobody:  # who ignores permissions
    os.chown(folder, 65534, 65534)
    os.chdir(folder)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
else:
    os.chdir(folder)
here = os.open(".", os.O_RDONLY)
for before in (False, True):
    if before:
        disk.write(name, b"old")
    os.chmod(here, mode)
    try:
        disk.write(name, b"new")
    except FileError as error:
        print(error)
    else:
        print("written")
    os.chmod(here, 0o700)
    print(disk.read(Path(name)) if os.path.exists(name) else None, os.listdir("."))
    if os.path.isdir(name):
        shutil.rmtree(name)
    elif os.path.exists(name):
        os.unlink(name)
"""
        lines = script(text, folder, name, mode, way).stdout.splitlines()
        package = name == "a.mlpackage"
        for number, before in ((0, None), (2, b"old")):
            if error and not (package and before and mode == 0o555):
                assert error in lines[number] or "there is no folder" in lines[number]
                assert lines[number + 1] == f"{before!r} {[name] if before else []!r}"
            else:  # in a package that is there, names of its own change
                assert lines[number] == "written"
                assert lines[number + 1] == f"{b'new'!r} {[name]!r}"


class TestTogether:
    """Processes that write one target at the same time."""

    def writers(self, text: str, *arguments: object, count: int = 2) -> list[subprocess.Popen[str]]:
        start = "import os, sys\nfrom pathlib import Path\nfrom refquant.model import disk, whole\n"
        return [
            subprocess.Popen(
                [sys.executable, "-c", start + text, *map(str, arguments), str(number)],
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(count)
        ]

    def go(self, processes: list[subprocess.Popen[str]]) -> None:
        """Tell all to go on."""
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_many_times(self, name: str, way: str, tmp_path: Path) -> None:
        """Somebody who reads meanwhile sees the file of one of them, always whole."""
        text = """
from tests.model.ways import without_nameless
path, way, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if way == "named":
    without_nameless()
sys.stdin.readline()
for _ in range(100):
    disk.write(path, bytes([number]) * 100_000)
"""
        path = tmp_path / name
        whole_ones = {bytes([number]) * 100_000 for number in range(2)}
        disk.write(path, bytes(100_000))
        processes = self.writers(text, path, way)
        self.go(processes)
        reads = 0
        while any(process.poll() is None for process in processes):
            assert disk.read(path) in whole_ones
            reads += 1
        assert [process.wait() for process in processes] == [0, 0]
        assert reads > 10
        assert os.listdir(tmp_path) == [name]
        for process in processes:
            process.communicate()

    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_one_wins(self, name: str, way: str, tmp_path: Path) -> None:
        """Of those that may not overwrite, one writes, and the others are told."""
        text = """
import time
from refquant.errors import FileError
from tests.model.ways import without_nameless
folder, name, way, number = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
if way == "named":
    without_nameless()
disk.Path.exists = lambda path: path.name != name and os.path.exists(path)  # nobody sees in time that it does
for round in range(50):
    sys.stdin.readline()
    try:
        disk.write(folder / str(round) / name, bytes([number]) * 10_000, overwrite=False)
        print("wrote", flush=True)
    except FileError as error:
        print(str(error).partition(name)[2].strip(), flush=True)
"""
        processes = self.writers(text, tmp_path, name, way, count=3)
        for number in range(50):
            (tmp_path / str(number)).mkdir()
            self.go(processes)
            said = [process.stdout.readline().strip() for process in processes if process.stdout]
            assert sorted(said) == ["exists already", "exists already", "wrote"]
            assert disk.read(tmp_path / str(number) / name) == bytes([said.index("wrote")]) * 10_000
            assert os.listdir(tmp_path / str(number)) == [name]
        for process in processes:
            process.communicate()

    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_seen_too_late(
        self, name: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What appears after it has been looked for is left as it is all the same."""
        path = tmp_path / name
        disk.write(path, OLD, overwrite=False)
        monkeypatch.setattr(Path, "exists", lambda each, **_: each != path and os.path.exists(each))
        with pytest.raises(FileError, match=f"{name} exists already"):
            disk.write(path, NEW, overwrite=False)
        assert disk.read(path) == OLD
        disk.write(path, NEW)
        assert disk.read(path) == NEW
        assert os.listdir(tmp_path) == [name]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_package_that_is_made_meanwhile(
        self, overwrite: bool, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At the last moment: it stays, or its files are replaced."""
        path, others, rename = tmp_path / "a.mlpackage", tmp_path / "b.mlpackage", os.rename
        disk.write(others, OLD)

        def late(source: Path, target: Path) -> None:
            rename(others, target)
            rename(source, target)

        monkeypatch.setattr(os, "rename", late)
        if overwrite:
            disk.write(path, NEW)
        else:
            with pytest.raises(FileError, match="exists already"):
                disk.write(path, NEW, overwrite=False)
        assert disk.read(path) == (NEW if overwrite else OLD)
        assert os.listdir(tmp_path) == ["a.mlpackage"]


class TestWays:
    """Where there are no files without names, or no links to them, they have names at once."""

    @pytest.fixture(params=["open", "link", "link of PyPy"])
    def refused(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        """Each way to be told so. PyPy links to the link in /proc itself, where the name is free."""
        name = request.param.split()[0]
        function = getattr(os, name)

        def refuse(path: Any, *arguments: Any, **options: Any) -> Any:
            if options or (name == "open" and whole.NAMELESS and arguments[0] & whole.NAMELESS):
                code = {"open": errno.EISDIR, "link": errno.ENOENT}.get(request.param, errno.EXDEV)
                if code == errno.EXDEV and os.path.exists(arguments[0]):
                    code = errno.EEXIST
                raise OSError(code, os.strerror(code))
            return function(path, *arguments, **options)

        monkeypatch.setattr(os, name, refuse)
        return str(request.param)

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_unknown_here(self, refused: str, overwrite: bool, tmp_path: Path) -> None:
        path = tmp_path / "a.mlmodel"
        disk.write(path, NEW, overwrite=overwrite)
        assert path.read_bytes() == NEW
        disk.write(path, OLD)
        assert path.read_bytes() == OLD
        with pytest.raises(FileError, match="exists already"):
            disk.write(path, NEW, overwrite=False)
        assert os.listdir(tmp_path) == ["a.mlmodel"]

    def test_no_links_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on a memory card."""

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
        disk.write(tmp_path / "a.mlmodel", OLD, overwrite=False)
        assert (tmp_path / "a.mlmodel").read_bytes() == OLD
        disk.write(tmp_path / "a.mlmodel", NEW)
        with pytest.raises(FileError, match="exists already"):
            disk.write(tmp_path / "a.mlmodel", OLD, overwrite=False)
        assert (tmp_path / "a.mlmodel").read_bytes() == NEW
        assert os.listdir(tmp_path) == ["a.mlmodel"]

    def test_no_flag_for_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        spec = importlib.util.spec_from_file_location("elsewhere", whole.__file__)
        assert spec is not None
        assert spec.loader is not None
        elsewhere = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(elsewhere)
        assert elsewhere.NAMELESS == 0

    def test_folders_that_cannot_be_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on Windows, whose Python knows no files without names: none is asked for."""
        function = os.open

        def refuse(path: Any, *arguments: Any, **options: Any) -> Any:
            if os.path.isdir(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return function(path, *arguments, **options)

        monkeypatch.setattr(whole, "NAMELESS", 0)
        monkeypatch.setattr(os, "open", refuse)
        disk.write(tmp_path / "a.mlmodel", NEW)
        assert (tmp_path / "a.mlmodel").read_bytes() == NEW

    def test_names_that_are_not_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On Windows a file that must not take the place of another needs no link: its name is changed."""
        path, rename = tmp_path / "a.mlmodel", os.rename

        def refuse(source: Path, target: Path) -> None:
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            rename(source, target)

        monkeypatch.setattr(whole, "_nameless", unknown)
        monkeypatch.setattr(os, "name", "nt")
        monkeypatch.setattr(os, "rename", refuse)
        monkeypatch.delattr(os, "link")
        whole.write_whole(path, OLD, overwrite=False)
        with pytest.raises(FileExistsError):
            whole.write_whole(path, NEW, overwrite=False)
        assert path.read_bytes() == OLD
        assert os.listdir(tmp_path) == ["a.mlmodel"]
