"""The failure-mode document as one HTML file that needs nothing but itself."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from fidelity_otel.report import words
from fidelity_otel.report.failures_lines import Failures
from fidelity_otel.report.failures_text import candidate_facts, facts_of, summary_of

__all__ = ["render_failures_html"]


def render_failures_html(made: Failures, *, base_url: str = "", title: str = "") -> str:
    """The document as a page.

    Args:
        made: the values.
        base_url: of the review site, put before the exemplars' paths.
        title: the heading.
    """
    environment = Environment(
        loader=PackageLoader("fidelity_otel.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("failures.html.j2").render(
        title=title or "How it fails",
        summary=summary_of(made),
        lines=[(line, words.mode_title(line.mode), list(facts_of(line))) for line in made.lines],
        candidates=[
            (c, words.mode_title(c.mode), list(candidate_facts(c))) for c in made.candidates
        ],
        base=base_url.rstrip("/"),
        generated=words.when(made.generated_ns, clock=True),
        level=words.of_level(made.level),
    )
