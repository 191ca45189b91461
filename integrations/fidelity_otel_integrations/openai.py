"""openai ≥ 1.60: chat, responses, completions, embeddings; sync, async, streams, raw; its retries.

And what speaks its protocol behind another address: Azure, Groq, DeepSeek, ….
"""

from __future__ import annotations

from typing import Final

from fidelity_otel_integrations.chat_format import Chat
from fidelity_otel_integrations.completions_format import Completions
from fidelity_otel_integrations.embeddings_format import Embeddings
from fidelity_otel_integrations.responses_format import Responses
from fidelity_otel_integrations.stainless import Stainless

__all__ = ["LIBRARY", "instrument", "provider_at", "uninstrument"]

LIBRARY: Final = "openai"
_PROVIDERS: Final = {
    "openai.azure.com": "azure.ai.openai",
    "azure.com": "azure.ai.inference",
    "groq.com": "groq",
    "deepseek.com": "deepseek",
    "perplexity.ai": "perplexity",
    "x.ai": "x_ai",
    "mistral.ai": "mistral_ai",
    "moonshot.ai": "moonshot_ai",
}


def provider_at(host: str) -> str:
    """The GenAI name of the provider at a host; many speak this client's protocol."""
    for suffix, provider in _PROVIDERS.items():
        if host == suffix or host.endswith("." + suffix):
            return provider
    return "openai"


_CLIENT: Final = Stainless(
    LIBRARY,
    {
        "/chat/completions": Chat,
        "/completions": Completions,
        "/responses": Responses,
        "/embeddings": Embeddings,
    },
    provider_at,
    (1, 60),
)
instrument = _CLIENT.integration.instrument
uninstrument = _CLIENT.integration.uninstrument
