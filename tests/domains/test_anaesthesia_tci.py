from dataclasses import replace

import numpy as np
import pytest

from foreworld.data.plan import cut
from foreworld.domains import anaesthesia_model as model
from foreworld.domains.anaesthesia import Anaesthesia
from foreworld.domains.anaesthesia_tci import PopulationModel
from foreworld.domains.collect import collect
from foreworld.errors import QuestionError, TrainingError
from foreworld.evidence.baselines import Persistence
from foreworld.evidence.metrics import crps

HORIZON = 20


@pytest.fixture(scope="module")
def domain() -> Anaesthesia:
    return Anaesthesia()


@pytest.fixture(scope="module")
def fitted(domain) -> PopulationModel:
    return PopulationModel.fit(collect(domain, instances=domain.instances[::2], steps=120, seed=0), HORIZON)


def typical_history(domain):
    """A patient who is the typical one, under the rates of another, read without error."""
    episode = collect(domain, instances=["man#001"], steps=80, seed=3)[0]
    bodies = model.Bodies(*episode.static[:, None].astype(float))
    steps = model.transition(model.schnider(bodies), 1.0), model.transition(model.minto(bodies), 1.0)
    levels, shown = [np.zeros((4, 1)), np.zeros((4, 1))], []
    for propofol, remifentanil in np.append(episode.actions, [[0.0, 0.0]], axis=0):
        effect = levels[0][3], levels[1][3], model.typical_response(1)
        shown.append([model.bis(*effect)[0], model.tolerance(*effect)[0]])
        rates = propofol * bodies.weight / 60, remifentanil * bodies.weight
        levels = [model.advance(level, rate, step) for level, rate, step in zip(levels, rates, steps, strict=True)]
    return replace(episode, observations=np.array(shown))


def test_a_typical_patient_is_forecast_exactly_but_for_what_training_patients_departed(domain):
    episode = typical_history(domain)
    exact = PopulationModel(np.ones((HORIZON, 2)), np.zeros((200, HORIZON, 2)))
    data = replace(collect(domain, instances=["man#001"], steps=1, seed=3), episodes=(episode,))
    cases = cut(data, [(0, 5), (0, 60)], HORIZON)  # histories of different length side by side
    np.testing.assert_allclose(exact.forecast(cases.histories, cases.plan, members=3)[1], cases.truth, atol=1e-9)


def test_other_patients_are_forecast_better_than_by_persistence_and_covered(domain, fitted):
    train = collect(domain, instances=domain.instances[::2], steps=120, seed=0)
    test = list(domain.instances[1::2])
    recorded = collect(domain, instances=test, steps=120, seed=4)
    cases = cut(recorded, [(index, row) for index in range(len(test)) for row in (20, 50, 80)], HORIZON)
    ours = fitted.forecast(cases.histories, cases.plan)
    theirs = Persistence.fit(train, HORIZON).forecast(cases.histories, cases.plan)
    better = crps(ours, cases.truth).mean((0, 1)) / crps(theirs, cases.truth).mean((0, 1))
    assert (better < 0.7).all()
    low, high = np.quantile(ours, [0.05, 0.95], axis=0)
    covered = ((cases.truth >= low) & (cases.truth <= high)).mean((0, 1))
    assert (np.abs(covered - 0.9) < 0.06).all()


def test_longer_plans_and_shorter_episodes_than_the_horizon_are_refused(domain, fitted):
    short = collect(domain, instances=domain.instances[:3], steps=HORIZON + 2, seed=0)
    cases = cut(short, [(0, 0)], HORIZON + 1)
    with pytest.raises(QuestionError, match="21 steps.*fitted for 20"):
        fitted.forecast(cases.histories, cases.plan)
    with pytest.raises(TrainingError, match="no training episode"):
        PopulationModel.fit(short, HORIZON + 3)
