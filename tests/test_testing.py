"""The conformance suite passes what keeps the contract, and finds what breaks it: one planted fault at a time."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from foreworld.domains.base import Intervention
from foreworld.domains.glucose import Glucose
from foreworld.errors import QuestionError
from foreworld.testing import check_domain

from .documented import blocks, tank_class

Tank = tank_class()
Intended = Tank().behaviour("random", ["small#000"], steps=9, seeds=[0]).__class__


def test_the_glucose_domain_passes() -> None:
    check_domain(Glucose(), instances=2, steps=12)


def test_the_domain_of_the_documentation_passes_as_the_page_says() -> None:
    names: dict[str, Any] = {"__name__": "tanks"}
    for block in blocks("python"):
        exec(block, names)
    for seed in range(3):
        check_domain(names["Tank"](), instances=2, steps=13, seed=seed)


def changed(method: str, change: Callable[..., Any]) -> type:
    """A tank of which one method is wrapped: `change(tank, original, ...)`."""
    original = getattr(Tank, method)

    def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        return change(self, partial(original, self), *args, **options)

    return type("Faulty", (Tank,), {method: wrapped})


def having(**parts: Any) -> type:
    return type("Faulty", (Tank,), parts)


class Behaving:
    """A behaviour with one method replaced."""

    def __init__(self, inner: Any, act: Callable[..., Any] | None = None, intended: Callable[..., Any] | None = None):
        self.act = act or inner.act
        self.intended = intended or inner.intended


def _one_generator(self, original, instances, *, steps, seeds):
    answer = original(instances, steps=steps, seeds=seeds)
    self.noise = np.random.default_rng(seeds[0]).uniform(-0.5, 0.5, (len(seeds), steps))
    return answer


def _global_chance(self, original, instances, *, steps, seeds):
    np.random.seed(seeds[0])
    return original(instances, steps=steps, seeds=seeds)


def _length_matters(self, original, instances, *, steps, seeds):
    answer = original(instances, steps=steps, seeds=seeds)
    self.noise = self.noise[:, ::-1].copy()
    return answer


def _fresh_chance(self, original, instances, *, steps, seeds):
    answer = original(instances, steps=steps, seeds=seeds)
    self.noise += np.random.default_rng().uniform(-0.01, 0.01, self.noise.shape)
    return answer


def _chance_left_out(self, original):
    return {name: values for name, values in original().items() if name != "noise"}


def _sharing_restore(self, snapshot, *, seeds=None):
    vars(self).update(snapshot)
    for episode, seed in enumerate(seeds or ()):
        fresh = np.random.default_rng(seed).uniform(-0.5, 0.5, self.noise.shape[1])
        self.noise[episode, self.row[episode] :] = fresh[self.row[episode] :]


def _forgetful_restore(self, original, snapshot, *, seeds=None):
    original(snapshot, seeds=seeds)
    if seeds is not None:
        self.level, self.row = np.full_like(self.level, 30.0), np.zeros_like(self.row)
        self.noise = np.stack([np.random.default_rng(seed).uniform(-0.5, 0.5, self.noise.shape[1]) for seed in seeds])


def _shared_restore(self, original, snapshot, *, seeds=None):
    original(snapshot, seeds=seeds and [sum(seeds)] * len(seeds))


def _inexact_restore(self, original, snapshot, *, seeds=None):
    original(snapshot, seeds=seeds)
    self.level = self.level.astype(np.float32).astype(float)


def _joined_rows(self, original, snapshot, *, seeds=None):
    original(snapshot, seeds=seeds)
    self.row[:] = self.row.max()


def _late_intention(self, original, policy, instances, *, steps, seeds):
    inner, done = original(policy, instances, steps=steps, seeds=seeds), []

    def act(step, observations):
        done.append(step)
        return inner.act(step, observations)

    return Behaving(inner, act=act, intended=lambda start, stop: inner.intended(start, stop) * (0.5 if done else 1))


def _another_intention(self, original, policy, instances, *, steps, seeds):
    inner = original(policy, instances, steps=steps, seeds=seeds)
    return Behaving(inner, intended=lambda start, stop: np.roll(inner.plan, 1, axis=1)[:, start:stop])


def _constant_policy(self, original, policy, instances, *, steps, seeds):
    original(policy, instances, steps=steps, seeds=seeds)
    return Intended(np.full((len(seeds), steps, 1), 0.5), False)


def _reckless_policy(self, original, policy, instances, *, steps, seeds):
    inner = original(policy, instances, steps=steps, seeds=seeds)
    return Behaving(inner, act=lambda step, seen: inner.act(step, seen) * (3 if policy == "cautious" else 1))


def _any_policy(self, original, policy, instances, *, steps, seeds):
    return original(policy if policy in self.policies else "random", instances, steps=steps, seeds=seeds)


def _idle_shift(self, original, name):
    original(name)
    return Tank()


def _settled_restore(self, original, snapshot, *, seeds=None):
    original(snapshot)


def _changing_alternatives(self, original, instances, actions, seeds):
    actions[:, 0] = 0
    return original(instances, actions, seeds)


def _invariants(**more: Callable[..., Any]) -> type:
    return changed(
        "invariants", lambda self, original, seen, done: original(seen, done) | {k: f(seen) for k, f in more.items()}
    )


def _rewriting(rewrite: Callable[..., Any], doing: str = "") -> type:
    return having(interventions=Tank.interventions | {"odd": Intervention("something odd", rewrite, doing)})


def _in_place(names, plan):
    plan *= 0.5
    return plan


FAULTS: dict[str, tuple[type, str]] = {
    "no summary": (having(about=replace(Tank.about, summary="")), "about.summary"),
    "no distribution": (having(about=replace(Tank.about, extra="tank")), "no `distribution`"),
    "slash": (having(instances=(*Tank.instances[:-1], "large/9")), "slash"),
    "horizon": (having(study=replace(Tank.study, first=230)), "no row from 230 on"),
    "unknown doing": (_rewriting(lambda names, plan: plan / 2, "tap"), "'tap', which is no action"),
    "bounds": (changed("step", lambda self, original, actions: original(actions) - 40), "leaves its bounds"),
    "not finite": (changed("step", lambda self, original, actions: original(actions) * np.nan), "finite"),
    "shape": (changed("step", lambda self, original, actions: original(actions)[:, 0]), "answers in shape"),
    "fresh chance": (changed("reset", _fresh_chance), "same seeds do not give the same observations"),
    "one generator": (changed("reset", _one_generator), "not the same when it is simulated"),
    "global chance": (changed("reset", _global_chance), "numpy's global random numbers"),
    "length matters": (changed("reset", _length_matters), "is not the beginning of one of 24"),
    "chance left out": (changed("snapshot", _chance_left_out), "do not go on as they did"),
    "snapshot shared": (
        having(
            snapshot=lambda self: {name: getattr(self, name) for name in ("tank", "row", "level", "noise")},
            restore=_sharing_restore,
        ),
        "its own chance was overwritten",
    ),
    "inexact restore": (changed("restore", _inexact_restore), "do not go on as they did"),
    "one row for all": (changed("restore", _joined_rows), "taken out at row"),
    "new chance ignored": (changed("restore", _settled_restore), "new seeds change nothing"),
    "past forgotten": (changed("restore", _forgetful_restore), "the present was not kept"),
    "new chance shared": (changed("restore", _shared_restore), "depends on what is simulated beside it"),
    "late intention": (changed("behaviour", _late_intention), "seen the future"),
    "another intention": (changed("behaviour", _another_intention), "does not do what it intends at step"),
    "no exploration": (changed("behaviour", _constant_policy), "never varies 'valve'"),
    "reckless policy": (changed("behaviour", _reckless_policy), "actions under policy 'cautious'"),
    "changing alternatives": (changed("alternatives", _changing_alternatives), "changes the plan that it is given"),
    "no alternative": (changed("alternatives", lambda self, original, names, plan, seeds: plan.copy()), "alternatives"),
    "idle intervention": (_rewriting(lambda names, plan: plan), "changes nothing in the plan"),
    "intervention in place": (_rewriting(_in_place), "changes the plan that it is given"),
    "intervention out of bounds": (_rewriting(lambda names, plan: plan + 1), "leaves its bounds"),
    "no effect": (_rewriting(lambda names, plan: plan + 1e-300), "changes nothing|no effect at all"),
    "effectless": (changed("step", lambda self, original, actions: original(actions * 0)), "no effect at all"),
    "broken": (_invariants(low=lambda seen: (seen[..., 0] < 5).any(-1)), "break: low"),
    "NaN breaks": (_invariants(finite=lambda seen: np.isfinite(seen).all((-1, -2))), "not known"),
    "nothing said": (
        _invariants(true=lambda seen: np.ones(seen.shape[:-2], bool)),
        "'true' holds of the most absurd trajectories",
    ),
    "cost below zero": (changed("cost", lambda self, original, seen: original(seen) - 50), "cost under"),
    "shift without change": (changed("shifted", _idle_shift), "changes nothing that is observed"),
    "policy not refused": (changed("behaviour", _any_policy), "`behaviour` takes a name"),
    "rude refusal": (changed("shifted", lambda self, original, name: {"worn": original("worn")}[name]), "KeyError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    faulty, says = FAULTS[fault]
    with pytest.raises(AssertionError, match=says):
        check_domain(faulty())


def test_a_baseline_that_answers_in_another_shape_is_found() -> None:
    class Short:
        def forecast(self, histories, plan, *, members=200, seed=0):
            return np.zeros((members, len(histories), plan.horizon - 1, 1))

    with pytest.raises(AssertionError, match="the baseline 'short' answers in shape"):
        check_domain(having(baselines={"short": lambda data, horizon: Short()})())


def test_what_is_no_domain_is_told_what_it_lacks() -> None:
    with pytest.raises(AssertionError, match="has no about, schema, .*cost"):
        check_domain(object())


def test_a_deterministic_world_says_so() -> None:
    settled = changed("restore", _settled_restore)
    check_domain(settled(), deterministic=True)
    with pytest.raises(AssertionError, match="said to be deterministic"):
        check_domain(Tank(), deterministic=True)


def recording(split: Callable[[Any], Any]) -> Any:
    """The tank's episodes as if nobody could simulate them."""
    from foreworld.domains.collect import collect

    def parts(self: Any, seed: int) -> Any:
        return split(collect(Tank(), steps=40, seed=seed))

    shared = {name: getattr(Tank, name) for name in ("about", "schema", "baselines", "study")}
    return type("Recording", (), shared | {"split": parts})()


def test_recorded_domains_may_not_test_on_what_was_learnt() -> None:
    check_domain(recording(lambda data: (data.take(range(15)), data.take(range(15, 20)))))
    with pytest.raises(AssertionError, match="stretches of test episode 'small#002' are in what is learnt from"):
        check_domain(recording(lambda data: (data.take(range(15)), data.take(range(12, 20)))))
    with pytest.raises(AssertionError, match="too few for first row and horizon"):
        check_domain(recording(lambda data: (data, type(data)(data.schema, tuple(e.until(20) for e in data)))))


def test_the_tank_refuses_in_the_words_of_the_library() -> None:
    with pytest.raises(QuestionError, match="no tank 'nobody'"):
        Tank().reset(["nobody"], steps=2, seeds=[0])
