"""PydanticAI's own instrumentation: an agent with a tool."""

from conversation import FAILING, GOOD, SYSTEM
from conversation import get_order as look_up
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from pydantic_ai import Agent

try:
    from pydantic_ai.models.openai import OpenAIChatModel
except ImportError:
    from pydantic_ai.models.openai import OpenAIModel as OpenAIChatModel

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
agent = Agent(OpenAIChatModel("small"), system_prompt=SYSTEM, name="answer")
Agent.instrument_all()


@agent.tool_plain
def get_order(order_id: str) -> dict:
    """Looks an order up."""
    return look_up(order_id)


for question in (GOOD, FAILING):
    try:
        agent.run_sync(question)
    except RuntimeError as error:  # PydanticAI lets a tool's error end the run
        print(error)
provider.shutdown()
