// The Vercel AI SDK, generation 4: experimental_telemetry.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { generateText, tool } from "ai";
import { z } from "zod";

const exporter = new OTLPTraceExporter({ url: process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT });
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.register();
const models = createOpenAICompatible({ name: "loopback", baseURL: process.env.OPENAI_BASE_URL });
const get_order = tool({
  description: "Looks an order up",
  parameters: z.object({ order_id: z.string() }),
  execute: async ({ order_id }) =>
    order_id.startsWith("B") ? "Error: the order system is down" : { status: "shipped", day: "Monday" },
});
for (const question of ["Where is my order A-17?", "Where is my order B-2?"]) {
  await generateText({
    model: models("small"),
    system: "You are the support assistant of a shop.",
    prompt: question,
    tools: { get_order },
    maxSteps: 4,
    experimental_telemetry: {
      isEnabled: true,
      functionId: "answer",
      metadata: { sessionId: "s-1", userId: "u-1" },
    },
  });
}
await provider.forceFlush();
await provider.shutdown();
