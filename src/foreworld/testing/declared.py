"""Checks of what a domain says about itself, before anything is simulated."""

from collections.abc import Sequence

from foreworld.domains.base import About, Domain, Recorded, Study, split
from foreworld.testing.trial import Trial, require

PARTS = (
    *("about", "schema", "instances", "step_time", "policies", "interventions", "shifts", "baselines", "study"),
    *("shifted", "static", "reset", "step", "snapshot", "restore", "behaviour", "alternatives", "invariants", "cost"),
)


def check_about(domain: Domain | Recorded) -> None:
    """Name, field, summary, source and licence are there, and what is listed can be looked up."""
    about = domain.about
    require(isinstance(about, About), "`about` is no About", "About")
    for part in ("name", "field", "summary", "source", "licence"):
        require(bool(getattr(about, part).strip()), f"`about.{part}` is empty", "About")
    require(about == type(domain).about, "`about` cannot be read from the class, before anything is installed", "About")
    require(not about.extra or bool(about.distribution), "an extra is needed, but no `distribution` is named", "About")


def check_study(study: Study, *, simulated: bool) -> None:
    """There is room for a history and for the horizon after it."""
    require(study.horizon >= 1, f"a horizon of {study.horizon} steps", "Study")
    require(study.first >= 0, f"the first row asked about is {study.first}", "Study")
    require(study.episodes >= 1, f"{study.episodes} episodes of each instance", "Study")
    require(study.folds >= 2, f"{study.folds} folds leave nothing to learn from, or to test on", "Study")
    last = study.steps - study.horizon
    says = f"no row from {study.first} on has {study.horizon} steps after it in an episode of {study.steps}"
    require(not simulated or study.first <= last, says, "Study")


def check_schema(trial: Trial) -> None:
    """Actions, numbers as times, and nothing known of the future."""
    schema = trial.domain.schema
    require(bool(schema.actions), "there is no action", "Domain.schema")
    require(not schema.known_future, "there are known-future variables", "Domain.schema")
    require(schema.time_kind == "number", "time is no number", "Domain.schema")
    require(trial.domain.step_time > 0, f"a step takes {trial.domain.step_time:g}", "Domain.step_time")


def check_instances(trial: Trial) -> None:
    """Names that can be part of an episode's id, and enough of them to learn from some and test on others."""
    names = trial.domain.instances
    _named(names, "instances")
    bad = [name for name in names if "/" in name]
    require(not bad, f"the instance '{bad and bad[0]}' has a slash in its name", "Domain.instances")
    for seed in range(trial.domain.study.folds):
        train, test = split(names, seed, trial.domain.study.folds)
        require(bool(train) and bool(test), f"part {seed} of the split has nothing in it", "Domain.instances")


def check_policies_and_shifts(trial: Trial) -> None:
    """Names, without repeats; at least one policy."""
    _named(trial.domain.policies, "policies")
    if trial.domain.shifts:
        _named(trial.domain.shifts, "shifts")


def check_interventions(trial: Trial) -> None:
    """At least one, in words, and about actions that exist."""
    domain = trial.domain
    _named(tuple(domain.interventions), "interventions")
    actions = [variable.name for variable in domain.schema.actions]
    for name, intervention in domain.interventions.items():
        require(bool(intervention.words.strip()), f"the intervention '{name}' is not in words", "Intervention")
        says = f"the intervention '{name}' needs someone doing '{intervention.doing}', which is no action"
        require(not intervention.doing or intervention.doing in actions, says, "Intervention.doing")


def _named(names: Sequence[str], what: str) -> None:
    require(len(names) > 0 and all(isinstance(name, str) and name for name in names), f"no {what}", f"Domain.{what}")
    require(len(set(names)) == len(names), f"two {what} have the same name", f"Domain.{what}")


def check_declarations(trial: Trial) -> None:
    """What simulated and recorded domains both have."""
    check_about(trial.domain)
    check_study(trial.domain.study, simulated=True)


CHECKS = (check_declarations, check_schema, check_instances, check_policies_and_shifts, check_interventions)
