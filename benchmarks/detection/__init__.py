"""Published data sets as OTLP, and the figures of detection on them."""
