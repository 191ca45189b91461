"""OpenInference: the OpenAI instrumentation, and its own decorators for the rest."""

from conversation import FAILING, GOOD, SESSION, USER, converse, get_order, search_policy
from openai import OpenAI
from openinference.instrumentation import TracerProvider, using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument(tracer_provider=provider)
tracer = provider.get_tracer("app")


def retrieve(query):
    with tracer.start_as_current_span("search_policy", openinference_span_kind="retriever") as span:
        span.set_input(query)
        found = search_policy(query)
        for number, document in enumerate(found):
            base = f"retrieval.documents.{number}.document"
            span.set_attribute(f"{base}.id", document["id"])
            span.set_attribute(f"{base}.content", document["text"])
            span.set_attribute(f"{base}.score", document["score"])
            span.set_attribute(f"{base}.metadata", '{"shelf": "policies"}')
        return found


@tracer.agent
def answer(question):
    return converse(OpenAI(), question, tool=tracer.tool(get_order), retrieve=retrieve)


for question in (GOOD, FAILING):
    with using_attributes(session_id=SESSION, user_id=USER):
        answer(question)
provider.shutdown()
