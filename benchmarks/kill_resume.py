"""kill -9 in the middle of training, then resume: are the bits those of the run that nobody disturbed?

    python benchmarks/kill_resume.py                # benchmarks/results/kill_resume.json

Every trial trains in a process of its own, which is killed at a random moment, every third one in the middle of writing
a checkpoint. The same command is then given again. Compared with an undisturbed run are the SHA-256 of weights,
averaged weights, optimiser state, all that random numbers follow from, and the logged metrics.
"""

import argparse
import hashlib
import json
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "kill_resume.json"
GROUPS = {"weights": "network.", "averaged weights": "average.", "optimiser": "optimiser."}


def train_here(folder: Path, steps: int) -> None:
    """The process that gets killed: a small model, with checkpoints in this folder."""
    from foreworld.training.fit import train
    from foreworld.world.config import FitConfig
    from kalman import simulate

    data = simulate(12, 60, seed=0)
    config = FitConfig(members=3, latent=8, hidden=16, context=24, horizon=8, steps=steps, batch=8, anchors=4)
    print("training", flush=True)
    train(data, config, seed=0, checkpoint=folder, progress=False)


def start(folder: Path, steps: int) -> subprocess.Popen[str]:
    """Begin or resume training; returns when the first step is near."""
    command = [sys.executable, __file__, "--train", str(folder), "--steps", str(steps)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def finish(folder: Path, steps: int) -> float:
    """Train to the end; returns the seconds that it took."""
    process = start(folder, steps)
    begun = time.perf_counter()
    if process.wait() != 0:
        raise SystemExit(f"training ended with {process.returncode}")
    return time.perf_counter() - begun


def kill(folder: Path, steps: int, moment: float, writing: bool) -> bool:
    """Train, and kill after some seconds, or in the next writing of a checkpoint; False if it ended before that."""
    process = start(folder, steps)
    time.sleep(moment)
    while writing and process.poll() is None and not is_writing(folder):
        time.sleep(0.0002)
    process.kill()
    return process.wait() == -signal.SIGKILL


def is_writing(folder: Path) -> bool:
    """Whether a checkpoint that is not complete lies beside its place."""
    return any(folder.parent.glob(f".{folder.name}.*"))


def saved_step(folder: Path) -> int:
    """The step of the last complete checkpoint."""
    manifest = folder / "manifest.json"
    return json.loads(manifest.read_bytes())["about"]["step"] if manifest.exists() else 0


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each part of a finished run."""
    from foreworld.artifacts import bytes_to_tensors, read_artifact

    files = read_artifact(folder, "checkpoint")
    progress = json.loads(files["progress.json"])
    tensors = bytes_to_tensors(files["state.safetensors"])
    found = {}
    for group, prefix in GROUPS.items():
        whole = hashlib.sha256()
        for name in sorted(name for name in tensors if name.startswith(prefix)):
            whole.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode() + tensors[name].tobytes())
        found[group] = whole.hexdigest()
    # All random numbers of a step follow from the seed, which the key of the run holds, and from the step.
    for part, facts in (("random numbers", [progress["run"], progress["step"]]), ("metrics", progress["log"])):
        found[part] = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return found


def trial(place: Path, steps: int, duration: float, writing: bool, expected: dict[str, str]) -> dict[str, Any]:
    """Kill one run and resume it to its end."""
    folder = place / "run"
    moment = random.uniform(0, duration)
    while not kill(folder, steps, moment, writing):
        shutil.rmtree(folder)
        moment /= 2
    facts = {"seconds": round(moment, 3), "saved_step": saved_step(folder), "while_writing": is_writing(folder)}
    finish(folder, steps)
    found = digests(folder)
    shutil.rmtree(folder)
    return facts | {"different": [part for part in expected if found[part] != expected[part]]}


def measure(kills: int, steps: int) -> dict[str, Any]:
    """Train once undisturbed, then kill and resume."""
    import torch

    with tempfile.TemporaryDirectory() as place:
        undisturbed = Path(place) / "undisturbed"
        duration = finish(undisturbed, steps)
        expected = digests(undisturbed)
        trials = []
        for index in range(kills):
            trials.append(trial(Path(place), steps, duration, writing=index % 3 == 0, expected=expected))
            print(f"kill {index + 1}: {trials[-1]}", file=sys.stderr, flush=True)
    return {
        "kills": kills,
        "identical": sum(not trial["different"] for trial in trials),
        "steps": steps,
        "threads": torch.get_num_threads(),
        "undisturbed_seconds": round(duration, 2),
        "versions": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "sha256": expected,
        "trials": trials,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        train_here(given.train, given.steps)
        sys.exit()
    result = measure(given.kills, given.steps)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{result['identical']} of {result['kills']} identical")
    sys.exit(result["identical"] != result["kills"])
