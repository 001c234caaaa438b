"""The original simulator, against which the vectorised one is checked."""

import sys
import warnings
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def original() -> SimpleNamespace:
    """simglucose's own patient, sensor, noise and risk index.

    The package's `__init__` registers an environment with the dead gym, so its modules are imported without it.
    """
    spec = find_spec("simglucose")
    assert spec is not None, "these tests need: pip install --no-deps simglucose==0.2.11"
    sys.modules["simglucose"] = module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patients = import_module("simglucose.patient.t1dpatient")
        sensors = import_module("simglucose.sensor.cgm")
        noise = import_module("simglucose.sensor.noise_gen")
        risk = import_module("simglucose.analysis.risk")

    def patient(name: str):
        made = patients.T1DPatient.withName(name)
        # The package looks up every constant in a pandas row; plain attributes give the same bits ten times as fast.
        made._params = SimpleNamespace(**made._params.to_dict())
        return made

    return SimpleNamespace(
        patient=patient,
        Action=patients.Action,
        sensor=sensors.CGMSensor.withName,
        CGMNoise=noise.CGMNoise,
        risk_index=risk.risk_index,
    )
