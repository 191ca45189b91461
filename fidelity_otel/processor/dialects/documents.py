"""Retrieved documents, in every shape that retrievers and instrumentations write them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fidelity_otel import semconv
from fidelity_otel.model import Document
from fidelity_otel.processor import native
from fidelity_otel.processor.dialects.draft import Draft
from fidelity_otel.processor.dialects.values import number, text, unwrapped

__all__ = ["document", "documents", "opened_documents"]

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id", "document_id", "doc_id", "_id", "chunk_id", "node_id", "id_"),
    "content": (
        semconv.DOCUMENT_CONTENT,
        "page_content",
        "text",
        "pageContent",
        "body",
        "document",
    ),
    "title": (semconv.DOCUMENT_TITLE, "name", "headline"),
    "source": (semconv.DOCUMENT_SOURCE, "url", "uri", "file_name", "file_path", "path"),
    "indexed_at": (semconv.DOCUMENT_INDEXED_AT, "ingested_at", "crawled_at", "index_time"),
    "updated_at": (
        semconv.DOCUMENT_UPDATED_AT,
        "last_modified",
        "last_modified_date",
        "modified_at",
        "last_updated",
        "published_at",
        "date",
    ),
    "superseded_by": (semconv.DOCUMENT_SUPERSEDED_BY, "replaced_by"),
}
_TAKEN: Final = {name for names in _NAMES.values() for name in names} | {"score", "metadata"}
_SCORES: Final = ("score", "similarity", "relevance_score", "similarity_score", "distance")


def document(entry: Any) -> Document | None:
    """One document: a mapping, a text (its content), or a (document, score) pair."""
    if isinstance(entry, str):
        return Document(content=entry) if entry else None
    if isinstance(entry, list | tuple) and len(entry) == 2:  # noqa: PLR2004
        inner = document(entry[0])
        if inner is None:
            return None
        return msgspec.structs.replace(inner, score=number(entry[1]))
    if not isinstance(entry, dict):
        return None
    for wrapper in ("node", "kwargs", "document"):  # llama-index, LangChain, Vertex
        inner_entry = entry.get(wrapper)
        if isinstance(inner_entry, dict):
            entry = {**inner_entry, **{k: v for k, v in entry.items() if k in _SCORES}}
            break
    metadata = unwrapped(entry.get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    found: dict[str, Any] = {}
    for field, names in _NAMES.items():
        for place in (entry, metadata):
            value = next((v for n in names if (v := text(place.get(n))) is not None), None)
            if value is not None:
                found[field] = value
                break
    found["score"] = next((s for n in _SCORES if (s := number(entry.get(n))) is not None), None)
    rest = {k: v for k, v in entry.items() if k not in _TAKEN and k != "type"}
    found["metadata"] = {**rest, **metadata}
    if not any(found.get(field) for field in ("id", "content", "title", "source")):
        return None
    return Document(**found)


def documents(value: Any, draft: Draft) -> tuple[Document, ...] | None:
    """The documents of a retrieval; an empty list is a retrieval that found nothing.

    Returns:
        None where the value is not a list of documents.
    """
    value = unwrapped(value)
    if isinstance(value, dict):
        for name in ("documents", "results", "docs", "matches", "hits", "nodes", "value"):
            if isinstance(value.get(name), list):
                value = value[name]
                break
    if not isinstance(value, list | tuple):
        return None
    found = []
    for entry in value:
        one = document(entry)
        if one is None:
            draft.unread += 1
        else:
            found.append(one)
    return None if value and not found else tuple(found)


class _Plain(msgspec.Struct, forbid_unknown_fields=True):
    """A document in the conventions' names and ours, and no others."""

    id: str | None = None
    score: float | None = None
    content: str | None = None
    title: str | None = None
    source: str | None = None
    indexed_at: str | None = None
    updated_at: str | None = None
    superseded_by: str | None = None


_plain = msgspec.json.Decoder(list[_Plain]).decode


def opened_documents(value: Any, draft: Draft) -> tuple[Document, ...] | None:
    """`documents` of an attribute's value, which is mostly a JSON text in the usual names.

    Such texts are read in one step; what differs in anything goes the general way.
    """
    if type(value) is str:
        try:
            found: tuple[Document, ...] | None = None
            if native.read is not None:
                found = native.read.documents(value, Document)
            return tuple(map(_of_plain, _plain(value))) if found is None else found
        except (msgspec.DecodeError, RecursionError, ValueError):
            pass
    return documents(draft.json(value), draft)


def _of_plain(given: _Plain) -> Document:
    if not (given.id or given.content or given.title or given.source):
        raise ValueError("a document that says nothing: the general way counts it")
    return Document(
        given.id or None,
        number(given.score),
        given.content or None,
        given.title or None,
        given.source or None,
        given.indexed_at or None,
        given.updated_at or None,
        given.superseded_by or None,
    )
