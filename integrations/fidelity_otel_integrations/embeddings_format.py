"""OpenAI's embeddings format: the texts that went in, never the vectors that came out."""

from __future__ import annotations

from typing import Any, Final

from fidelity_otel import semconv as sc
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.watch import Reader
from fidelity_otel_integrations.chat_format import Chunks, field

__all__ = ["Embeddings"]


class Embeddings:
    """How `/embeddings` is read."""

    operation: Final = "embeddings"

    @staticmethod
    def settings(body: dict[str, Any]) -> dict[str, Any]:
        """Request attributes that are no content."""
        encoding = body.get("encoding_format")
        return {
            sc.GEN_AI_REQUEST_ENCODING_FORMATS: [encoding] if isinstance(encoding, str) else None,
            "gen_ai.embeddings.dimension.count": body.get("dimensions"),
        }

    @staticmethod
    def write_input(call: ModelCall, body: dict[str, Any]) -> None:
        """The texts."""
        call.recording.put_json(sc.FIDELITY_INPUT, body.get("input"))

    @staticmethod
    def write_output(call: ModelCall, response: Any) -> None:
        """Model and tokens."""
        usage = field(response, "usage")
        tokens = None if usage is None else {"input_tokens": field(usage, "prompt_tokens")}
        call.output(model=field(response, "model"), usage=tokens)

    @staticmethod
    def chunks() -> Reader:
        """There is no stream of embeddings."""
        return Chunks()
