"""Every attribute and event name that this project reads or writes, with its source.

`GEN_AI_*` are the OpenTelemetry GenAI semantic conventions (repository
open-telemetry/semantic-conventions-genai, Development; read November 2026). They are owned here as
constants, because the published Python package marks them all as moved. `FIDELITY_*` are ours: what
the conventions have no name for. Names of other dialects live with their reader in
`processor/dialects/`.
"""

from __future__ import annotations

from typing import Final

# --- GenAI conventions: what a span is -----------------------------------------------------------
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_SYSTEM: Final = "gen_ai.system"  # before 1.37
GEN_AI_WORKFLOW_NAME: Final = "gen_ai.workflow.name"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_AGENT_ID: Final = "gen_ai.agent.id"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_AGENT_VERSION: Final = "gen_ai.agent.version"
GEN_AI_DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
GEN_AI_OUTPUT_TYPE: Final = "gen_ai.output.type"
GEN_AI_PROMPT_NAME: Final = "gen_ai.prompt.name"
GEN_AI_PROMPT_VERSION: Final = "gen_ai.prompt.version"

# --- GenAI conventions: request and response -----------------------------------------------------
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_REQUEST_TOP_K: Final = "gen_ai.request.top_k"
GEN_AI_REQUEST_SEED: Final = "gen_ai.request.seed"
GEN_AI_REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
GEN_AI_REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
GEN_AI_REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
GEN_AI_REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"

# --- GenAI conventions: content ------------------------------------------------------------------
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
GEN_AI_TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
GEN_AI_RETRIEVAL_QUERY_TEXT: Final = "gen_ai.retrieval.query.text"
GEN_AI_RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"
GEN_AI_RETRIEVAL_TOP_K: Final = "gen_ai.retrieval.top_k"

# --- GenAI conventions: evaluation ---------------------------------------------------------------
GEN_AI_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"  # event
GEN_AI_EVALUATION_NAME: Final = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
GEN_AI_EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
GEN_AI_EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"

# --- General OpenTelemetry conventions -----------------------------------------------------------
ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
HTTP_REQUEST_RESEND_COUNT: Final = "http.request.resend_count"

# --- Ours: what a span is about ------------------------------------------------------------------
FIDELITY_WORKFLOW: Final = "fidelity.workflow"
FIDELITY_RELEASE: Final = "fidelity.release"
FIDELITY_INPUT: Final = "fidelity.input"  # JSON: arguments by name
FIDELITY_OUTPUT: Final = "fidelity.output"  # JSON: what was returned or yielded
FIDELITY_LOSSES: Final = "fidelity.losses"  # string[]: "truncated:fidelity.input", "masked:…", …
FIDELITY_KEY_PREFIX: Final = "fidelity.key."  # + business key name → value (fidelity.bind)
FIDELITY_COMPLETE: Final = "fidelity.complete"  # bool on any span: no more spans will come

# --- Ours: attempts and recovery -----------------------------------------------------------------
FIDELITY_ATTEMPT: Final = "fidelity.attempt.number"  # 1-based, on an attempt's own span
FIDELITY_ATTEMPTS: Final = "fidelity.attempt.count"  # how many it took, on the span of the call
FIDELITY_RECOVERY: Final = "fidelity.recovery"  # first_try | recovered | fallback | abandoned
FIDELITY_ATTEMPT_EVENT: Final = "fidelity.attempt"  # event: one failed attempt of a client's retry
FIDELITY_RETRY_AFTER: Final = "fidelity.retry_after_seconds"

# --- Ours: streams -------------------------------------------------------------------------------
FIDELITY_STREAM_CHUNKS: Final = "fidelity.stream.chunks"
FIDELITY_STREAM_COMPLETE: Final = "fidelity.stream.complete"  # false: closed, broken out of, …
FIDELITY_CANCELLED: Final = "fidelity.cancelled"

# --- Ours: outcomes (carrier span "fidelity.outcome", linked, + gen_ai.evaluation.result) --------
FIDELITY_OUTCOME_SPAN: Final = "fidelity.outcome"
FIDELITY_OUTCOME_ID: Final = "fidelity.outcome.id"
FIDELITY_OUTCOME_NAME: Final = "fidelity.outcome.name"
FIDELITY_OUTCOME_VALUE: Final = "fidelity.outcome.value"  # float 0–1, 1 = right
FIDELITY_OUTCOME_LABEL: Final = "fidelity.outcome.label"
FIDELITY_OUTCOME_SOURCE: Final = "fidelity.outcome.source"
FIDELITY_OUTCOME_OBSERVED_AT: Final = "fidelity.outcome.observed_at"  # ns since epoch, int
FIDELITY_OUTCOME_SUPERSEDES: Final = "fidelity.outcome.supersedes"
FIDELITY_OUTCOME_EXPLANATION: Final = "fidelity.outcome.explanation"
FIDELITY_OUTCOME_TRACE_ID: Final = "fidelity.outcome.ref.trace_id"
FIDELITY_OUTCOME_SPAN_ID: Final = "fidelity.outcome.ref.span_id"
FIDELITY_OUTCOME_RESPONSE_ID: Final = "fidelity.outcome.ref.response_id"
FIDELITY_OUTCOME_KEY_NAME: Final = "fidelity.outcome.ref.key.name"
FIDELITY_OUTCOME_KEY_VALUE: Final = "fidelity.outcome.ref.key.value"

# --- Ours: shadow mode ---------------------------------------------------------------------------
FIDELITY_SHADOW_PAIR: Final = "fidelity.shadow.pair_id"
FIDELITY_SHADOW_ROLE: Final = "fidelity.shadow.role"  # incumbent | candidate
FIDELITY_SHADOW_NAME: Final = "fidelity.shadow.candidate"
FIDELITY_SHADOW_BLOCKED: Final = "fidelity.shadow.blocked"  # a tool that was not run
SHADOW_KEYS: Final = {"incumbent": "shadow.incumbent", "candidate": "shadow.candidate"}
"""Role → name of the key under which a trace of a pair is found; its value is the pair's id."""
SHADOW_SEPARATOR: Final = "~"
"""Between the incumbent's workflow and the candidate's name, in the candidate's workflow."""

# --- Ours: findings sent on, as log events or as a span with events ------------------------------
FIDELITY_FINDINGS_SPAN: Final = "fidelity.findings"
FIDELITY_FINDING_EVENT: Final = "fidelity.finding"
FIDELITY_FINDING_MODE: Final = "fidelity.finding.mode"
FIDELITY_FINDING_STATE: Final = "fidelity.finding.state"
FIDELITY_FINDING_EVIDENCE: Final = "fidelity.finding.evidence"
FIDELITY_FINDING_SPAN_ID: Final = "fidelity.finding.span_id"

# --- Ours: the test trace of `fidelity doctor`, which is never stored or counted -----------------
FIDELITY_DOCTOR_SPAN: Final = "fidelity.doctor"

# --- Keys inside the JSON of gen_ai.retrieval.documents ------------------------------------------
# The conventions name `id` and `score`; these are added by us and read where present.
DOCUMENT_CONTENT: Final = "content"
DOCUMENT_TITLE: Final = "title"
DOCUMENT_SOURCE: Final = "source"
DOCUMENT_INDEXED_AT: Final = "indexed_at"
DOCUMENT_UPDATED_AT: Final = "updated_at"
DOCUMENT_SUPERSEDED_BY: Final = "superseded_by"
