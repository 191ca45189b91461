"""Every complaint about other SDKs that touches us, and the test that keeps it from being ours."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
KIT = "../fidelity_otel/conformance"

COMPLAINTS = {
    "langfuse#7749": "sdk/test_streams.py::test_the_consumers_spans_keep_their_parent_async",
    "langfuse#8216": "sdk/test_streams.py::test_a_stream_handed_on_after_the_request_ended_stays_in_its_trace",
    "openlit#1625": "sdk/test_streams.py::test_a_stream_read_to_its_end",
    "langfuse-python#1627": "sdk/test_streams.py::test_async_break_ends_the_span_before_the_next_flush",
    "openinference#1769": "sdk/test_streams.py::test_async_stream_closed_in_another_task",
    "openlit#1369": "sdk/test_streams.py::test_async_stream_closed_in_another_task",
    "pydantic-ai#6569": "sdk/test_streams.py::test_async_stream_finished_by_the_event_loop",
    "logfire#62": "integrations/test_openai.py::test_raw_response",
    "openllmetry#535": "integrations/test_openai.py::test_raw_response",
    "otel-python-genai#380": "integrations/test_openai.py::test_raw_streams",
    "openllmetry#3701": "integrations/test_anthropic.py::test_stream_helper",
    "openllmetry#3178": "integrations/test_anthropic.py::test_stream_helper",
    "openinference#3578": "integrations/test_openai.py::test_types_stay_the_clients",
    "openlit#391": "integrations/test_openai.py::test_types_stay_the_clients",
    "openllmetry#165": "integrations/test_openai.py::test_types_stay_the_clients",
    "openllmetry#627": f"{KIT}/streams.py::test_stream_without_usage_says_so",
    "openllmetry#2898": f"{KIT}/streams.py::test_stream_without_usage_says_so",
    "logfire#1280": f"{KIT}/streams.py::test_stream_without_usage_says_so",
    "openllmetry#3242": f"{KIT}/safety.py::test_a_missing_method_costs_only_itself",
    "openlit#1328": f"{KIT}/safety.py::test_a_missing_method_costs_only_itself",
    "otel-python-contrib#3926": "integrations/test_openai.py::test_unset_arguments_make_no_noise",
    "openinference#2101": "integrations/test_openai_more.py::test_a_framework_silences_its_provider",
    "strands#1267": "integrations/test_openai_more.py::test_another_instrumentations_span_is_enriched_not_doubled",
    "langfuse#15372": "sdk/test_redact.py::test_other_libraries_spans_are_masked_too",
    "weave#5876": "typing/test_typing.py::test_mypy",
    "langsmith-sdk#337": "typing/test_typing.py::test_basedpyright",
    "wrapt#102": "sdk/test_observe.py::test_pickling",
    "wrapt#47": "sdk/test_observe.py::test_pickling",
    "sentry-python#3177": "sdk/test_observe.py::test_inspect_sees_what_it_saw_before",
    "digma#36": "sdk/test_observe.py::test_a_class_stays_a_class",
    "langfuse#5032": "sdk/test_capture.py::test_a_huge_value_costs_little_memory",
    "dd-trace-py#13260": "sdk/test_export.py::test_what_is_too_large_goes_in_halves",
    "opik#605": "sdk/test_export.py::test_what_is_too_large_goes_in_halves",
    "openai-agents#2489": "sdk/test_export.py::test_no_thread_before_the_first_span",
    "langfuse#7414": "sdk/test_init.py::test_fork_after_init",
    "langfuse#3292": "sdk/test_init.py::test_flush_sends_now",
    "otel-python#3309": "sdk/test_init.py::test_a_dead_endpoint_costs_nothing_and_ends_in_time",
    "otel-python#2024": "sdk/test_init.py::test_bounded_flush_and_shutdown_with_a_server_that_never_answers",
    "openlit#1398": f"{KIT}/streams.py::test_tools_streamed",
    "openlit#1540": f"{KIT}/streams.py::test_tools_streamed",
    "openllmetry#4374": "integrations/test_threads.py::test_messages_continue_by_their_headers",
    "otel-python-genai#557": "sdk/test_span.py::test_tools_on_an_agents_span_are_its_children",
    "otel-python-genai#485": "sdk/test_span.py::test_tools_on_an_agents_span_are_its_children",
    "otel-python-genai#520": "sdk/test_observe.py::test_cancellation_is_neither_success_nor_lost",
    "neatlogs#135": f"{KIT}/streams.py::test_stream_cancelled",
    "langfuse#7212": "sdk/test_init.py::test_it_joins_the_providers_that_an_app_has_set",
    "langflow#13344": "sdk/test_init.py::test_it_joins_the_providers_that_an_app_has_set",
    "smolagents#2221": "integrations/test_threads.py::test_threads_keep_their_trace",
    "langtrace#346": "sdk/test_outcome.py::test_ids_are_idempotent_and_tell_different_outcomes_apart",
    "openai-agents#4885": f"{KIT}/calls.py::test_finish_reason_length",
}


@cache
def functions(file: str) -> dict[str, str]:
    """The tests of a file and what their docstrings say."""
    tree = ast.parse((TESTS / file).read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {n.name: ast.get_docstring(n) or "" for n in ast.walk(tree) if isinstance(n, kinds)}


@pytest.mark.parametrize(("complaint", "test"), COMPLAINTS.items())
def test_each_complaint_has_its_test(complaint: str, test: str) -> None:
    file, _, name = test.partition("::")
    assert name in functions(file), complaint
    assert complaint.partition("#")[2] in functions(file)[name], f"{test} must cite {complaint}"
