"""How prompts and token ids of transformers' pipelines are read; arrays stand in for tensors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fidelity_otel_integrations import transformers_format as form

END, PAD = 2, 0


def pipeline(**settings: Any) -> Any:
    config = SimpleNamespace(**{"eos_token_id": END, "pad_token_id": PAD, **settings})
    return SimpleNamespace(model=SimpleNamespace(name_or_path=""), generation_config=config)


def answers(rows: Any, asked: dict[str, Any] | None = None, **settings: Any) -> list[form.Answer]:
    outputs = {"generated_sequence": np.array(rows), "input_ids": np.zeros((len(rows), 3), int)}
    return form.answers(pipeline(**settings), asked or {}, outputs)


def test_padding_of_a_batch_is_no_token_of_a_prompt() -> None:
    inputs = {
        "prompt_text": ["a longer one", "short"],
        "input_ids": np.array([[5, 6, 7], [PAD, PAD, 5]]),
        "attention_mask": np.array([[1, 1, 1], [0, 0, 1]]),
    }
    found = form.prompts(inputs)
    assert [(p.given, p.tokens, p.operation) for p in found] == [
        ("a longer one", 3, "text_completion"),
        ("short", 1, "text_completion"),
    ]


def test_a_prompt_of_its_own_and_what_has_none() -> None:
    chat = SimpleNamespace(messages=[{"role": "user", "content": "hi"}])
    (found,) = form.prompts({"text": chat, "input_ids": np.array([[5, 6]])})
    assert (found.given, found.tokens, found.operation) == (chat, 2, "chat")
    assert form.prompts({"input_ids": np.array([[5, 6]])}) == []
    assert form.prompts({"prompt_text": "", "input_ids": np.zeros((1, 0), int)})[0].tokens == 0


@pytest.mark.parametrize("padding", [PAD, END])  # many models pad with their end mark
def test_what_ends_before_the_longest_is_cut_at_its_end(padding: int) -> None:
    rows = [[[9, 9, 9, 5, END, padding, padding]], [[9, 9, 9, 5, 6, 7, 8]]]
    first, second = answers(rows, {"max_new_tokens": 4}, pad_token_id=padding)
    assert (first.ids, first.reasons, first.tokens) == ([[5, END]], ["stop"], 2)
    assert (second.ids, second.reasons, second.tokens) == ([[5, 6, 7, 8]], ["length"], 4)


def test_what_a_stop_text_ended_is_not_cut() -> None:
    (found,) = answers([[[9, 9, 9, 5, 6, PAD]]], {"max_new_tokens": 8})
    assert (found.ids, found.reasons) == ([[5, 6]], ["stop"])


@pytest.mark.parametrize(
    ("asked", "settings", "reason"),
    [
        ({"max_new_tokens": 2}, {"max_new_tokens": 9}, "length"),
        ({}, {"max_new_tokens": 2}, "length"),
        ({}, {"max_length": 5}, "length"),
        ({}, {"max_length": 9}, "stop"),
        ({"generation_config": SimpleNamespace(max_new_tokens=9)}, {"max_new_tokens": 2}, "stop"),
        ({"eos_token_id": [6]}, {"max_new_tokens": 2}, "stop"),
        ({}, {}, "length"),
    ],
)
def test_the_limit_that_holds(asked: Any, settings: dict[str, Any], reason: str) -> None:
    (found,) = answers([[[9, 9, 9, 5, 6]]], asked, **settings)
    assert found.reasons == [reason]


def test_several_answers_to_one_prompt_and_rows_without_that_level() -> None:
    (found,) = answers([[[9, 9, 9, 5, END], [9, 9, 9, 6, 7]]], {"max_new_tokens": 2})
    assert (found.ids, found.reasons) == ([[5, END], [6, 7]], ["stop", "length"])
    (found,) = answers([[9, 9, 9, 5, END]])
    assert found.ids == [[5, END]]


def test_models_that_write_anew_begin_with_a_mark() -> None:
    outputs = {"output_ids": np.array([[[END, 5, 6, END, PAD]]])}
    (found,) = form.answers(pipeline(), {}, outputs)
    assert found.ids == [[5, 6, END]]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("org/small-model", "org/small-model"),
        ("/srv/models/ours-7b/", "ours-7b"),
        ("./ours-7b", "ours-7b"),
        ("", "SimpleNamespace"),
    ],
)
def test_a_model_is_named_without_the_folders_it_lies_in(path: str, name: str) -> None:
    assert form.model_name(SimpleNamespace(model=SimpleNamespace(name_or_path=path))) == name
