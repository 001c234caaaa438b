"""The command line. Nothing heavy is imported before a command runs, so that `--help` is there at once."""

import functools
from collections.abc import Callable
from typing import Annotated

import typer

from foreworld import (
    __version__,
    cli_bench,
    cli_calibrate,
    cli_domains,
    cli_effect,
    cli_models,
    cli_plan,
    cli_recall,
    cli_surprise,
)
from foreworld.cli_output import printable, say
from foreworld.errors import ForeworldError

USAGE, STOPPED = 2, 130


def main() -> None:
    """The `foreworld` command."""
    app()


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Errors that are meant for the user become one line; all others keep their traceback."""

    @functools.wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            command(*args, **options)
        except ForeworldError as error:
            say(f"error: {printable(str(error))}")
            raise typer.Exit(USAGE) from None
        except KeyboardInterrupt:
            say("stopped; run the same command again to resume" if command is cli_models.fit else "stopped")
            raise typer.Exit(STOPPED) from None

    return run


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"foreworld {__version__}")
        raise typer.Exit
    return wanted


app = typer.Typer(
    name="foreworld",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _foreworld(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """What happens if? World models of whatever was recorded: patients, markets, reactors, climates, robots.

    Fit a model to a table of what was seen and what was done, then ask what
    follows if something else is done. Answers come in your own units, with
    intervals that hold what they promise.

    \b
    Start here:
      foreworld demo            the whole way, on virtual patients
      foreworld fit --help      your own table
    """


for _command in (
    cli_models.fit,
    cli_models.evaluate,
    cli_calibrate.calibrate,
    cli_models.imagine,
    cli_plan.plan,
    cli_recall.recall,
    cli_surprise.surprise,
    cli_effect.effect,
    cli_effect.rank,
    cli_models.show,
    cli_domains.domains,
    cli_domains.collect,
    cli_domains.demo,
    cli_bench.bench,
):
    app.command()(_guarded(_command))
