"""Does a domain keep the contract? For everybody who writes one, in the manner of scikit-learn's check_estimator.

from foreworld.testing import check_domain
check_domain(MyDomain())
"""

from foreworld.domains.base import Domain, Recorded
from foreworld.testing import chance, declared, planned, recorded, simulated, stated
from foreworld.testing.trial import Trial

__all__ = ["check_domain"]

CHECKS = (*declared.CHECKS, *simulated.CHECKS, *chance.CHECKS, *planned.CHECKS, *stated.CHECKS)


def check_domain(
    domain: object,
    *,
    instances: int = 3,
    steps: int = 24,
    deterministic: bool = False,
    seed: int = 0,
) -> None:
    """Check a domain against `foreworld.domains.base`, property by property, on a few short episodes.

    Args:
        domain: a `Domain`, or a `Recorded`, of which only the declarations, the split and the baselines are
            checked.
        instances: how many of them to simulate, evenly spread.
        steps: of most episodes; those that answer what an intervention does are as long as the study's horizon asks.
        deterministic: nothing in this world is left to chance once an episode has begun, so that new seeds must change
            nothing, where they otherwise must.
        seed: of everything that is drawn.

    Raises:
        AssertionError: what is wrong, and where the contract says so; the first that was found.
    """
    if isinstance(domain, Recorded):
        for check in recorded.CHECKS:
            check(domain, seed)
        return
    if not isinstance(domain, Domain):
        needed = [name for name in declared.PARTS if not hasattr(domain, name)]
        raise AssertionError(
            f"{type(domain).__name__} has no {', '.join(needed)}: see `Domain` in foreworld.domains.base"
        )
    trial = Trial(domain, count=instances, steps=steps, deterministic=deterministic, seed=seed)
    for check in CHECKS:
        check(trial)
