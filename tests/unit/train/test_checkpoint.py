from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from wording import wording

from asr.train.checkpoint import load_checkpoint, save_checkpoint
from asr.train.run_folder import RunLog, only_process
from asr.utils.errors import InputError


def test_the_newest_is_read_and_the_one_before_kept(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"step": step, "weights": {"w": torch.full((2,), float(step))}})
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"]["w"], torch.tensor([3.0, 3.0]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]
    (tmp_path / "last.pt").unlink()  # killed between two renames
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 2


@pytest.mark.parametrize("damage", [b"", b"text", b"PK\x03\x04" + bytes(100)])
def test_damage(tmp_path: Path, damage: bytes) -> None:
    save_checkpoint(tmp_path, {"step": 1})
    (tmp_path / "last.pt").write_bytes(damage)
    with pytest.raises(InputError, match=wording("no-checkpoint-can-be-read")):
        load_checkpoint(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_that_finds_no_room_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    log = RunLog(tmp_path, size=1, step=1)
    with pytest.raises(InputError, match=wording("log-jsonl-cannot-be-written")):
        log.write("step", {"step": 2, "loss": 1.0})


def test_the_log_is_cut_to_its_state(tmp_path: Path) -> None:
    log = RunLog(tmp_path, size=0, step=0)
    log.write("step", {"step": 1, "loss": float("nan"), "gradient_norms": {"head": float("inf")}})
    size = log.size()
    assert (tmp_path / "log.jsonl").read_text() == (
        '{"kind": "step", "step": 1, "loss": null, "gradient_norms": {"head": null}}\n'
    )
    log.write("step", {"step": 2})
    log.close()
    RunLog(tmp_path, size=size, step=1).close()
    assert (tmp_path / "log.jsonl").stat().st_size == size
    RunLog(tmp_path, size=0, step=0).close()
    assert not (tmp_path / "log.jsonl").exists()


def test_another_format_is_named(tmp_path: Path) -> None:
    torch.save({"format": 1, "state": {}}, tmp_path / "last.pt")
    with pytest.raises(InputError, match=wording("another-version-format-1-3")):
        load_checkpoint(tmp_path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "trapped"),))

    torch.save({"format": 3, "trap": Trap()}, tmp_path / "last.pt")
    with pytest.raises(InputError):
        load_checkpoint(tmp_path)
    (tmp_path / "last.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "trapped").exists()


def test_what_a_killed_process_left_is_no_checkpoint_and_goes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"step": 1})
    (tmp_path / ".last.pt.4711.part").write_bytes(b"half")
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"step": 1})
    script = f"""
import resource, signal, torch
from asr.train.checkpoint import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))  # no file may grow beyond it: as a disk that is full
save_checkpoint({str(tmp_path)!r}, {{"step": 2, "weights": torch.zeros(100_000)}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert wording("cannot-be-written") in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 1


def test_the_folder_is_free_when_its_process_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.train.run_folder._LOCK_SECONDS", 0.1)
    with only_process(tmp_path), pytest.raises(InputError, match=wording("another-process")), only_process(tmp_path):
        pass
    with only_process(tmp_path):
        pass


def test_a_damaged_checkpoint_never_takes_the_place_of_a_good_one(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, {"step": step})
    (tmp_path / "last.pt").write_bytes(b"damaged")
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["previous.pt"]


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    """A process that reads data outlives a kill of its parent for a while: the run must not wait for it."""
    script = f"""
import os, time
from asr.train.run_folder import only_process
with only_process({str(tmp_path)!r}):
    if os.fork() == 0:
        print("child", flush=True)
        time.sleep(30)
    else:
        os.waitpid(-1, 0)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    with only_process(tmp_path):
        pass
    os.killpg(process.pid, signal.SIGKILL)
