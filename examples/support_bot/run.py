"""The demo: a real small assistant is used, its traces are sampled, reviewed, joined with tickets.

    python examples/support_bot/run.py [--questions 120] [--seed 7] [--data DIR] [--keep]

At the end stands the lead's page, with the truth over all traffic beside the estimates: here, and
only here, there is an answer key. Exit code 0: done; 1: something did not start; 2: no model.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from answer_key import Key, Question, is_right, read_keys, read_questions
from benchmark import benchmark
from model import ModelUnavailableError, find_weights
from processes import HERE, ChildFailedError, running
from reviewer import NAMES, Reviewer
from rich.markup import escape
from rich.table import Table
from screen import Screen
from service import FIDELITY, SETTINGS, Service, running_service
from tickets import Ticket
from truth import Row, fidelity_of, rows_of, silent_of

from fidelity_otel.store import open_store

REVIEWED_SHARE = 1 / 3  # of the traffic: people cannot look at everything
EXAMPLES = 3  # silent failures shown at the end
LEFT_FOR_YOU = 5  # reviews that the script leaves open when somebody is there to do them


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for on the command line."""

    questions: list[Question]
    keys: dict[str, Key]
    seed: int
    data: Path
    interactive: bool

    @property
    def logs(self) -> Path:
        """Where the child processes' words go."""
        return self.data / "logs"

    @property
    def settings(self) -> dict[str, str]:
        """What the service's settings owe to the command line; the rest is in fidelity.yaml."""
        reviews = max(20, round(len(self.questions) * REVIEWED_SHARE))
        return {
            "FIDELITY_SAMPLE_REVIEWS_PER_DAY": str(reviews),
            "FIDELITY_SAMPLE_SALT": f"demo {self.seed}",  # a demo's draw may be foreseen
        }

    def remember(self, name: str, value: dict[str, object]) -> None:
        """Leave something beside the traces for the report to show."""
        with open_store(self.data) as store:
            store.meta_set(f"report.{name}", json.dumps(value))


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was asked, and what came back."""

    question: Question
    ticket: str
    status: int
    answer: str
    at: float
    right: bool


def main() -> int:
    """Run the demo."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the children end with us
    screen = Screen()
    options = read_options()
    try:
        find_weights()
    except ModelUnavailableError as error:
        screen.say(f"error: the demo needs its language model: {error}")
        return 2
    with contextlib.ExitStack() as stack:
        if options.data is None:
            data = Path(tempfile.mkdtemp(prefix="fidelity-demo-"))
            if not options.keep:
                stack.callback(shutil.rmtree, data, ignore_errors=True)
        else:
            data = options.data.resolve()
        if (data / "store.db").exists():
            screen.say(f"error: {data} holds a store already. Mend: name an empty folder.")
            return 2
        questions = read_questions()
        random.Random(options.seed).shuffle(questions)
        interactive = sys.stdout.isatty() and os.environ.get("CI") != "true"
        plan = Plan(questions[: options.questions], read_keys(), options.seed, data, interactive)
        plan.logs.mkdir(parents=True, exist_ok=True)
        try:
            run(plan, screen)
        except (ChildFailedError, subprocess.CalledProcessError, httpx.HTTPError) as error:
            screen.say(f"error: {error}\nThe logs are in {plan.logs}")
            stack.pop_all()  # whatever was said there is needed now
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=120, help="ask so many of the 120")
    parser.add_argument("--seed", type=int, default=7, help="of order, faults, tickets and sample")
    parser.add_argument("--data", type=Path, help="folder of the store, kept; else a temporary one")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    chosen = parser.parse_args()
    if chosen.questions < 1:
        parser.error("--questions: at least 1")
    return chosen


def run(plan: Plan, screen: Screen) -> None:
    """The whole demo, step by step."""
    count, logs = len(plan.questions), plan.logs
    with contextlib.ExitStack() as stack:
        with screen.step("starting service, model and back office"):
            service = stack.enter_context(
                running_service(plan.data, plan.settings, logs / "serve.log")
            )
            backend = stack.enter_context(contextlib.ExitStack())
            model = backend.enter_context(running("model.py", log=logs / "model.log")) + "/v1"
            office = backend.enter_context(
                running("tools_server.py", "--seed", str(plan.seed), log=logs / "tools.log")
            )
        with screen.step("benchmark: clean words, right source in hand", count) as done:
            score = benchmark(plan.questions, plan.keys, model, done)
        plan.remember("benchmark", {"score": score, "source": "the same questions, clean words"})
        where = {
            "MODEL_URL": model,
            "TOOLS_URL": office,
            "OTEL_EXPORTER_OTLP_ENDPOINT": service.otlp,
        }
        with (
            running("app.py", log=logs / "app.log", env=where) as app,
            screen.step("production: customers ask the assistant", count) as done,
        ):
            asked = ask_all(plan, app, done)
        backend.close()
        rows = evaluate(plan, service, asked, screen)
        show(plan, service, asked, rows, screen)
        if plan.interactive:
            stay(service, screen)


