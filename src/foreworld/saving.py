"""A world model as a folder of JSON and safetensors, each file hashed in a manifest; nothing on this path runs code."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from foreworld.artifacts import bytes_to_tensors, read_artifact, tensors_to_bytes, write_artifact
from foreworld.data.scaling import Encoding, Scaling
from foreworld.data.schema import Schema
from foreworld.errors import ArtifactError
from foreworld.evidence.baselines import Persistence, RidgeARX
from foreworld.reasoning.calibrate import Calibration
from foreworld.reasoning.individual.population import Population
from foreworld.reasoning.support.judge import Support
from foreworld.reasoning.surprise.monitor import Monitor
from foreworld.world.build import build_network
from foreworld.world.config import FitConfig

if TYPE_CHECKING:
    from foreworld.model import WorldModel

KIND = "world-model"
BASELINES = {"persistence": Persistence, "ridge-ARX": RidgeARX}


def save(model: "WorldModel", folder: Path) -> None:
    """Write the folder, whole or not at all."""
    weights = {name: value.numpy() for name, value in model.network.state_dict().items()}
    files = {
        "config.json": _json(
            {"config": model.config.model_dump(), "about": model.about, "trained_on": model.trained_on}
        ),
        "schema.json": _json(model.schema.model_dump()),
        "scaling.json": _json(model.encoding.scaling.model_dump()),
        "calibration.json": _json(model.calibration.model_dump()),
        "log.json": _json(model.log),
        "model.safetensors": tensors_to_bytes(weights),
        "README.md": readme(model).encode(),
    }
    if model.monitor is not None:
        watched, measured = model.monitor.state()
        files["surprise.json"], files["surprise.safetensors"] = _json(measured), tensors_to_bytes(watched)
    for name, part in {"population": model.population, "support": model.support, **model.baselines}.items():
        arrays, settings = part.state()
        files[f"{name}.json"] = _json(settings)
        files[f"{name}.safetensors"] = tensors_to_bytes(arrays)
    write_artifact(folder, files, KIND, {"data": model.about["data"]})


def load(folder: Path) -> "WorldModel":
    """Check and read a folder."""
    from foreworld.model import WorldModel

    files = read_artifact(folder, KIND)
    try:
        settings = json.loads(files["config.json"])
        config = FitConfig.model_validate(settings["config"])
        schema = Schema.model_validate_json(files["schema.json"])
        encoding = Encoding(schema, Scaling.model_validate_json(files["scaling.json"]), config.memory)
        tensors = {
            name: torch.from_numpy(value) for name, value in bytes_to_tensors(files["model.safetensors"]).items()
        }
        network = build_network(config, encoding, seed=0).requires_grad_(False)
        network.load_state_dict(tensors)
        baselines = {
            name: kind.from_state(bytes_to_tensors(files[f"{name}.safetensors"]), json.loads(files[f"{name}.json"]))
            for name, kind in BASELINES.items()
            if f"{name}.json" in files
        }
        return WorldModel(
            config=config,
            encoding=encoding,
            network=network,
            population=Population.from_state(
                bytes_to_tensors(files["population.safetensors"]), json.loads(files["population.json"])
            ),
            calibration=Calibration.model_validate_json(files["calibration.json"]),
            support=Support.from_state(
                bytes_to_tensors(files["support.safetensors"]), json.loads(files["support.json"])
            ),
            monitor=Monitor.from_state(
                bytes_to_tensors(files["surprise.safetensors"]), json.loads(files["surprise.json"])
            )
            if "surprise.json" in files
            else None,
            baselines=baselines,
            log=json.loads(files["log.json"]),
            about=settings["about"],
            trained_on=tuple(settings["trained_on"]),
        )
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        # The hashes are right, so whoever wrote this folder wrote something else: another version, or by hand.
        raise ArtifactError(f"{folder}: not a model that this version of foreworld can read: {error}") from error


def card(model: "WorldModel") -> dict[str, Any]:
    """What a model is, as JSON-able facts."""
    return {
        "schema": model.schema.model_dump(exclude_defaults=True),
        "time_step": model.encoding.scaling.step,
        "ranges": {
            name: {"low": scale.low, "high": scale.high} for name, scale in model.encoding.scaling.variables.items()
        },
        "config": model.config.model_dump(),
        "parameters": sum(parameter.numel() for parameter in model.network.parameters()),
        "calibration": {
            "held_out_cases": model.calibration.cases,
            "held_out_episodes": model.calibration.episodes,
            "horizon": model.calibration.horizon,
            "by": None if model.calibration.groups is None else model.calibration.groups.column,
            "groups": sorted(model.calibration.parts),
        },
        "diagnostics": {name: value for name, value in model.log[-1].items() if name != "step"},
        "about": model.about,
    }


def readme(model: "WorldModel") -> str:
    """The model card that lies in the folder."""
    facts = card(model)
    columns = "\n".join(
        f"| {variable.name} | {variable.role} | {variable.kind} | {variable.unit or '-'} |"
        for variable in model.schema.variables
    )
    diagnostics = "\n".join(f"- {name}: {value:.4g}" for name, value in facts["diagnostics"].items())
    return (
        "# A foreworld world model\n\n"
        f"Trained on {model.about['episodes']} episodes ({model.about['rows']} rows, data {model.about['data'][:12]}), "
        f"seed {model.about['seed']}.\n"
        f"Intervals are calibrated up to {model.calibration.horizon} steps of {model.encoding.scaling.step:g} "
        f"{model.schema.time_unit}, on {model.calibration.cases} cases from {model.calibration.episodes} episodes, "
        f"each forecast by networks that were not trained on it{_by(model)}.\n\n"
        f"| column | role | kind | unit |\n|---|---|---|---|\n{columns}\n\n"
        f"Diagnostics at the end of training:\n\n{diagnostics}\n\n"
        "Answers are valid for cases like the training data; others are marked `supported = false`. They describe "
        "what follows an action only as far as the data hold no hidden common cause of action and outcome.\n"
    )


def _by(model: "WorldModel") -> str:
    """Which groups are calibrated on their own."""
    known = model.calibration
    return f"; by {known.groups.column}: {', '.join(sorted(known.parts)) or 'no group'}" if known.groups else ""


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, default=_plain).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")
