"""Retrieved documents, from whatever a retriever returns, in the terms of `gen_ai.retrieval`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fidelity_otel import semconv as sc

__all__ = ["read_documents"]

_ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "id": ("id", "doc_id", "document_id", "node_id", "chunk_id", "_id", "key"),
    "score": ("score", "relevance", "relevance_score", "similarity", "_score"),
    sc.DOCUMENT_CONTENT: (
        "content",
        "text",
        "page_content",
        "body",
        "document",
        "passage",
        "chunk",
    ),
    sc.DOCUMENT_TITLE: ("title", "name"),
    sc.DOCUMENT_SOURCE: ("source", "url", "uri", "path", "file_path", "file"),
    sc.DOCUMENT_INDEXED_AT: ("indexed_at", "index_time", "ingested_at", "created_at"),
    sc.DOCUMENT_UPDATED_AT: ("updated_at", "last_modified", "modified_at", "date"),
    sc.DOCUMENT_SUPERSEDED_BY: ("superseded_by", "replaced_by"),
}
_KNOWN: Final = frozenset(alias for aliases in _ALIASES.values() for alias in aliases)
_OBJECT_FIELDS: Final = ("metadata", "node", *sorted(_KNOWN))
_PAIR: Final = 2


def read_documents(value: Any) -> list[dict[str, Any]] | None:
    """The documents in a retriever's answer, or None where it does not look like documents.

    Understood: texts, mappings, objects with such fields (LangChain, LlamaIndex), pairs of one of
    these and a score, and a mapping that holds a list of them under "documents", "results", "hits"
    or "matches". Never consumes an iterator.
    """
    if isinstance(value, Mapping):
        for name in ("documents", "results", "hits", "matches"):
            if isinstance(value.get(name), list | tuple):
                return read_documents(value[name])
        return None
    if not isinstance(value, list | tuple):
        return None
    found = [_document(item) for item in value]
    return None if any(document is None for document in found) else [d for d in found if d]


def _document(item: Any) -> dict[str, Any] | None:
    if isinstance(item, str):
        return {sc.DOCUMENT_CONTENT: item}
    if isinstance(item, tuple) and len(item) == _PAIR:
        return _scored(*item)
    fields = item if isinstance(item, Mapping) else _public(item)
    if not fields:
        return None
    inner = fields.get("node")
    if inner is not None and not isinstance(inner, str):  # LlamaIndex: a node and its score
        return _scored(inner, fields.get("score"))
    metadata = fields.get("metadata")
    if isinstance(metadata, Mapping):
        fields = {
            **metadata,
            **{k: v for k, v in fields.items() if k != "metadata" and v is not None},
        }
    document = {
        name: next(fields[a] for a in aliases if fields.get(a) is not None)
        for name, aliases in _ALIASES.items()
        if any(fields.get(a) is not None for a in aliases)
    }
    rest = {str(k): v for k, v in fields.items() if k not in _KNOWN}
    return {**document, "metadata": rest} if rest else document


def _scored(first: Any, second: Any) -> dict[str, Any] | None:
    if isinstance(first, int | float) and not isinstance(second, int | float):
        first, second = second, first
    document = _document(first)
    if document is not None and isinstance(second, int | float):
        document["score"] = float(second)
    return document


def _public(item: Any) -> dict[str, Any]:
    """The document fields that an object stores; attributes are read only where they are stored."""
    held = getattr(item, "__dict__", None)
    if not isinstance(held, dict):
        return {}
    fields = {name: held[name] for name in _OBJECT_FIELDS if held.get(name) is not None}
    return fields if fields.keys() - {"metadata", "name", "date", "key"} else {}
