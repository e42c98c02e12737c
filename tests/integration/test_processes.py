"""Real processes, found by torchrun's and SLURM's variables, that train one model together (gloo, on the CPU)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import tone_data
from wording import wording

from asr.models.folder import load_model
from asr.train.checkpoint import load_checkpoint
from asr.train.distributed import launch, process_counts
from asr.utils.errors import InputError

SETTINGS = [
    "model.features.sample_rate=8000",
    "model.features.num_mel_bins=20",
    "model.features.normalize=global",
    "model.encoder.hidden=32",
    "model.encoder.layers=2",
    "model.encoder.dropout=0.3",
    "augment.speed=[0.9,1.0,1.1]",
    "augment.noise=generated",
    "batch_seconds=6",
    "learning_rate=0.02",
    "warmup_steps=10",
    "checkpoint_minutes=0",
    "device=cpu",
    "ema=0.9",
    "average_best=2",
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    return tone_data(folder, 60)


def torchrun(rank: int, port: int) -> dict[str, str]:
    """What torchrun sets for one of two processes."""
    return {
        "TORCHELASTIC_RUN_ID": "none",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def slurm(rank: int, port: int) -> dict[str, str]:
    """What srun sets for one of two tasks on one machine."""
    return {
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "MASTER_PORT": str(port),
    }


def start(data: Path, out: Path, *settings: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    words = ["train", *SETTINGS, *settings, "--data", str(data), "--out", str(out)]
    return subprocess.Popen(
        [sys.executable, "-c", "from asr.cli import main; main()", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(data: Path, out: Path, *settings: str, setup: object = torchrun) -> list[subprocess.Popen[str]]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    assert callable(setup)
    return [start(data, out, *settings, environment=setup(rank, port)) for rank in range(2)]


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def difference(one: Path, other: Path) -> float:
    """The greatest of any two weights, at the end and of the model that was kept."""
    states = [load_checkpoint(run / "checkpoints") for run in (one, other)]
    ends = [state["model"] for state in states if state is not None]
    kept = [load_model(run / "model").recognizer.state_dict() for run in (one, other)]
    return max(float((a[name] - b[name]).abs().max()) for a, b in (ends, kept) for name in a)


@pytest.fixture(scope="module")
def one(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, two batches a step."""
    out = tmp_path_factory.mktemp("one") / "run"
    code, _, err = end(start(prepared, out, "epochs=5", "accumulate=2"))
    assert code == 0, err
    return out


@pytest.mark.parametrize("setup", [torchrun, slurm])
def test_two_processes_are_one_with_two_batches_a_step(
    setup: object, one: Path, prepared: Path, tmp_path: Path
) -> None:
    ended = [end(process) for process in start_two(prepared, tmp_path / "two", "epochs=5", setup=setup)]
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert difference(one, tmp_path / "two") <= 1e-5
    assert ["model: dev" in out for _, out, _ in ended] == [True, False]  # one speaks for both
    assert "epoch 1/5" not in ended[1][2]


def test_an_attention_decoder_on_two_processes(prepared: Path, tmp_path: Path) -> None:
    """It learns from the second epoch on, from the third the encoder, too, which is another model's."""
    small = "model.decoder={kind: attention, hidden: 16, embedding: 8, attention_dim: 8, dropout: 0.3, start_epoch: 2}"
    code, _, err = end(start(prepared, tmp_path / "before", "epochs=1"))
    assert code == 0, err
    settings = (small, f"init_from={tmp_path / 'before'}", "groups={encoder: {freeze_epochs: 2}}", "epochs=4")
    code, _, err = end(start(prepared, tmp_path / "one", *settings, "accumulate=2"))
    assert code == 0, err
    ends = [end(process) for process in start_two(prepared, tmp_path / "two", *settings)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert difference(tmp_path / "one", tmp_path / "two") <= 1e-5


def test_a_killed_process_ends_the_run_which_goes_on(one: Path, prepared: Path, tmp_path: Path) -> None:
    processes = start_two(prepared, tmp_path / "run", "epochs=5")
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    while not last.exists() and processes[0].poll() is None:
        time.sleep(0.005)
    processes[1].kill()
    code, _, err = end(processes[0])
    end(processes[1])
    assert code == 2
    assert "another process of this run is gone" in err
    assert "the same command goes on" in err
    # as one process, too: what counts are the batches of a step
    assert end(start(prepared, tmp_path / "run", "epochs=5", "accumulate=2"))[0] == 0
    assert difference(one, tmp_path / "run") <= 1e-5


def test_ctrl_c_stops_both_at_the_same_step(one: Path, prepared: Path, tmp_path: Path) -> None:
    processes = start_two(prepared, tmp_path / "run", "epochs=5")
    last = tmp_path / "run" / "checkpoints" / "last.pt"
    while not last.exists() and processes[0].poll() is None:
        time.sleep(0.005)
    processes[1].send_signal(signal.SIGINT)  # one of them is enough
    ended = [end(process) for process in processes]
    assert [code for code, _, _ in ended] == [130, 130], ended
    assert [end(process)[0] for process in start_two(prepared, tmp_path / "run", "epochs=5")] == [0, 0]
    assert difference(one, tmp_path / "run") <= 1e-5


def test_another_number_of_batches_a_step_is_another_run(one: Path, prepared: Path) -> None:
    code, _, err = end(start(prepared, one, "epochs=5", "accumulate=3"))
    assert code == 2
    assert "run.batches_per_step 2 -> 3" in err


def test_more_processes_than_there_is_work_for(prepared: Path, tmp_path: Path) -> None:
    code, _, err = end(start(prepared, tmp_path / "run", "accumulate=1000"))
    assert code == 2
    assert "cannot be dealt to 1000" in err


def test_counts_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM", "TORCHELASTIC")):
            monkeypatch.delenv(name)
    assert process_counts() == (1, 1)
    for name, value in {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_NNODES": "2"}.items():
        monkeypatch.setenv(name, value)
    assert process_counts() == (8, 4)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")  # a shell on a cluster is one process
    assert process_counts() == (1, 1)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=wording("no-gpu")):
            launch("gpu")
