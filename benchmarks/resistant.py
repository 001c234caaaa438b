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
from foreworld.data.episodes import Episode
from foreworld.domains import tumour_model as model
from foreworld.domains.base import split
from foreworld.domains.tumour import SEEN, Tumour
from foreworld.reasoning.support.judge import ALARM
from glucose import interval
from support import CASES, questions

RESULTS = Path(__file__).parent / "results" / "resistant"
USUAL, RESISTANT = np.ones(3), np.array([1.0, 0.4, 0.4])  # of rho, beta_c, alpha


def likelihood(history: Episode, share: np.ndarray) -> float:
    """Logarithm of the density of a history's growth, if its patient has these shares of what a usual one has."""
    volume = model.volume_of(history.observations[:, 0].astype(float))
    left = model.CHEMO_LEFT ** np.arange(len(history.actions))
    drug = np.convolve(history.actions[:, 0].astype(float), left)[: len(history.actions)]
    alive = (volume > SEEN) & (volume < model.LETHAL)
    told = alive[:-1] & alive[1:]
    x = model.regressors(volume[:-1][told], drug[told], history.actions[told, 1].astype(float))
    mean, covariance = model.prior(int(history.static[0]))
    off = volume[1:][told] / volume[:-1][told] - 1 - x @ (share * mean)
    spread = (x * share) @ covariance @ (x * share).T + model.NOISE**2 * np.eye(len(x))
    return float(-0.5 * (np.linalg.slogdet(spread)[1] + off @ np.linalg.solve(spread, off)))


def run(seed: int) -> dict:
    """Flags of one split."""
    domain = Tumour()
    test = split(domain.instances, seed, domain.study.folds)[1]
    ratio = {}
    for name, world in (("known", domain), ("resistant", domain.shifted("resistant"))):
        cases = questions(world, test, lambda plan: plan, 1, CASES, seed)
        ratio[name] = np.array([likelihood(one, RESISTANT) - likelihood(one, USUAL) for one in cases.histories])
    known, shifted = ratio["known"], ratio["resistant"]
    return {
        "seed": seed,
        "flagged": float((shifted > np.quantile(known, 1 - ALARM)).mean()),
        "auroc": float((shifted[:, None] > known).mean()),
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
    flagged, auroc = (interval([size * cell[of] for cell in cells]) for of, size in (("flagged", 100), ("auroc", 1)))
    return "\n".join([*lines, f"| all | {flagged}% | {auroc} |", ""])


def main() -> None:
    """Run the missing seeds and write the table."""
    for seed in command_line(__doc__).parse_args().seeds:
        cached(RESULTS / f"seed{seed}.json", lambda seed=seed: run(seed), learnt=False)
    publish(RESULTS, report(together(RESULTS)))


if __name__ == "__main__":
    main()
