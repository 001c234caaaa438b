"""The state of an interrupted training run, kept so that the run resumes to the same bits."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from foreworld.artifacts import bytes_to_tensors, read_artifact, tensors_to_bytes, write_artifact
from foreworld.data.episodes import Episodes
from foreworld.errors import TrainingError
from foreworld.world.config import FitConfig

if TYPE_CHECKING:
    from foreworld.training.loop import Trainer

KIND = "checkpoint"


class Checkpoint:
    """A folder with weights, averaged weights, optimiser state, step and log of one run.

    Args:
        folder: where the state is kept; it is replaced as a whole on every save.
        run: what identifies the run: a digest of data, configuration, seed and everything else that sets the bits.
    """

    def __init__(self, folder: Path, run: str):
        self.folder, self.run = folder, run

    def save(self, trainer: "Trainer") -> None:
        """Write the state, whole or not at all."""
        tensors = {f"network.{name}": value for name, value in trainer.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in trainer.average.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in trainer.best.state_dict().items()}
        for place, optimiser in enumerate(trainer.optimisers):
            for index, state in optimiser.state_dict()["state"].items():
                own = f"optimiser.{place}.{index}."
                tensors |= {own + name: torch.as_tensor(value) for name, value in state.items()}
        best = {"best_score": trainer.best_score, "best_step": trainer.best_step}
        files = {
            "state.safetensors": tensors_to_bytes({name: value.detach().numpy() for name, value in tensors.items()}),
            "progress.json": json.dumps({"run": self.run, "step": trainer.step, "log": trainer.log} | best).encode(),
        }
        write_artifact(self.folder, files, KIND, {"step": trainer.step})

    def restore(self, trainer: "Trainer") -> None:
        """Bring a trainer to the saved state; without one it is left as it is.

        Raises:
            TrainingError: the state belongs to another run.
            ArtifactError: the state is damaged.
        """
        if not self.folder.exists():
            return
        files = read_artifact(self.folder, KIND)
        progress = json.loads(files["progress.json"])
        if progress["run"] != self.run:
            raise TrainingError(
                f"{self.folder} holds an interrupted run with other data or settings: "
                "repeat that command to resume it, or discard it with --fresh"
            )
        tensors = {
            name: torch.from_numpy(value) for name, value in bytes_to_tensors(files["state.safetensors"]).items()
        }
        trainer.network.load_state_dict(_under("network.", tensors))
        trainer.average.load_state_dict(_under("average.", tensors))
        trainer.best.load_state_dict(_under("best.", tensors))
        for place, optimiser in enumerate(trainer.optimisers):
            state: dict[int, dict[str, torch.Tensor]] = {}
            for name, value in _under(f"optimiser.{place}.", tensors).items():
                index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        trainer.log, trainer.step = progress["log"], progress["step"]
        trainer.best_score, trainer.best_step = progress["best_score"], progress["best_step"]


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def run_key(config: FitConfig, data: Episodes, seed: int) -> str:
    """A digest of all that decides the bits of a run."""
    facts = [config.model_dump(mode="json"), data.fingerprint, seed, torch.__version__, torch.get_num_threads()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
