"""The official instrumentation of the GenAI conventions (attributes)."""

from conversation import FAILING, GOOD, converse
from openai import OpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()
for question in (GOOD, FAILING):
    with trace.get_tracer("app").start_as_current_span("answer"):
        converse(OpenAI(), question)
provider.shutdown()
