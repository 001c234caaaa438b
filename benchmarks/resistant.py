"""How many resistant patients could anybody tell? The best test that there is, on the questions of `support.py`.

    python benchmarks/resistant.py                     # the missing seeds, then benchmarks/results/resistant.md

Resistant tumours (60% less effect of either treatment) are the one strong shift that support does not see. A day's
relative growth is linear in what is hidden with Gaussian noise (`tumour_model.regressors`), so with the moments of the
population's prior the likelihood of a history is a normal density, under the population as it is and as it is shifted.
Their ratio is the most powerful test (Neyman and Pearson, 1933) but for these moments. It knows the equations, the
noise, the prior and what has changed; a model of support knows none of the four. Borders are set at a share ALARM of
false alarms, on the questions of the known world themselves.
"""

from pathlib import Path

import numpy as np

from cells import cached, command_line, publish, together
from foreworld.domains import tumour_model as model
from foreworld.domains.base import split
from foreworld.domains.tumour import Tumour
from foreworld.domains.tumour_fit import Evidence, evidence
from foreworld.reasoning.support.judge import ALARM
from glucose import interval
from support import CASES, questions
from surprise import auroc

RESULTS = Path(__file__).parent / "results" / "resistant"
USUAL, RESISTANT = np.ones(3), np.array([1.0, 0.4, 0.4])  # of rho, beta_c, alpha


def likelihood(of: Evidence, kind: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Logarithm of the density of each history's growth, if its patient has these shares of what a usual one has.

    But for what no share has a part in. With prior N(m, S) and u = X'(y - X m) / s^2 it is, by the lemmas of Woodbury
    and Sylvester, u'(S^-1 + X'X / s^2)^-1 u / 2 less (y - X m)'(y - X m) / 2 s^2 and log |1 + S X'X / s^2| / 2.
    """
    priors = [model.prior(index) for index in range(len(model.TYPES))]
    mean = share * np.stack([prior[0] for prior in priors])[kind]
    covariance = np.outer(share, share) * np.stack([prior[1] for prior in priors])[kind]
    told = of.square / model.NOISE**2
    explained = np.einsum("eij,ej->ei", told, mean)
    u = of.product / model.NOISE**2 - explained
    off = of.total / model.NOISE**2 - (mean * (2 * u + explained)).sum(-1)
    known = np.linalg.solve(np.linalg.inv(covariance) + told, u[..., None])[..., 0]
    return 0.5 * ((u * known).sum(-1) - off - np.linalg.slogdet(np.eye(3) + covariance @ told)[1])


def run(seed: int) -> dict:
    """Flags of one split."""
    domain = Tumour()
    test = split(domain.instances, seed, domain.study.folds)[1]
    ratio = {}
    for name, world in (("known", domain), ("resistant", domain.shifted("resistant"))):
        cases = questions(world, test, lambda plan: plan, 1, CASES, seed)
        of = evidence(tuple(cases.histories))
        kind = np.array([int(history.static[0]) for history in cases.histories])
        ratio[name] = likelihood(of, kind, RESISTANT) - likelihood(of, kind, USUAL)
    known, shifted = ratio["known"], ratio["resistant"]
    return {
        "seed": seed,
        "flagged": float((shifted > np.quantile(known, 1 - ALARM)).mean()),
        "auroc": auroc(shifted, known),
    }


def report(cells: list[dict]) -> str:
    """The table."""
    lines = [
        "# Resistant tumours: what the best test flags",
        "",
        "`python benchmarks/resistant.py`, which says what it knows.",
        "",
    ]
    lines += [f"| seed | flagged at {100 * ALARM:g}% of false alarms | AUROC |", "|---|---|---|"]
    lines += [f"| {cell['seed']} | {100 * cell['flagged']:.1f}% | {cell['auroc']:.3f} |" for cell in cells]
    flagged = interval([100 * cell["flagged"] for cell in cells])
    return "\n".join([*lines, f"| all | {flagged}% | {np.mean([cell['auroc'] for cell in cells]):.3f} |", ""])


def main() -> None:
    """Run the missing seeds and write the table."""
    for seed in command_line(__doc__).parse_args().seeds:
        cached(RESULTS / f"seed{seed}.json", lambda seed=seed: run(seed), learnt=False)
    publish(RESULTS, report(together(RESULTS)))


if __name__ == "__main__":
    main()
