"""The `fidelity` command: finds the sub-command's file, lets it parse, then calls it.

Each sub-command lives in `commands/<name>.py` and is imported only when used, so that
`fidelity --help` answers at once. Exit codes: 0 done, 1 the thing checked does not hold, 2 wrong
use or bad input. Data goes to stdout, talk to stderr.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from fidelity_otel.errors import ConfigError, FidelityError, InputError

if TYPE_CHECKING:
    import click

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, str] = {
    "serve": "Receive OTLP, find failure modes, sample for review, serve page, API and metrics.",
    "ingest": "Put OTLP files into the store, as if they had been received.",
    "detect": "Failure modes of the traces in a file, one JSON line a trace; no store needed.",
    "contract": "Contracts per workflow: run their tests, check traces against them.",
    "estimate": "Fidelity with an interval from a CSV file of reviews; no store needed.",
    "review": "The review queue in the terminal.",
    "outcome": "Add late outcomes, one or a CSV file of many.",
    "report": "The lead's page: fidelity, silent failures, modes, recovery.",
    "trace": "One trace as stored: spans, findings, decision, outcomes, reviews.",
    "risk": "Fit the risk to the reviews, say how good it is, explain one trace.",
    "sample": "Why a trace was or wasn't chosen for review, in words.",
    "plan": "How many reviews it takes to see a margin, or a drop.",
    "dataset": "Export reviewed production traces as an evaluation set, with weights.",
    "doctor": "Send a test trace through the chain and say where it stops.",
    "journal": "What is in the journal, what waits, and whether every record is sound.",
    "config": "Print the effective settings, each with where it came from.",
}


_EXAMPLES = """\b
Examples:
  fidelity serve --data ./fidelity-data
  fidelity report --since 7d
  fidelity detect traces.jsonl | jq .findings
"""


def _group() -> click.Group:
    import click

    class Lazy(click.Group):
        """A group whose commands are imported when they are called."""

        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
            return list(COMMANDS)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
            if cmd_name not in COMMANDS:
                return None
            found = importlib.import_module(f"fidelity_otel.commands.{cmd_name}").command
            return found if isinstance(found, click.Command) else None

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
            with formatter.section("Commands"):
                formatter.write_dl(list(COMMANDS.items()))

    @click.group(
        cls=Lazy, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]}
    )
    @click.version_option(package_name="fidelity-otel")
    def fidelity() -> None:
        """Know whether an AI system in production does what its users need."""

    return fidelity


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        argv: the arguments after the program's name; those of the process by default.
    """
    try:
        import click
    except ImportError:
        sys.stderr.write(
            "error: the fidelity command needs the server parts, which this installation lacks. "
            "Mend: pip install 'fidelity-otel[server]'\n"
        )
        raise SystemExit(2) from None
    try:
        code = _group().main(args=argv, prog_name="fidelity", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        raise SystemExit(2) from None
    except click.Abort:
        sys.stderr.write("stopped\n")
        raise SystemExit(1) from None
    except (ConfigError, InputError) as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
    except FidelityError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None
    raise SystemExit(code if isinstance(code, int) else 0)
