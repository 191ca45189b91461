"""Built-in redaction: secrets and personal data replaced by their kind, before anything leaves.

A rule is tried only where its gate is open, and the gates of a text are found by a few passes at
the speed of memory: whether it has a run of 16 letters and digits as keys have, a word such as
"password", or the rule's own needle. Ordinary text costs that and nothing more. Replacements
contain no quote and no backslash: valid JSON stays valid JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from fidelity_otel.errors import ConfigError

__all__ = ["KINDS", "NAME_LENGTH", "Redactor"]

_CARD_MIN, _CARD_MAX = 13, 19
_IBAN_MIN = 15


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, the gate before it, and a check of what it found.

    Group `keep`, where the pattern has one, stands before the secret and stays. `gate` is "run",
    "key", "name", or a text that must occur; "" is always open.
    """

    kind: str
    gate: str
    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None


def _luhn(text: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812-1, annex B) over 13 to 19 digits."""
    digits = [int(c) for c in text if c.isdigit()]
    if not _CARD_MIN <= len(digits) <= _CARD_MAX or len(set(digits)) == 1:
        return False
    total = sum(sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(reversed(digits)))
    return total % 10 == 0


def _mod97(text: str) -> bool:
    """IBAN check digits (ISO 13616, mod 97-10 of ISO 7064)."""
    compact = re.sub(r"\s", "", text).upper()
    if len(compact) < _IBAN_MIN:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def _ip(text: str) -> bool:
    return all(int(part) <= 255 for part in text.split("."))  # noqa: PLR2004


def _phone(text: str) -> bool:
    return 9 <= sum(c.isdigit() for c in text) <= 15  # noqa: PLR2004 - E.164 allows 15


_NAMES: Final = (
    r"pass(?:word|wd|phrase)|secret|api[_-]?key|access[_-]?(?:key|token)|auth[_-]?token|"
    r"client[_-]?secret|private[_-]?key|refresh[_-]?token|session[_-]?token|authorization"
)
_NAME: Final = re.compile(_NAMES, re.IGNORECASE)
_ENDS: Final = ("word", "wd", "phrase", "secret", "key", "token", "authorization")
_BETWEEN: Final = '\\" \t\n\r\f\v'  # may stand between a name and its mark
_BEFORE: Final = 32  # characters before a mark that are looked at
_PER_MARK: Final = 64
_SHORTEST: Final = 6  # no rule finds anything in less
NAME_LENGTH: Final = 64
_NAMES_KEPT: Final = 1024  # of models, tools, …: the same on every span
_RUN: Final = b"x" * 16
_RUN_TABLE: Final = bytes(
    ord("x") if chr(c).isascii() and (chr(c).isalnum() or chr(c) in "_-./+=~") else ord(" ")
    for c in range(256)
)


_MARKS: Final = (
    *("sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    *("github_pat_", "glpat-", "xox", "pypi-", "npm_", "hf_", "SG.", "AKIA", "ASIA", "AIza"),
    *("GOCSPX-", "ya29.", "r8_", "fw_", "xai-", "pplx-", "nvapi-", "tgp_v1_", "lin_api_"),
    *("glsa_", "sq0", "dop_v1_", "dapi", "PMAK-", "shpat_", "shpca_", "shppa_", "shpss_", "eyJ"),
)
"""One of these is in every key that the first rule finds."""


def _has_digit(found: str) -> bool:
    return any(c.isdigit() for c in found)


RULES: Final = (
    Rule(
        "secrets",
        "key",
        re.compile(
            r"\b(?:(?:sk|pk|rk)[-_](?:[A-Za-z]+[-_])*[A-Za-z0-9_-]{16,}"
            r"|(?:gh[pousr]|hf|npm)_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{16,}"
            r"|xox[abprs]-[\w-]{12,}|pypi-[\w-]{40,}|SG\.[\w-]{16,}\.[\w-]{16,}"
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}\b|AIza[\w-]{35}|GOCSPX-[\w-]{24,}|ya29\.[\w-]{30,}"
            r"|(?:gsk|r8|fw)_[A-Za-z0-9]{22,}|(?:xai|pplx)-[A-Za-z0-9]{32,}"
            r"|(?:nvapi-|tgp_v1_)[\w-]{32,}|(?:lin_api|glsa)_\w{32,}|sq0[a-z]{3}-[\w-]{22,}"
            r"|(?:dop_v1_|dapi|PMAK-|shp(?:at|ca|pa|ss)_)[a-f0-9]{24,}(?:-[a-f0-9]+)?"
            r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*)"
        ),
        _has_digit,
    ),
    Rule(
        "secrets",
        "run",
        re.compile(r"(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE),
        _has_digit,
    ),
    Rule(
        "secrets",
        "PRIVATE KEY-----",
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        lambda found: '"' not in found,
    ),
    # "password": "…" in JSON, also in JSON within JSON
    Rule(
        "secrets",
        "name",
        re.compile(
            rf'(?P<keep>(\\?")[\w-]*(?:{_NAMES})\2\s*:\s*\2)(?:(?!\2)(?:\\\\|\\[^"]|[^"\\]))+',
            re.IGNORECASE,
        ),
    ),
    # password=… and password: … in text, where the value does not look like a word
    Rule(
        "secrets",
        "name",
        re.compile(
            rf"(?P<keep>(?:{_NAMES})\s*[=:]\s*)[^\s\"'\\,;&{{}}\[\]()]{{6,}}", re.IGNORECASE
        ),
        _has_digit,
    ),
    Rule("secrets", "@", re.compile(r"(?P<keep>://[^\s/:@\"']+:)[^\s/@\"'\\]+(?=@)")),
    Rule(
        "email",
        "@",
        re.compile(r"[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"),
    ),
    Rule(
        "iban",
        "",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"),
        _mod97,
    ),
    Rule("card", "", re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-]|\.\d)"), _luhn),
    Rule(
        "phone",
        "",
        re.compile(
            r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}"
            r"|\(\d{2,5}\)[ .-]?\d{3,4}[ .-]?\d{3,5}|\d{3}[.-]\d{3}[.-]\d{4})(?![\w-])"
        ),
        _phone,
    ),
    Rule("ip", ".", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)"), _ip),
)

KINDS: Final = tuple(dict.fromkeys(rule.kind for rule in RULES))


class Redactor:
    """Replaces what the chosen kinds of rule find: `[secrets]`, `[email]` and so on."""

    __slots__ = ("_gates", "clean")

    def __init__(self, kinds: Iterable[str]) -> None:
        self.clean: set[str] = set()
        """Short texts in which nothing was found."""
        wanted = tuple(kinds)
        if unknown := set(wanted) - set(KINDS):
            raise ConfigError(
                f"redact: unknown kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}."
            )
        chosen = [rule for rule in RULES if rule.kind in wanted]
        names = dict.fromkeys(rule.gate for rule in chosen)
        self._gates = tuple(
            (*_gate(name), tuple(rule for rule in chosen if rule.gate == name)) for name in names
        )

    def __bool__(self) -> bool:
        return bool(self._gates)

    def __call__(self, text: str) -> str:
        """The text, with every finding replaced; the same object where there was none."""
        length = len(text)
        if length < _SHORTEST or (length <= NAME_LENGTH and text in self.clean):
            return text
        found = text
        for needle, is_open, rules in self._gates:
            if needle in found and (is_open is None or is_open(found)):
                for rule in rules:
                    found = _apply(rule, found)
        if found is text and length <= NAME_LENGTH:
            if len(self.clean) >= _NAMES_KEPT:
                self.clean.clear()
            self.clean.add(text)
        return found


def _gate(name: str) -> tuple[str, Callable[[str], bool] | None]:
    """A text that must occur, and what else must hold."""
    further = {"run": _has_run, "key": _has_key, "name": _has_name}.get(name)
    return (name, None) if further is None else ("", further)


def _has_key(text: str) -> bool:
    return _has_run(text) and any(mark in text for mark in _MARKS)


def _has_run(text: str) -> bool:
    if len(text) < len(_RUN):
        return False
    return _RUN in text.encode("utf-8", "replace").translate(_RUN_TABLE)


def _has_name(text: str) -> bool:
    """Whether a name such as "password" may stand before a ":" or "="."""
    room = len(text) // _PER_MARK
    for mark in ":=":
        at = text.find(mark)
        while at >= 0:
            room -= 1
            if room < 0:  # many marks: to look for the names themselves is faster
                return _names_a_secret(text)
            before = text[at - _BEFORE if at > _BEFORE else 0 : at].rstrip(_BETWEEN)
            unclear = before[-1].isspace() if before else at > _BEFORE
            if unclear or before.lower().endswith(_ENDS):
                return _NAME.search(text) is not None
            at = text.find(mark, at + 1)
    return False


def _names_a_secret(text: str) -> bool:
    low = text.lower()
    secret = "pass" in low or "token" in low or "secret" in low
    if secret or "key" in low or ("z" in low and "authorization" in low):
        return _NAME.search(text) is not None
    return False


def _apply(rule: Rule, text: str) -> str:
    hit = False

    def replace(match: re.Match[str]) -> str:
        nonlocal hit
        found = match.group()
        keep = match.groupdict().get("keep") or ""
        if rule.check is not None and not rule.check(found[len(keep) :]):
            return found
        hit = True
        return f"{keep}[{rule.kind}]"

    replaced = rule.pattern.sub(replace, text)
    return replaced if hit else text
