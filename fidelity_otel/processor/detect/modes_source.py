"""Failure modes of what the answer is drawn from."""

from __future__ import annotations

from typing import Final

from fidelity_otel.processor.detect.mode import Mode

__all__ = ["MODES"]

MODES: Final[tuple[Mode, ...]] = (
    Mode(
        name="retrieval_empty",
        title="Empty retrieval",
        what="A retrieval, or a tool that searches, found nothing.",
        why="A model without sources answers from memory, fluently and often wrongly.",
        evidence="A retrieval span with an empty list of documents; a searching tool with an empty "
        "result.",
        recovery="A later query that finds something (requery), another tool, a hand-over.",
        known_misses="Retrievals whose documents are not recorded; documents that are all beside "
        "the point.",
        mast=("FM-2.4",),
        agentrx=("Intent Not Supported",),
        weights=(0.2, 1.2, 0.5),
    ),
    Mode(
        name="retrieval_stale",
        title="Stale retrieval",
        what="A retrieved document is superseded, or older than `detect.stale_days`.",
        why="The answer is faithful to a rule that no longer holds: right form, wrong content.",
        evidence="`superseded_by`, `updated_at`, `indexed_at` of the documents, at the time of the "
        "request; fresh documents that the answer is nearer to clear the finding.",
        recovery="A later retrieval without stale documents (requery).",
        known_misses="Documents without dates; facts that changed without a new version.",
        agentrx=("Misinterpretation of Tool Output",),
        owasp=("ASI06",),
        weights=(0.2, 1.2, 0.6),
    ),
    Mode(
        name="terminology_gap",
        title="Terminology gap",
        what="Most of the words that the user asked with are in none of the retrieved documents.",
        why="Users and documents name things differently: the right page exists and is not found.",
        evidence="Content words of the request (four letters or more, by their first five letters) "
        "against the text of all documents of a retrieval; the words are named.",
        recovery="A later query whose documents know more of them (requery).",
        known_misses="Documents without recorded text; languages without spaces; a gap "
        "of one word.",
        mast=("FM-2.4",),
        agentrx=("Intent–Plan Misalignment",),
        weights=(0.1, 0.6, 0.4),
    ),
    Mode(
        name="ungrounded",
        title="Ungrounded specifics",
        what="Numbers, identifiers, addresses or quotations in the answer have no support in what "
        "was retrieved, returned by tools or said.",
        why="Made-up specifics are what users act on, and what sounds most trustworthy.",
        evidence="Each specific is looked up; sums, differences and small multiples of "
        "known numbers "
        "count as supported, whole numbers below 100 are left out.",
        recovery="None is looked for: the answer has been given.",
        known_misses="Claims in prose; wrong numbers that occur elsewhere in the sources; answers "
        "without any source, which are not judged at all.",
        mast=("FM-3.3",),
        agentrx=("Invention of New Information",),
        owasp=("ASI09",),
        states=("unrecovered",),
        weights=(0.0, 0.7, 0.0),
    ),
)
