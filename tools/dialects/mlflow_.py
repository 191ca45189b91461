"""MLflow tracing: autologging of OpenAI and its decorator, exported by OTLP."""

import mlflow
from conversation import FAILING, GOOD, SESSION, USER, converse, get_order, search_policy
from mlflow.entities import SpanType
from openai import OpenAI

mlflow.openai.autolog()


@mlflow.trace(name="answer", span_type=SpanType.AGENT)
def answer(question):
    mlflow.update_current_trace(
        metadata={"mlflow.trace.session": SESSION, "mlflow.trace.user": USER}
    )
    return converse(
        OpenAI(),
        question,
        tool=mlflow.trace(get_order, span_type=SpanType.TOOL),
        retrieve=mlflow.trace(search_policy, span_type=SpanType.RETRIEVER),
    )


for question in (GOOD, FAILING):
    answer(question)
mlflow.flush_trace_async_logging()
