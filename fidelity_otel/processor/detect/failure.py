"""Whether a tool's result is a failure, and of what kind.

Tools fail in the open (a span's error, an HTTP status) and in disguise: a result that says "Error:
…", {"error": …} or {"success": false} behind a span that says ok. A long text that merely mentions
an error is a result: only its head and telling members are read.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from fidelity_otel.processor.dialects.values import compact, from_json, integer

__all__ = ["classify", "failure_text", "kind_of_status"]

_HEAD: Final = 600
_SHORT: Final = 300
_DEEPEST: Final = 3

_STARTS: Final = re.compile(
    r"\s*[\"'\[({<]*\s*(?:"
    r"(?:fatal |internal |unknown |unexpected |tool |api |http |runtime |validation "
    r"|server |client "
    r"|[\w.]{1,40})?(?:error|exception)\b(?!s\b| rate| code 0| handling| margin|-free| bars?\b)"
    r"|traceback \(most recent|failed(?: to\b|:)|failure:|could not\b|cannot\b|can't\b|unable to\b"
    r"|timed? ?out\b|timeout\b|too many requests|rate.?limit|quota exceeded|service unavailable"
    r"|bad gateway|gateway time|internal server error|unauthori[sz]ed|forbidden\b|access denied"
    r"|permission denied|invalid (?:api.?key|argument|parameter|token|request|input|json)"
    r"|not found\b|no such (?:tool|function)|unknown (?:tool|function)|connection (?:refused|reset)"
    r"|(?:http )?(?:4\d\d|5\d\d)\b[ :]|exit ?(?:code|status):? *[1-9])",
    re.IGNORECASE,
)
_KINDS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "rate_limited",
        re.compile(
            r"\b429\b|too.?many.?requests|rate.?limit|rate.?exceeded|quota.{0,30}(?:exceed|exhaust)"
            r"|(?:exceed|exhaust)\w*.{0,40}\bquota|throttl|resource.?exhausted|requests? per "
            r"(?:second|minute|day|month)|overloaded",
            re.IGNORECASE,
        ),
    ),
    (
        "auth",
        re.compile(
            r"\b401\b|\b403\b|unauthori[sz]ed|unauthenticated|authenticat|not authori[sz]ed"
            r"|forbidden"
            r"|invalid.{0,12}(?:api.?key|token|credential|signature)"
            r"|api.?key.{0,30}(?:missing|invalid"
            r"|required|not)|access.?denied|permission.?denied|not subscribed|disabled for your sub"
            r"|expired.{0,12}token|token.{0,20}expired|login required|blocked user",
            re.IGNORECASE,
        ),
    ),
    (
        "timeout",
        re.compile(
            r"\b408\b|\b504\b|time[ds]?.?out|timeout|deadline.?exceeded|took too long",
            re.IGNORECASE,
        ),
    ),
    (
        "unknown_tool",
        re.compile(
            r"(?:unknown|no such|invalid|nonexistent|undefined)\s+(?:tool"
            r"|function)(?!s? (?:param|arg|in"
            r"put))|(?:tool|function)(?: name)?\s*[`'\"]?[\w.\-]{0,60}[`'\"]?\s*(?:was "
            r"|is )?(?:not found"
            r"|not available|does not exist|not (?:a )?(?:valid|registered|recognized)|unavailable)"
            r"|hallucinated function|no tool named",
            re.IGNORECASE,
        ),
    ),
    (
        "malformed_arguments",
        re.compile(
            r"validation.?error|invalid.{0,20}(?:argument|parameter|json|input|arg\b|args\b|params)"
            r"|missing.{0,30}(?:argument|parameter|field|required)|required.{0,40}(?:missing"
            r"|not pro"
            r"vided)|unexpected keyword|jsondecode|expecting (?:value|property)|not valid json"
            r"|could not parse (?:arg|input|json)|parse.?error|(?:argument|parameter)s?\b.{0,40}"
            r"(?:is |are )?(?:required|invalid|missing|must)|field required|bad ?request"
            r"|\b400\b|\b422\b|unprocessable|invalid_type|wrong type|typeerror",
            re.IGNORECASE,
        ),
    ),
)
_STATUS: Final = {
    401: "auth",
    403: "auth",
    407: "auth",
    400: "malformed_arguments",
    422: "malformed_arguments",
    408: "timeout",
    504: "timeout",
    429: "rate_limited",
}
_ERROR_MEMBERS: Final = ("error", "errors", "exception", "error_message", "errorMessage", "err")
_STATUS_MEMBERS: Final = ("status_code", "statusCode", "status", "code", "http_status")
_TELLING: Final = frozenset(
    (
        *(*_ERROR_MEMBERS, *_STATUS_MEMBERS, "isError", "is_error", "success", "ok"),
        *("message", "detail", "response", "result", "content"),
    )
)
_BAD_STATES: Final = {"error", "failed", "failure", "fail", "exception", "timeout"}
_GOOD_ERRORS: Final = {"none", "null", "no error", "false", "ok", "0", "success", "no"}


def classify(text: str) -> str:
    """The mode that an error's text speaks of: rate_limited, auth, timeout, …, else tool_error."""
    return _kind_of(text[:_HEAD])


