// Sends one trace with everything unusual through each stock Java exporter, and prints what the SDK handed
// to it: {"http-none": [span, …], …}, with the type in front of every value.

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.IdGenerator;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

public final class Send {
  static final Attributes STRANGE =
      Attributes.builder()
          .put("text.empty", "")
          .put("text.unicode", "na\u00efve \ud83d\ude00 \u05e9\u05dc\u05d5\u05dd \u202e \u6f22\u5b57")
          .put("text.controls", "nul \0 tab \t newline \n del \u007f")
          .put("text.long", "x".repeat(100_000))
          .put("bool.true", true)
          .put("bool.false", false)
          .put("int.zero", 0L)
          .put("int.minus", -1L)
          .put("int.most", Long.MAX_VALUE)
          .put("int.least", Long.MIN_VALUE)
          .put("int.beyond_double", (1L << 53) + 1)
          .put("float.zero", 0.0)
          .put("float.minus_zero", -0.0)
          .put("float.tenth", 0.1)
          .put("float.whole", 7.0)
          .put("float.tiny", Double.MIN_VALUE)
          .put("float.huge", Double.MAX_VALUE)
          .put("float.nan", Double.NaN)
          .put("float.infinite", Double.POSITIVE_INFINITY)
          .put(AttributeKey.stringArrayKey("list.empty"), List.of())
          .put("list.text", "", "b", "\ud83d\ude00")
          .put("list.int", 0L, Long.MAX_VALUE, Long.MIN_VALUE)
          .put("list.float", 0.5, 1.0)
          .put("list.bool", true, false)
          .put("key with spaces \ud83d\ude00", "v")
          .build();

  /** Hands spans to the exporter under test, and keeps what it handed over. */
  record Both(SpanExporter exporter, List<Object> sent) implements SpanExporter {
    @Override
    public CompletableResultCode export(Collection<SpanData> spans) {
      for (SpanData span : spans) {
        sent.add(said(span));
      }
      CompletableResultCode result = exporter.export(spans);
      if (!result.join(30, TimeUnit.SECONDS).isSuccess()) {
        System.err.println("export failed: " + result.getFailureThrowable());
        System.exit(1);
      }
      return result;
    }

    @Override
    public CompletableResultCode flush() {
      return exporter.flush();
    }

    @Override
    public CompletableResultCode shutdown() {
      return exporter.shutdown();
    }
  }

  static Map<String, Object> said(SpanData span) {
    Map<String, Object> out = new LinkedHashMap<>();
    out.put("trace_id", span.getTraceId());
    out.put("span_id", span.getSpanId());
    out.put("parent_id", span.getParentSpanContext().isValid() ? span.getParentSpanId() : null);
    out.put("name", span.getName());
    out.put("kind", span.getKind().ordinal() + 1);
    out.put("start_ns", Long.toString(span.getStartEpochNanos()));
    out.put("end_ns", Long.toString(span.getEndEpochNanos()));
    StatusCode code = span.getStatus().getStatusCode();
    out.put("status_code", code == StatusCode.OK ? 1 : code == StatusCode.ERROR ? 2 : 0);
    out.put("status_message", span.getStatus().getDescription());
    out.put("attributes", tags(span.getAttributes()));
    List<Object> events = new ArrayList<>();
    span.getEvents()
        .forEach(
            event ->
                events.add(
                    Map.of(
                        "name", event.getName(),
                        "time_ns", Long.toString(event.getEpochNanos()),
                        "attributes", tags(event.getAttributes()))));
    out.put("events", events);
    List<Object> links = new ArrayList<>();
    span.getLinks()
        .forEach(
            link ->
                links.add(
                    Map.of(
                        "trace_id", link.getSpanContext().getTraceId(),
                        "span_id", link.getSpanContext().getSpanId(),
                        "attributes", tags(link.getAttributes()))));
    out.put("links", links);
    out.put("resource", tags(span.getResource().getAttributes()));
    out.put("scope_name", span.getInstrumentationScopeInfo().getName());
    String version = span.getInstrumentationScopeInfo().getVersion();
    out.put("scope_version", version == null ? "" : version);
    List<String> state = new ArrayList<>();
    span.getSpanContext().getTraceState().forEach((key, value) -> state.add(key + "=" + value));
    out.put("trace_state", String.join(",", state));
    return out;
  }

  static Map<String, Object> tags(Attributes attributes) {
    Map<String, Object> out = new LinkedHashMap<>();
    attributes.forEach((key, value) -> out.put(key.getKey(), tagged(value)));
    return out;
  }

