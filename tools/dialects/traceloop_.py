"""OpenLLMetry: the OpenAI instrumentation and the SDK's decorators."""

import os

from conversation import FAILING, GOOD, SESSION, USER, converse, get_order, search_policy
from openai import OpenAI
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import task, tool, workflow

os.environ["TRACELOOP_TELEMETRY"] = "false"
Traceloop.init(app_name="shop", disable_batch=True, exporter=OTLPSpanExporter())


@workflow(name="answer")
def answer(question):
    Traceloop.set_association_properties({"session_id": SESSION, "user_id": USER})
    return converse(
        OpenAI(),
        question,
        tool=tool(name="get_order")(get_order),
        retrieve=task(name="search_policy")(search_policy),
    )


for question in (GOOD, FAILING):
    answer(question)
