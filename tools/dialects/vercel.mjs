// The Vercel AI SDK, current generation: telemetry through @ai-sdk/otel.
import * as otel from "@ai-sdk/otel";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import * as ai from "ai";
import { z } from "zod";

const exporter = new OTLPTraceExporter({ url: process.env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT });
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.register();
const models = createOpenAICompatible({ name: "loopback", baseURL: process.env.OPENAI_BASE_URL });
const telemetry = new otel.OpenTelemetry();
const get_order = ai.tool({
  description: "Looks an order up",
  inputSchema: z.object({ order_id: z.string() }),
  execute: async ({ order_id }) => {
    if (order_id.startsWith("B")) throw new Error("the order system is down");
    return { status: "shipped", day: "Monday" };
  },
});
for (const question of ["Where is my order A-17?", "Where is my order B-2?"]) {
  await ai.generateText({
    model: models("small"),
    instructions: "You are the support assistant of a shop.",
    prompt: question,
    tools: { get_order },
    stopWhen: ai.isStepCount ? ai.isStepCount(4) : ai.stepCountIs(4),
    telemetry: { isEnabled: true, functionId: "answer", integrations: [telemetry] },
  });
}
await provider.forceFlush();
await provider.shutdown();
