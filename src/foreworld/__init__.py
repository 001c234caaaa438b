"""foreworld: JEPA world models on trajectories of any domain, and calibrated answers to *what happens if*.

    import foreworld as fw
    data = fw.Episodes.from_frame(df, id="patient", time="minute", observations=["glucose"], actions=["insulin"])
    model = fw.WorldModel.fit(data, seed=0)
    model.imagine(history, do={"insulin": 0.0}, horizon=36).quantiles([0.05, 0.5, 0.95])

The names below are imported when first used, so that `import foreworld` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foreworld.data.episodes import Episodes
    from foreworld.data.schema import Schema, Variable
    from foreworld.errors import ForeworldError
    from foreworld.model import WorldModel
    from foreworld.reasoning.adaptive import AdaptiveIntervals
    from foreworld.reasoning.imagination import Imagination

__version__ = "0.1.0"
__all__ = [
    "AdaptiveIntervals",
    "Episodes",
    "ForeworldError",
    "Imagination",
    "Schema",
    "Variable",
    "WorldModel",
    "__version__",
]

_HOMES = {
    "AdaptiveIntervals": "foreworld.reasoning.adaptive",
    "Episodes": "foreworld.data.episodes",
    "ForeworldError": "foreworld.errors",
    "Imagination": "foreworld.reasoning.imagination",
    "Schema": "foreworld.data.schema",
    "Variable": "foreworld.data.schema",
    "WorldModel": "foreworld.model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'foreworld' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