@lru_cache(maxsize=512)  # what fails says the same each time, and five patterns take their time
def _kind_of(head: str) -> str:
    for mode, pattern in _KINDS:
        if pattern.search(head):
            return mode
    return "tool_error"


def kind_of_status(status: Any) -> str | None:
    """The mode that an HTTP status stands for; None below 400 or where it is no status."""
    code = integer(status)
    if code is None or not 400 <= code < 600:  # noqa: PLR2004 - HTTP's error classes
        return None
    return _STATUS.get(code, "tool_error")


def failure_text(result: Any, depth: int = 0) -> str | None:
    """What a tool's result says of its failure, or None where it is a result.

    Args:
        result: as recorded; JSON texts are opened.
        depth: how deep in nested members we are; for its own use.
    """
    if type(result) is str:
        return _of_text(result, depth)
    if type(result) is dict:
        return _of_members(result, depth)
    if type(result) is list and len(result) == 1:
        return failure_text(result[0], depth + 1) if depth < _DEEPEST else None
    return None


def _of_text(result: str, depth: int) -> str | None:
    head = result[:1]
    if (
        head in ("{", "[")
        and depth < _DEEPEST
        and (len(result) < _HEAD or "rror" in result[:_HEAD])
    ):
        opened = from_json(result)
        if type(opened) in (dict, list):
            return failure_text(opened, depth + 1)
    if _STARTS.match(result):
        # A short text is a message; a long one is a failure only where it starts like a dump.
        if len(result) <= _SHORT or result[:40].lower().startswith(("error", "traceback", "http")):
            return result[:_HEAD]
        first = result[:_HEAD].split("\n", 1)[0]
        return first if len(first) <= _SHORT and ":" in first[:60] else None
    return None


def _of_members(result: dict[str, Any], depth: int) -> str | None:
    if result.keys().isdisjoint(_TELLING):  # most results, and looking at each costs
        return None
    for name in _ERROR_MEMBERS:
        value = result.get(name)
        if value and value is not True and str(value)[:20].strip().lower() not in _GOOD_ERRORS:
            status = _status_text(result)
            return f"{status}{_shown(value)}"
        if value is True:
            return _shown(result.get("message", result.get("detail", result)))
    if result.get("isError") is True or result.get("is_error") is True:
        return _shown(result.get("content", result))
    if result.get("success") is False or result.get("ok") is False:
        return _shown(result.get("message", result.get("reason", result.get("detail", result))))
    for name in _STATUS_MEMBERS:
        value = result.get(name)
        if type(value) is str and value.lower() in _BAD_STATES:
            return _shown(result.get("message", result.get("detail", result.get("reason", result))))
        if kind_of_status(value) is not None and _looks_like_status(result):
            return f"{value}: {_shown(result.get('message', result.get('detail', '')))}"
    message = result.get("message", result.get("detail"))
    if type(message) is str and len(result) <= 2 and _STARTS.match(message):  # noqa: PLR2004
        return message[:_HEAD]
    inner = result.get("response", result.get("result", result.get("content")))
    if inner is not None and depth < _DEEPEST and len(result) <= 4:  # noqa: PLR2004
        return failure_text(inner, depth + 1)
    return None


def _looks_like_status(result: dict[str, Any]) -> bool:
    """Whether a number from 400 to 599 is a status here and not, say, an order's code."""
    return "message" in result or "detail" in result or "reason" in result or len(result) == 1


def _status_text(result: dict[str, Any]) -> str:
    for name in _STATUS_MEMBERS:
        if kind_of_status(result.get(name)) is not None:
            return f"{result[name]}: "
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        told = value.get("message", value.get("detail"))
        code = value.get("code", value.get("type", value.get("status")))
        if isinstance(told, str):
            return f"{code}: {told}"[:_HEAD] if code not in (None, "") else told[:_HEAD]
    return compact(value, _HEAD) or "error"
