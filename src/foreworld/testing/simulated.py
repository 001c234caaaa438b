"""Checks of how episodes run: shapes, bounds, and that an episode depends on its seed and its id alone."""

import numpy as np

from foreworld.domains.base import derive_seed
from foreworld.domains.collect import roll
from foreworld.errors import ForeworldError
from foreworld.testing.trial import Trial, misfits, require, same


def check_shapes(trial: Trial) -> None:
    """One row an episode and one column a variable, in floating point, from the first observation on."""
    domain, names = trial.domain, trial.names
    count, schema = len(names), trial.domain.schema
    first = domain.reset(names, steps=2, seeds=trial.seeds("chance"))
    actions = domain.behaviour(domain.policies[0], names, steps=2, seeds=trial.seeds("policy")).act(0, first)
    answers = {
        "reset": (first, schema.observations),
        "static": (domain.static(names), schema.static),
        "step": (domain.step(actions), schema.observations),
    }
    for method, (values, variables) in answers.items():
        shape = (count, len(variables))
        says = f"`{method}` answers in shape {np.shape(values)}, not {shape}"
        require(isinstance(values, np.ndarray) and values.shape == shape, says, f"Domain.{method}")
        says = f"`{method}` answers in {values.dtype}, which is no floating point"
        require(np.issubdtype(values.dtype, np.floating), says, f"Domain.{method}")
    says = f"`act` answers in shape {actions.shape}, not {(count, len(schema.actions))}"
    require(actions.shape == (count, len(schema.actions)), says, "Behaviour.act")


def check_static(trial: Trial) -> None:
    """Facts are finite, within bounds, and belong to the instance and not to its place."""
    domain, names = trial.domain, trial.names
    facts = domain.static(names)
    wrong = misfits(facts, domain.schema.static)
    require(not wrong, f"`static`: {'; '.join(wrong)}", "Domain.static")
    alone = np.concatenate([domain.static([name]) for name in names])
    require(same(facts, alone), "the facts of an instance depend on which others are asked about", "Domain.static")


def check_observations(trial: Trial) -> None:
    """Finite and within the schema's bounds, under every policy and in every shift."""
    for world, rollout in trial.worlds.items():
        wrong = misfits(rollout.observations, trial.domain.schema.observations)
        require(not wrong, f"observations under {world}: {'; '.join(wrong)}", "Domain.step")


def check_same_seed_same_bits(trial: Trial) -> None:
    """Simulated again, the same."""
    again, first = roll(trial.domain, None, trial.ids, steps=trial.steps, seed=trial.seed), trial.rollout
    says = "the same seeds do not give the same {} again"
    require(same(again.actions, first.actions), says.format("actions"), "Domain.behaviour")
    require(same(again.observations, first.observations), says.format("observations"), "Domain.reset")


def check_global_chance(trial: Trial) -> None:
    """Numpy's global random numbers are neither drawn from nor seeded."""
    kept = np.random.get_state()
    try:
        np.random.seed(20_231)  # a state that no domain would happen to leave behind
        before = np.random.get_state(legacy=False)["state"]
        roll(trial.domain, None, trial.ids[:1], steps=min(trial.steps, 6), seed=trial.seed)
        after = np.random.get_state(legacy=False)["state"]
    finally:
        np.random.set_state(kept)
    untouched = np.array_equal(before["key"], after["key"]) and before["pos"] == after["pos"]
    require(untouched, "numpy's global random numbers are drawn from or seeded", "Domain.reset")


def check_independence(trial: Trial) -> None:
    """An episode is the same alone, in another order, and beside others."""
    whole = trial.rollout
    for ids in ([trial.ids[-1]], trial.ids[::-1]):
        places = [trial.ids.index(id) for id in ids]
        some = roll(trial.domain, None, ids, steps=trial.steps, seed=trial.seed)
        alike = same(some.actions, whole.actions[places]) and same(some.observations, whole.observations[places])
        beside = "in another order" if len(ids) > 1 else "alone"
        says = f"episode '{ids[0]}' is not the same when it is simulated {beside}"
        require(alike, says, "derive_seed")


def check_length(trial: Trial) -> None:
    """A longer episode begins as the shorter one does, bit by bit: chance does not depend on `steps`."""
    half = trial.steps // 2
    short = roll(trial.domain, None, trial.ids, steps=half, seed=trial.seed)
    alike = same(short.observations, trial.rollout.observations[:, : half + 1])
    require(alike, f"an episode of {half} steps is not the beginning of one of {trial.steps}", "Domain.reset")


def check_unknown_names(trial: Trial) -> None:
    """Instances, policies and shifts that do not exist are refused in a line for the user."""
    domain, nobody, seeds = trial.domain, "nobody here", [derive_seed(trial.seed, "nobody")]
    asked = {
        "reset": lambda: domain.reset([nobody], steps=2, seeds=seeds),
        "behaviour": lambda: domain.behaviour(nobody, trial.names[:1], steps=2, seeds=seeds),
        "shifted": lambda: domain.shifted(nobody),
    }
    for method, ask in asked.items():
        try:
            ask()
        except ForeworldError as error:
            says = f"`{method}` does not say which name it does not know: {error}"
            require(nobody in str(error), says, f"Domain.{method}")
        except Exception as error:
            says = (
                f"`{method}` meets a name that it does not know with {type(error).__name__}, not with a QuestionError"
            )
            raise AssertionError(f"{says} (the contract: `Domain.{method}` in foreworld.domains.base)") from error
        else:
            require(False, f"`{method}` takes a name that does not exist", f"Domain.{method}")


CHECKS = (
    check_shapes,
    check_static,
    check_observations,
    check_same_seed_same_bits,
    check_global_chance,
    check_independence,
    check_length,
    check_unknown_names,
)
