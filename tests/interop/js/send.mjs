// Sends one trace with everything unusual through each stock JavaScript exporter, and prints what the SDK
// handed to it: {"proto-none": [span, …], …}, with the type in front of every value.
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, createTraceState, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as Grpc } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as Json } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as Proto } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const { http, grpc } = JSON.parse(process.argv[2]);

const STRANGE = {
  "text.empty": "",
  "text.unicode": "naïve 😀 שלום \u202e 漢字",
  "text.controls": "nul \u0000 tab \t newline \n del \u007f",
  "text.long": "x".repeat(100_000),
  "bool.true": true,
  "bool.false": false,
  "int.zero": 0,
  "int.minus": -1,
  "int.most_safe": Number.MAX_SAFE_INTEGER,
  "int.least_safe": Number.MIN_SAFE_INTEGER,
  "float.tenth": 0.1,
  "float.tiny": 5e-324,
  "float.minus": -2.5,
  "list.empty": [],
  "list.text": ["", "b", "😀"],
  "list.int": [0, 1, -1],
  "list.float": [0.5, 1.25],
  "list.bool": [true, false],
  "key with spaces 😀": "v",
};
// JSON has no word for these, so the JavaScript JSON exporter writes null.
const BEYOND_JSON = { "float.nan": NaN, "float.infinite": Infinity };

function tagged(value) {
  if (value === null || value === undefined) return { n: null };
  if (typeof value === "boolean") return { b: value };
  if (typeof value === "number") {
    return Number.isInteger(value) ? { i: String(value) } : { d: String(value).toLowerCase() };
  }
  if (typeof value === "string") return { s: value };
  if (value instanceof Uint8Array) return { y: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return { a: value.map(tagged) };
  return { m: tags(value) };
}

function tags(attributes) {
  return Object.fromEntries(Object.entries(attributes ?? {}).map(([k, v]) => [k, tagged(v)]));
}

const ns = ([seconds, rest]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(rest));

function said(span) {
  const context = span.spanContext();
  return {
    trace_id: context.traceId,
    span_id: context.spanId,
    parent_id: span.parentSpanContext?.spanId ?? null,
    name: span.name,
    kind: span.kind + 1,
    start_ns: ns(span.startTime),
    end_ns: ns(span.endTime),
    status_code: span.status.code,
    status_message: span.status.message ?? "",
    attributes: tags(span.attributes),
    events: span.events.map((e) => ({ name: e.name, time_ns: ns(e.time), attributes: tags(e.attributes) })),
    links: span.links.map((l) => ({
      trace_id: l.context.traceId,
      span_id: l.context.spanId,
      attributes: tags(l.attributes),
    })),
    resource: tags(span.resource.attributes),
    scope_name: span.instrumentationScope.name,
    scope_version: span.instrumentationScope.version ?? "",
    trace_state: context.traceState?.serialize() ?? "",
  };
}

class Both {
  sent = [];
  constructor(exporter) {
    this.exporter = exporter;
  }
  export(spans, done) {
    this.sent.push(...spans.map(said));
    this.exporter.export(spans, (result) => {
      if (result.code !== 0) {
        console.error(result.error);
        process.exitCode = 1;
      }
      done(result);
    });
  }
  shutdown() {
    return this.exporter.shutdown();
  }
  forceFlush() {
    return Promise.resolve();
  }
}

function write(tracer, strange) {
  const root = tracer.startSpan("root", { kind: SpanKind.SERVER }, ROOT_CONTEXT);
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  const child = (name, options = {}) => tracer.startSpan(name, options, inside);
  for (const kind of [0, 1, 2, 3, 4]) child(`kind ${SpanKind[kind]}`, { kind }).end();
  child("strange 😀", { attributes: strange }).end();
  child("").end();
  const context = {
    traceId: "abcdef".padEnd(32, "7"),
    spanId: "fedcba".padEnd(16, "1"),
    traceFlags: 1,
    traceState: createTraceState("x=y"),
  };
  child("links", { links: [{ context, attributes: { "link.empty": "", n: 1 } }, { context }] }).end();
  const events = child("events");
  events.addEvent("bare", [1, 1]);
  events.addEvent("full", strange);
  events.recordException(new TypeError("wrong 😀"));
  events.end();
  const failed = child("failed");
  failed.setStatus({ code: SpanStatusCode.ERROR, message: "it broke: ünïcode" });
  failed.end();
  const fine = child("fine", { startTime: [1_700_000_000, 1] });
  fine.setStatus({ code: SpanStatusCode.OK });
  fine.end([1_700_000_000, 1]);
  root.end();
}

const url = `http://${http}/v1/traces`;
const exporters = {
  proto: (compression) => new Proto({ url, compression }),
  json: (compression) => new Json({ url, compression }),
  grpc: (compression) => new Grpc({ url: `http://${grpc}`, compression }),
};
const out = {};
for (const [name, make] of Object.entries(exporters)) {
  for (const compression of ["none", "gzip"]) {
    const both = new Both(make(compression));
    const provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ "service.name": "interop-js", list: ["a", "b"], int: 42 }),
      spanProcessors: [new BatchSpanProcessor(both)],
    });
    write(provider.getTracer("interop", "1.2.3"), name === "json" ? STRANGE : { ...STRANGE, ...BEYOND_JSON });
    await provider.forceFlush();
    await provider.shutdown();
    out[`${name}-${compression}`] = both.sent;
  }
}
console.log(JSON.stringify(out));
