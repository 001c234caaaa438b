"""The whole way in one call, for any domain: simulate, fit, test on unseen instances, ask what-ifs, write a report."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

from foreworld.data.episodes import Episodes
from foreworld.data.frames import write_frame
from foreworld.demo.drawing import draw
from foreworld.demo.measuring import Findings, measure_recorded, measure_simulated
from foreworld.demo.telling import deed, effect_rows, plural, report, summary
from foreworld.domains import registry
from foreworld.domains.base import Domain
from foreworld.domains.engine import open_engine
from foreworld.durable import write_bytes

__all__ = ["run"]


def run(
    out: Path,
    *,
    domain: str = "glucose",
    seed: int = 0,
    engine: str = "serial",
    workers: int | None = None,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Run the demo of a domain, as its `study` says.

    Args:
        out: folder for `report.html`, the pictures, the model and a table to try.
        domain: its name.
        seed: decides everything, and which instances are for the test.
        engine, workers: where to simulate; see `foreworld.domains.engine.open_engine`.
        progress: progress bars; by default on a terminal only.

    Returns:
        The tables against the baselines, and where everything was written.
    """
    source = registry.create(domain)
    if isinstance(source, Domain):
        with open_engine(partial(registry.simulator, domain), engine, workers) as at_work:
            findings = measure_simulated(at_work, seed, progress)
    else:
        findings = measure_recorded(source, seed, progress)
    out.mkdir(parents=True, exist_ok=True)
    findings.model.save(out / "model")
    pictures = draw(findings)
    for name, picture in pictures.items():
        write_bytes(out / f"{name}.png", picture)
    report(findings, pictures, seed).write(out / "report.html")
    result: dict[str, Any] = {
        "found": summary(findings),
        f"unseen {plural(findings.domain.schema.id)}": list(findings.test),
        "CRPS, what was done": findings.factual.table(),
    }
    if findings.branched is not None:
        result |= {"CRPS, another plan": findings.branched.table(), "what if": effect_rows(findings)}
    return result | {
        "seconds": {name: round(value) for name, value in findings.seconds.items()},
        "report": str(out / "report.html"),
        "try next": _try_next(findings, out),
    }


def _try_next(findings: Findings, out: Path) -> str:
    """A command that runs as it stands, about the case that the first picture shows."""
    program = sys.argv[0] if Path(sys.argv[0]).name == "foreworld" else "foreworld"
    history, do = out / "history.csv", []
    if findings.what_ifs:
        name, case = next(iter(findings.shown.items()))
        done, undone = findings.what_ifs[name]
        write_frame(undone.histories.take([case]).to_frame(), history)
        do = ["--do", deed(done, undone, case)]
    else:
        past = findings.recorded[0]
        known = past.until(past.steps // 2)
        write_frame(Episodes(findings.recorded.schema, (known,)).to_frame(), history)
    words = [program, "imagine", str(out / "model"), "--history", str(history), *do, "--plot", str(out / "future.png")]
    return shlex.join(words)
