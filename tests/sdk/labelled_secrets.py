"""A seeded corpus of made-up secrets and personal data in ordinary sentences, with labels.

Every value is made anew from random characters, in the published form of its maker. The forms that
the built-in redaction does not claim (national numbers, secrets named in words) are in it too.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["FORMS", "Example", "corpus"]

LETTERS, DIGITS = string.ascii_letters, string.digits
MIXED, UPPER = LETTERS + DIGITS, string.ascii_uppercase + string.digits
HEX, URL = DIGITS + "abcdef", LETTERS + DIGITS + "-_"

Make = Callable[[random.Random], str]


@dataclass(frozen=True)
class Example:
    """A sentence, the value in it, and what that is."""

    kind: str
    form: str
    text: str
    value: str


def _some(rng: random.Random, characters: str, count: int) -> str:
    made = "".join(rng.choice(characters) for _ in range(count - 1))
    return made + rng.choice(DIGITS)  # real ones of this length nearly all have one


def _after(prefix: str, characters: str, count: int) -> Make:
    return lambda rng: prefix + _some(rng, characters, count)


def _jwt(rng: random.Random) -> str:
    return ".".join(("eyJ" + _some(rng, URL, 33), "eyJ" + _some(rng, URL, 60), _some(rng, URL, 43)))


def _pem(rng: random.Random) -> str:
    kind = rng.choice(["RSA ", "EC ", "OPENSSH ", ""])
    lines = "\n".join(_some(rng, MIXED + "+/", 64) for _ in range(4))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


def _word(rng: random.Random, count: int = 6) -> str:
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(count))


def _password(rng: random.Random) -> str:
    return _word(rng, rng.randint(5, 9)) + rng.choice("!#$%*-_") + str(rng.randint(10, 9999))


def _email(rng: random.Random) -> str:
    name = rng.choice([_word(rng), f"{_word(rng)}.{_word(rng)}", f"{_word(rng)}+{_word(rng, 3)}"])
    host = rng.choice([_word(rng), f"mail.{_word(rng)}", f"{_word(rng)}-{_word(rng, 3)}"])
    return f"{name}@{host}.{rng.choice(['com', 'org', 'co.uk', 'de', 'museum', 'io'])}"


def _luhn(digits: str) -> str:
    total = sum(
        sum(divmod(2 * int(d), 10)) if i % 2 == 0 else int(d)
        for i, d in enumerate(reversed(digits))
    )
    return digits + str(-total % 10)


def _card(rng: random.Random) -> str:
    start, length = rng.choice([("4", 16), ("51", 16), ("37", 15), ("6011", 16), ("2221", 16)])
    number = _luhn(start + "".join(rng.choice(DIGITS) for _ in range(length - len(start) - 1)))
    gap = rng.choice(["", " ", "-"])
    cuts = [4, 10] if length == 15 else [4, 8, 12]
    return gap.join(number[a:b] for a, b in zip([0, *cuts], [*cuts, length], strict=True))


def _iban(rng: random.Random) -> str:
    country, length, bank = rng.choice(
        [("DE", 22, ""), ("FR", 27, ""), ("GB", 22, "NWBK"), ("NL", 18, "ABNA"), ("NO", 15, "")]
    )
    account = bank + "".join(rng.choice(DIGITS) for _ in range(length - 4 - len(bank)))
    turned = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    number = f"{country}{98 - int(turned) % 97:02}{account}"
    spaced = " ".join(number[i : i + 4] for i in range(0, length, 4))
    return rng.choice([number, spaced])


def _digits(rng: random.Random, form: str) -> str:
    """Each 9 stands for a digit, each 2 for one that is neither 0 nor 1."""
    swap = {"9": DIGITS, "2": "23456789"}
    return "".join(rng.choice(swap[c]) if c in swap else c for c in form)


def _phone(*forms: str) -> Make:
    return lambda rng: _digits(rng, rng.choice(forms))


def _ip(rng: random.Random) -> str:
    return ".".join(str(rng.randint(1, 254)) for _ in range(4))


PLAIN = [
    "Please check {} for me, it does not work.",
    "I tried with {}, and then again.",
    "it is {}",
    "Hello! My {} was refused twice today: why?",
    "First line.\n{}\nLast line.",
    "(see {})",
    '{{"question": "what about {}?", "n": 3}}',
    "Use {}.",
]
NAMED = ["{}={}", "{}: {}", "export {}={}", "--{}={}", '{{"{}": "{}"}}', "{} = {} # mine"]

FORMS: dict[tuple[str, str], Make] = {
    ("secrets", "OpenAI"): lambda r: (
        r.choice(["sk-", "sk-proj-", "sk-svcacct-"]) + _some(r, URL, 48)
    ),
    ("secrets", "Anthropic"): _after("sk-ant-api03-", URL, 93),
    ("secrets", "other models"): lambda r: (
        r.choice(["gsk_", "xai-", "pplx-", "r8_", "hf_", "nvapi-", "fw_", "tgp_v1_"])
        + _some(r, MIXED, 40)
    ),
    ("secrets", "GitHub, GitLab"): lambda r: (
        r.choice(["ghp_", "gho_", "ghs_", "github_pat_", "glpat-"]) + _some(r, MIXED, 36)
    ),
    ("secrets", "package registries"): lambda r: (
        r.choice(["npm_", "pypi-AgEIcHlwaS5vcmcC"]) + _some(r, MIXED, 36)
    ),
    ("secrets", "AWS"): lambda r: r.choice(["AKIA", "ASIA"]) + _some(r, UPPER, 16),
    ("secrets", "Google"): lambda r: r.choice(
        ["AIza" + _some(r, URL, 35), "GOCSPX-" + _some(r, URL, 28), "ya29." + _some(r, URL, 60)]
    ),
    ("secrets", "Slack, SendGrid"): lambda r: r.choice(
        [
            f"xoxb-{_some(r, DIGITS, 12)}-{_some(r, MIXED, 24)}",
            f"SG.{_some(r, URL, 22)}.{_some(r, URL, 43)}",
        ]
    ),
    ("secrets", "Stripe"): lambda r: (
        r.choice(["sk_live_", "sk_test_", "rk_live_"]) + _some(r, MIXED, 24)
    ),
    ("secrets", "clouds and shops"): lambda r: (
        r.choice(["dop_v1_", "dapi", "shpat_", "lin_api_", "sq0csp-", "glsa_", "PMAK-"])
        + _some(r, HEX, 36)
    ),
    ("secrets", "JWT"): _jwt,
    ("secrets", "private key"): _pem,
    ("secrets", "bearer or basic"): lambda r: (
        r.choice(["Bearer ", "bearer ", "Basic "]) + _some(r, MIXED + "+/", 40)
    ),
    ("secrets", "in a URL"): lambda r: (
        f"postgres://app:{_password(r).replace('#', '!')}@db.{_word(r)}.net/x"
    ),
    ("secrets", "named: key=…"): lambda r: _some(r, MIXED, r.choice([20, 32, 40])),
    ("secrets", "named: password=…"): _password,
    ("secrets", "named in words"): _password,
    ("email", "addresses"): _email,
    ("card", "cards"): _card,
    ("iban", "IBANs"): _iban,
    ("phone", "international"): _phone(
        "+49 30 29999999",
        "+4915129999999",
        "+1 (229) 299-9999",
        "+1-229-299-9999",
        "+44 20 2999 9999",
        "+33 1 29 99 99 99",
        "+358 29 9999999",
    ),
    ("phone", "North America"): _phone("(229) 299-9999", "229-299-9999", "229.299.9999"),
    ("phone", "national"): _phone(
        "030 29999999", "06 29 99 99 99", "020 2999 9999", "0049 30 29999999"
    ),
    ("ip", "IPv4"): _ip,
}

_KEYS = ["api_key", "API-KEY", "client_secret", "access_token", "OPENAI_API_KEY", "auth-token"]
_PASSWORDS = ["password", "DB_PASSWORD", "passwd", "passphrase"]


def corpus(seed: int, count: int) -> Iterator[Example]:
    """So many sentences of every form.

    Args:
        seed: the same one gives the same corpus.
        count: sentences a form.
    """
    rng = random.Random(seed)
    for (kind, form), make in FORMS.items():
        for _ in range(count):
            value = make(rng)
            if form.startswith("named:"):
                names = _PASSWORDS if "password" in form else _KEYS
                text = rng.choice(NAMED).format(rng.choice(names), value)
            elif form == "named in words":
                text = rng.choice(["my password is {}", "log in with {} as password"]).format(value)
            else:
                frame = rng.choice(PLAIN)
                written = json.dumps(value)[1:-1] if frame.startswith("{{") else value
                text = frame.format(written)
            yield Example(kind, form, text, value)