def ask_all(plan: Plan, app: str, done: Callable[[], None]) -> list[Asked]:
    """Every customer asks the assistant, one after the other, over HTTP."""
    asked = []
    with httpx.Client(base_url=app, timeout=120) as client:
        for number, question in enumerate(plan.questions, 1):
            ticket = f"T-{number:03}"
            response = client.post("/ask", json={"question": question.question, "ticket": ticket})
            answer = response.json()["answer"] if response.is_success else ""
            right = is_right(plan.keys[question.id], question.question, answer)
            asked.append(Asked(question, ticket, response.status_code, answer, time.time(), right))
            done()
    return asked


def evaluate(plan: Plan, service: Service, asked: list[Asked], screen: Screen) -> list[Row]:
    """What happens after the traffic: sample, reviews, tickets; gives the truth of each trace."""
    with screen.step("waiting for the last traces"):
        traces = service.wait_for_traces(len(asked))
    rows = rows_of(traces, {one.question.question: one.right for one in asked})
    drawn = service.api.post("/api/v1/windows/close").raise_for_status().json()
    with screen.step("scripted reviewers judge the sample", drawn["enqueued"]) as done:
        for name in NAMES:
            reviewer = Reviewer(service.api, name, plan.questions, plan.keys)
            reviewer.work(done, leave=LEFT_FOR_YOU if plan.interactive else 0)
    with screen.step("tickets close, minutes later (simulated clock)"):
        close_tickets(plan, service, asked)
    note = f"answer key over all {len(rows)} answers; reviewers are scripted"
    true = {"fidelity": fidelity_of(rows), "silent_failure": silent_of(rows), "note": note}
    plan.remember("truth", true)
    lines = (json.dumps(asdict(row)) + "\n" for row in rows)
    (plan.data / "truth.jsonl").write_text("".join(lines), "utf-8")
    return rows


def close_tickets(plan: Plan, service: Service, asked: list[Asked]) -> None:
    """The help desk, a process of its own, says what became of the tickets."""
    file = plan.data / "tickets.jsonl"
    tickets = [Ticket(one.ticket, one.at, one.right) for one in asked]
    file.write_text("".join(json.dumps(asdict(ticket)) + "\n" for ticket in tickets), "utf-8")
    desk = subprocess.run(
        [sys.executable, str(HERE / "tickets.py"), str(file), "--seed", str(plan.seed)],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": service.otlp},
        capture_output=True,
        text=True,
        check=False,
    )
    if desk.returncode:
        raise ChildFailedError(f"tickets.py ended with {desk.returncode}:\n{desk.stderr[-2000:]}")
    service.wait_for_outcomes(int(desk.stdout))


def show(plan: Plan, service: Service, asked: list[Asked], rows: list[Row], screen: Screen) -> None:
    """The lead's page, the truth beside it, and what a silent failure looks like."""
    numbers = service.report()
    for output in ([], ["--format", "html", "--output", str(plan.data / "report.html")]):
        command = [FIDELITY, "report", "--data", str(plan.data), "--config", str(SETTINGS), *output]
        subprocess.run(command, check=True)
    lines = [
        ("right answers", numbers["fidelity"], fidelity_of(rows)),
        ("silent failures", numbers["silent_failure"], silent_of(rows)),
    ]
    for line in numbers["workflows"]:
        part = [row for row in rows if row.workflow == line["workflow"]]
        lines.append((f"right, {line['workflow']}", line["fidelity"], fidelity_of(part)))
    table = Table(title="Estimate and truth (scripted reviewers; answer key over all traffic)")
    for heading in ("", "estimate", "95% interval", "reviews", "truth", "inside"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, made, true in lines:
        table.add_row(name, *in_words(made), f"{true:.1%}", inside(made, true))
    good = sum(one.status == httpx.codes.OK for one in asked)
    table.add_row("benchmark", f"{numbers['benchmark']['score']:.1%}")
    table.add_row("requests that returned 200", f"{good / len(asked):.1%}")
    screen.page.print(table)
    silent = {row.request for row in rows if not row.right and not row.loud}
    examples = [one for one in asked if one.question.question in silent][:EXAMPLES]
    for one in examples:
        screen.page.print(f"\n[bold]A silent failure[/bold] ({one.ticket}, returned {one.status})")
        screen.page.print(f"  customer   {escape(one.question.question)}")
        screen.page.print(f"  assistant  {escape(one.answer)}")
        screen.page.print(f"  truth      {escape(plan.keys[one.question.id].truth)}")


def in_words(made: dict[str, float | None]) -> tuple[str, str, str]:
    """An estimate's value, interval and n, or that there are too few reviews."""
    if made["estimate"] is None:
        return "insufficient data", "", str(made["n"])
    return f"{made['estimate']:.1%}", f"{made['low']:.1%} – {made['high']:.1%}", str(made["n"])


def inside(made: dict[str, float | None], true: float) -> str:
    """Whether the interval holds the truth."""
    low, high = made["low"], made["high"]
    if low is None or high is None:
        return ""
    return "yes" if low - 1e-9 <= true <= high + 1e-9 else "no"


def stay(service: Service, screen: Screen) -> None:
    """Keep the service up for whoever is watching."""
    screen.say(
        f"\nThe service stays up: [bold]{service.address}[/bold] is the review page, with "
        f"{LEFT_FOR_YOU} answers left for you to judge. Ctrl-C ends it."
    )
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
