"""LangSmith's OpenTelemetry export: `traceable` and the wrapped OpenAI client."""

import os

os.environ |= {
    "LANGSMITH_TRACING": "true",
    "LANGSMITH_OTEL_ENABLED": "true",
    "LANGSMITH_OTEL_ONLY": "true",
    "LANGSMITH_API_KEY": "none",
    "LANGSMITH_ENDPOINT": os.environ["LOOPBACK"],
}

from conversation import FAILING, GOOD, SESSION, USER, converse, get_order, search_policy
from langsmith import Client, traceable
from langsmith.wrappers import wrap_openai
from openai import OpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
langsmith = Client()


def documents(query):
    return [
        {"page_content": d["text"], "type": "Document", "metadata": {"id": d["id"]}}
        for d in search_policy(query)
    ]


@traceable(name="answer", run_type="chain", client=langsmith)
def answer(question):
    return converse(
        wrap_openai(OpenAI(), tracing_extra={"client": langsmith}),
        question,
        tool=traceable(get_order, run_type="tool", client=langsmith),
        retrieve=traceable(documents, run_type="retriever", name="search_policy", client=langsmith),
    )


for question in (GOOD, FAILING):
    answer(question, langsmith_extra={"metadata": {"session_id": SESSION, "user_id": USER}})
langsmith.flush()
provider.shutdown()
