"""The scripted reviewer judges from what a reviewer sees, and the help desk is as noisy as it says."""

from __future__ import annotations

import httpx
import pytest

RIGHT = "Carriage costs 4.90 euros per consignment."
ASKED = "how much does carriage cost per consignment"


@pytest.fixture(scope="module")
def reviewer(demo):
    key = demo("answer_key")
    return demo("reviewer").Reviewer(
        httpx.Client(), "scripted reviewer 1", key.read_questions(), key.read_keys()
    )


def item(answer, *, request=ASKED, documents=(), tools=()):
    return {
        "request": request,
        "answer": answer,
        "documents": list(documents),
        "tools": list(tools),
    }


def paper(text, superseded_by=""):
    return {"text": text, "superseded_by": superseded_by}


def test_reviewers_are_called_scripted(demo):
    assert all(name.startswith("scripted reviewer") for name in demo("reviewer").NAMES)


def test_right_and_wrong(reviewer):
    assert reviewer.judge(item(RIGHT)) == {"verdict": "right"}
    said = reviewer.judge(item("It is free.", documents=[paper("Collection is free.")]))
    assert said == {"verdict": "wrong", "mode": "wrong_document", "correction": RIGHT}


def test_a_question_that_is_not_in_the_key_is_not_guessed(reviewer):
    assert reviewer.judge(item(RIGHT, request="who are you"))["verdict"] == "cannot_tell"


@pytest.mark.parametrize(
    ("documents", "tools", "mode"),
    [
        ([paper("You pay 6.50.", "carriage"), paper(RIGHT)], [], "retrieval_stale"),
        ([paper(RIGHT)], [], "ungrounded"),
        ([paper("Other."), paper(RIGHT)], [], "ungrounded"),
        ([], [], "terminology_gap"),
        ([], [{"error": "429"}, {"result": [1]}], "tool_misread"),  # recovered, then misread
        ([], [{"result": [1]}, {"error": "timed out"}], "tool_error"),
        ([], [{"result": []}], "tool_error"),
    ],
)
def test_what_it_blames(reviewer, documents, tools, mode):
    assert reviewer.judge(item("No.", documents=documents, tools=tools))["mode"] == mode


def test_tickets_are_noisy_in_the_stated_way(demo):
    tickets = demo("tickets")
    for helped in (True, False):
        ends = [tickets.end_of(tickets.Ticket(f"T-{n}", 1000.0, helped), 7) for n in range(4000)]
        spoken = [end for end in ends if end is not None]
        assert abs(len(spoken) / len(ends) - tickets.SPEAKS) < 0.04
        good = sum(resolved for resolved, _ in spoken) / len(spoken)
        assert abs(good - tickets.RESOLVED[helped]) < 0.04
        assert all(at >= 1000.0 + 120 for _, at in spoken)
    one = tickets.Ticket("T-1", 0.0, True)
    assert tickets.end_of(one, 7) == tickets.end_of(one, 7)