  static Map<String, Object> tagged(Object value) {
    if (value instanceof String) {
      return Map.of("s", value);
    }
    if (value instanceof Boolean) {
      return Map.of("b", value);
    }
    if (value instanceof Long) {
      return Map.of("i", value.toString());
    }
    if (value instanceof Double) {
      return Map.of("d", value.toString());
    }
    if (value instanceof List<?> list) {
      return Map.of("a", list.stream().map(Send::tagged).toList());
    }
    throw new IllegalArgumentException("no tag for " + value.getClass());
  }

  static void write(Tracer tracer) {
    Span root = tracer.spanBuilder("root").setSpanKind(SpanKind.SERVER).setNoParent().startSpan();
    Context inside = Context.root().with(root);
    for (SpanKind kind : SpanKind.values()) {
      tracer.spanBuilder("kind " + kind).setParent(inside).setSpanKind(kind).startSpan().end();
    }
    tracer
        .spanBuilder("strange \ud83d\ude00")
        .setParent(inside)
        .setAllAttributes(STRANGE)
        .startSpan()
        .end();
    tracer.spanBuilder("").setParent(inside).startSpan().end();
    SpanContext other =
        SpanContext.createFromRemoteParent(
            IdGenerator.random().generateTraceId(),
            IdGenerator.random().generateSpanId(),
            TraceFlags.getSampled(),
            TraceState.builder().put("x", "y").build());
    tracer
        .spanBuilder("links")
        .setParent(inside)
        .addLink(other, Attributes.builder().put("link.empty", "").put("n", 1L << 62).build())
        .addLink(other)
        .startSpan()
        .end();
    Span events = tracer.spanBuilder("events").setParent(inside).startSpan();
    events.addEvent("bare", 1, TimeUnit.NANOSECONDS);
    events.addEvent("full", STRANGE);
    events.recordException(new IllegalStateException("wrong \ud83d\ude00"));
    events.end();
    Span failed = tracer.spanBuilder("failed").setParent(inside).startSpan();
    failed.setStatus(StatusCode.ERROR, "it broke: \u00fcn\u00efcode");
    failed.end();
    Span fine =
        tracer
            .spanBuilder("fine")
            .setParent(inside)
            .setStartTimestamp(1_700_000_000_000_000_001L, TimeUnit.NANOSECONDS)
            .startSpan();
    fine.setStatus(StatusCode.OK);
    fine.end(1_700_000_000_000_000_001L, TimeUnit.NANOSECONDS);
    root.end();
    Context remote = Context.root().with(Span.wrap(other));
    Span lone = tracer.spanBuilder("remote parent").setParent(remote).startSpan();
    lone.setAttribute("fidelity.complete", true);
    lone.end();
  }

  static void json(StringBuilder out, Object value) {
    if (value == null || value instanceof Number || value instanceof Boolean) {
      out.append(value);
    } else if (value instanceof Map<?, ?> map) {
      String separator = "{";
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        out.append(separator);
        json(out, entry.getKey());
        out.append(':');
        json(out, entry.getValue());
        separator = ",";
      }
      out.append(map.isEmpty() ? "{}" : "}");
    } else if (value instanceof List<?> list) {
      String separator = "[";
      for (Object item : list) {
        out.append(separator);
        json(out, item);
        separator = ",";
      }
      out.append(list.isEmpty() ? "[]" : "]");
    } else {
      out.append('"');
      for (char c : value.toString().toCharArray()) {
        if (c < ' ' || c > '~' || c == '"' || c == '\\') {
          out.append(String.format("\\u%04x", (int) c));
        } else {
          out.append(c);
        }
      }
      out.append('"');
    }
  }

  public static void main(String[] args) {
    String http = "http://" + args[0] + "/v1/traces";
    String grpc = "http://" + args[1];
    Map<String, Object> out = new LinkedHashMap<>();
    for (String compression : List.of("none", "gzip")) {
      Map<String, SpanExporter> exporters =
          Map.of(
              "http-" + compression,
              OtlpHttpSpanExporter.builder().setEndpoint(http).setCompression(compression).build(),
              "grpc-" + compression,
              OtlpGrpcSpanExporter.builder().setEndpoint(grpc).setCompression(compression).build());
      exporters.forEach(
          (name, exporter) -> {
            Both both = new Both(exporter, new ArrayList<>());
            Resource resource =
                Resource.create(
                    Attributes.builder()
                        .put("service.name", "interop-java")
                        .put("list", "a", "b")
                        .put("int", 1L << 60)
                        .build());
            SdkTracerProvider provider =
                SdkTracerProvider.builder()
                    .setResource(resource)
                    .addSpanProcessor(BatchSpanProcessor.builder(both).build())
                    .build();
            write(provider.tracerBuilder("interop").setInstrumentationVersion("1.2.3").build());
            provider.shutdown().join(30, TimeUnit.SECONDS);
            out.put(name, both.sent());
          });
    }
    StringBuilder text = new StringBuilder();
    json(text, out);
    new PrintStream(System.out, true, StandardCharsets.UTF_8).println(text);
  }
}
