"""OpenInference's LangChain instrumentation: a chain of a retriever, a model and a tool."""

from conversation import DOCUMENTS, FAILING, GOOD, SESSION, SYSTEM, USER
from conversation import get_order as look_up
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openinference.instrumentation import using_attributes
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
LangChainInstrumentor().instrument(tracer_provider=provider)


@tool
def get_order(order_id: str) -> dict:
    """Looks an order up."""
    return look_up(order_id)


class Policies(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(d["text"], id=d["id"], metadata={"score": d["score"]}) for d in DOCUMENTS]


model = ChatOpenAI(model="small").bind_tools([get_order])


def answer(question):
    Policies().invoke(question)
    messages = [SystemMessage(SYSTEM), HumanMessage(question)]
    first = model.invoke(messages)
    messages.append(first)
    for call in first.tool_calls:
        try:
            messages.append(get_order.invoke(call))
        except RuntimeError as error:
            messages.append(ToolMessage(f"Error: {error}", tool_call_id=call["id"]))
    return model.invoke(messages).content


for question in (GOOD, FAILING):
    with using_attributes(session_id=SESSION, user_id=USER):
        RunnableLambda(answer).with_config(run_name="answer").invoke(question)
provider.shutdown()
