"""Logfire: its OpenAI instrumentation and spans."""

import logfire
from conversation import FAILING, GOOD, converse, get_order
from openai import OpenAI
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

logfire.configure(
    send_to_logfire=False,
    console=False,
    service_name="shop",
    inspect_arguments=False,
    additional_span_processors=[SimpleSpanProcessor(OTLPSpanExporter())],
)
client = OpenAI()
logfire.instrument_openai(client)


@logfire.instrument("answer", extract_args=True, record_return=True)
def answer(question):
    return converse(
        client, question, tool=logfire.instrument("get_order", record_return=True)(get_order)
    )


for question in (GOOD, FAILING):
    answer(question)
logfire.shutdown()
