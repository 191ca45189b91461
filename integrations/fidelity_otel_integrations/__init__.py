"""Integrations: one provider, one file. Found through `fidelity_otel.integrations`."""
