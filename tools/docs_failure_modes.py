"""The page docs/failure-modes.md, from the table of modes."""

from __future__ import annotations

__all__ = ["page"]

_HEAD = """# Failure modes
{made}

What is found in a trace, by rules alone, on what evidence, what counts as recovery, and what the
rule is known to miss. Each finding has a **state**:

- `recovered`: the system got over it by itself; `recovered_by` says how: `retry`, `fallback`
  (another model), `other_tool`, `requery`, `human`.
- `escalated`: it was handed to a person, or the answer admits it.
- `unrecovered`: neither. With a reported success this is how systems fail silently.

`noticed` says whether the system showed that it knew, `recovery_ns` how long the recovery took and
`recovery_tokens` what the model calls in between used.

Rules miss most wrong answers: [detection.md](detection.md) has the figures on published data. Only
review and outcomes find the silent ones.

Ids: [MAST](https://arxiv.org/abs/2503.13657) (Cemri et al. 2025), the categories of
[AgentRx](https://arxiv.org/abs/2602.02475) (Barke et al. 2026), and the
[OWASP top ten for agentic applications](https://genai.owasp.org) (2026)."""


def page(made: str) -> str:
    """The page's text.

    Args:
        made: the comment that says that it is made.
    """
    from fidelity_otel.processor.detect import MODES

    lines = [_HEAD.format(made=made), "", "| mode | states | MAST | AgentRx | OWASP |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for mode in MODES:
        cells = (
            f"[`{mode.name}`](#{mode.name})",
            ", ".join(mode.states),
            ", ".join(mode.mast),
            ", ".join(mode.agentrx),
            ", ".join(mode.owasp),
        )
        lines.append(f"| {' | '.join(cells)} |")
    for mode in MODES:
        lines += ["", f"## {mode.name}", "", f"**{mode.title}.** {mode.what}", ""]
        lines += [
            f"- *Why it matters*: {mode.why}",
            f"- *Evidence*: {mode.evidence}",
            f"- *Recovery*: {mode.recovery}",
            f"- *Known misses*: {mode.known_misses}",
        ]
    return "\n".join(lines) + "\n"
