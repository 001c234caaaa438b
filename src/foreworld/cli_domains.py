"""The commands about where trajectories come from: the domains, collecting from one, and the whole path at once."""

import fnmatch
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foreworld import cli_options as options
from foreworld.cli_options import option
from foreworld.cli_output import TABLES, check_output, emit, outline, say, show_text, write_table
from foreworld.errors import QuestionError

if TYPE_CHECKING:
    from foreworld.data.schema import Schema
    from foreworld.domains.base import Domain

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DEFAULT_STEPS = 500

_Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="One of `foreworld domains`.")]
_Out = Annotated[Path, option("FILE", "Table to write, .parquet or .csv.")]
_Instances = Annotated[
    list[str] | None, option("NAMES", "Patients, assets or markets, with * for anything; all by default.")
]
_Episodes = Annotated[int, option("N", "Episodes of each instance.", min=1)]
_Steps = Annotated[int | None, option("N", f"Steps of an episode; {_DEFAULT_STEPS} by default.", min=1)]
_Days = Annotated[float | None, option("DAYS", "Length of an episode, instead of --steps.", min=0)]
_Policy = Annotated[str | None, option("NAME", "Who acts in the data; the domain's first policy by default.")]
_Seed = Annotated[int, option("N", "The same seed gives the same table, bit for bit.", min=0)]
_Folder = Annotated[Path, option("FOLDER", "Where to write the report.", "--out")]
_Engine = Annotated[str, option("NAME", "Where to simulate: serial, process or ray; the table is the same.")]
_Workers = Annotated[int | None, option("N", "Workers of the engine; as many as there are cores by default.", min=1)]


def domains(json: options.Json = False) -> None:
    """List where trajectories can come from: simulators and recordings, and whether they are installed.

    \b
    Example:
      foreworld domains
    """
    from foreworld.domains import registry

    found = []
    for name in registry.names():
        try:
            found.append(registry.facts(name))
        except QuestionError as error:
            if name in registry.BUILT_IN:
                raise
            # A broken package of somebody else must not hide the domains that do work.
            say(f"left out: {error}")
    if json:
        emit(found)
    else:
        show_text("\n\n".join(map(_entry, found)))


def collect(
    domain: _Domain,
    out: _Out,
    instances: _Instances = None,
    episodes: _Episodes = 1,
    steps: _Steps = None,
    days: _Days = None,
    policy: _Policy = None,
    engine: _Engine = "serial",
    workers: _Workers = None,
    seed: _Seed = 0,
    json: options.Json = False,
) -> None:
    """Record trajectories from a simulator as a table.

    \b
    Examples:
      foreworld collect glucose --days 3 --out data.parquet
      foreworld collect glucose --instances "adult*" --episodes 2 --out adults.csv
      foreworld collect battery --engine process --workers 4 --out cells.parquet
    """
    check_output(out, "--out", TABLES)
    if steps is not None and days is not None:
        raise QuestionError("--steps and --days both say how long an episode is: give one of them")

    from foreworld.domains import registry
    from foreworld.domains.engine import open_engine

    with open_engine(partial(registry.simulator, domain), engine, workers) as at_work:
        source = at_work.domain
        data = at_work.collect(
            policy=_policy(source, policy),
            instances=_matching(source.instances, options.columns("--instances", instances)),
            episodes_per_instance=episodes,
            steps=_steps(source, steps, days),
            seed=seed,
        )
    write_table(data.to_frame(), out)
    facts = {"written": str(out), "fingerprint": data.fingerprint, **data.describe()}
    if json:
        emit(facts)
    else:
        show_text(outline(facts))
    say(f"wrote {out}; fit a model to it:\n{_fit_command(data.schema, out)}")


def demo(
    domain: _Domain = "glucose",
    out: _Folder = Path("demo"),
    engine: _Engine = "serial",
    workers: _Workers = None,
    seed: _Seed = 0,
    json: options.Json = False,
) -> None:
    """Go the whole way once: simulate, fit, evaluate on unseen cases, ask what-ifs, and write a report with pictures.

    \b
    Examples:
      foreworld demo glucose --out demo
      foreworld demo battery --engine process --out demo/battery
    """
    from foreworld.demo import run

    result = run(out, domain=domain, seed=seed, engine=engine, workers=workers, progress=None)
    if json:
        emit(result)
    else:
        show_text(outline(result))


def _entry(facts: dict[str, Any]) -> str:
    """A domain as a few lines for the eye."""
    lines = [f"{facts['name']} ({facts['field']}): {facts['summary']}", f"  source   {facts['source']}"]
    if not facts["distribution"]:
        package = "none needed"
    elif facts["installed"]:
        size = "" if facts["bytes"] is None else f", {facts['bytes'] / 1e6:.1f} MB"
        package = f"{facts['distribution']} {facts['version']}{size}"
    else:
        package = f"{facts['distribution']} is not installed"
        package += f": pip install 'foreworld[{facts['extra']}]'" if facts["extra"] else ""
    return "\n".join([*lines, f"  licence  {facts['licence']}", f"  package  {package}"])


def _policy(domain: "Domain", policy: str | None) -> str:
    if policy is not None and policy not in domain.policies:
        raise QuestionError(f"--policy: there is no '{policy}' here; there are {', '.join(domain.policies)}")
    return policy or domain.policies[0]


def _matching(instances: tuple[str, ...], patterns: list[str]) -> list[str]:
    for pattern in patterns:
        if not fnmatch.filter(instances, pattern):
            shown = ", ".join(instances[:40]) + (" and more" if len(instances) > 40 else "")
            raise QuestionError(f"--instances: there is no '{pattern}' here; there are {shown}")
    return [name for name in instances if not patterns or any(fnmatch.fnmatchcase(name, one) for one in patterns)]


def _steps(domain: "Domain", steps: int | None, days: float | None) -> int:
    if days is None:
        return _DEFAULT_STEPS if steps is None else steps
    unit = domain.schema.time_unit
    if unit not in _SECONDS:
        raise QuestionError(f"--days: time is counted in '{unit}' here: use --steps")
    steps = round(days * _SECONDS["d"] / (domain.step_time * _SECONDS[unit]))
    if steps < 1:
        raise QuestionError(f"--days: {days:g} days are less than one step of {domain.step_time:g} {unit}")
    return steps


def _fit_command(schema: "Schema", path: Path) -> str:
    """The command that fits a model to a collected table, with all that the domain knows about its columns."""
    parts = [["foreworld", "fit", str(path), "--id", schema.id, "--time", schema.time]]
    if schema.time_unit and schema.time_kind == "number":
        parts[0] += ["--time-unit", schema.time_unit]
    roles = {"--observe": schema.observations, "--act": schema.actions, "--static": schema.static}
    roles |= {"--known": schema.known_future}
    if schema.targets != schema.observations:
        roles["--target"] = schema.targets
    parts += [[flag, options.joined([each.name for each in group])] for flag, group in roles.items() if group]
    for variable in schema.variables:
        if variable.unit:
            parts.append(["--unit", f"{variable.name}={variable.unit}"])
        if (variable.low, variable.high) != (None, None):
            low, high = ("" if bound is None else f"{bound:g}" for bound in (variable.low, variable.high))
            parts.append(["--bounds", f"{variable.name}={low}:{high}"])
    parts.append(["--out", f"models/{path.stem}"])
    return " \\\n  ".join(shlex.join(part) for part in parts)
