"""The transformers integration, with real pipelines on tiny models made here: nothing is fetched.

torch is large, so this file is for `make test-integrations ONLY=transformers`; how prompts and token
ids are read is in test_transformers_format.py, which needs neither.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, SECRET, library
from fidelity_otel.sdk import recorder, recording
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.testing import Recorded, record
from fidelity_otel_integrations import threads
from fidelity_otel_integrations import transformers as integration

if os.environ.get("FIDELITY_INTEGRATION") != "transformers":
    pytest.skip("torch: make test-integrations ONLY=transformers", allow_module_level=True)
os.environ["HF_HUB_OFFLINE"] = "1"
torch = library("torch")
transformers = library("transformers")
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers.pipelines import base  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # it warns in many places of its own

LINES = [QUESTION, "Goods can be returned for 30 days.", "user assistant system end order refund"]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant ' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(LINES, trainer)
    found = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<end>"
    )
    found.chat_template = TEMPLATE
    return found


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    torch.manual_seed(7)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        **ends,
    )
    found = transformers.LlamaForCausalLM(config).eval()
    found.generation_config = transformers.GenerationConfig(do_sample=False, **ends)
    return found


@pytest.fixture
def pipeline(model: Any, tokenizer: Any) -> Any:
    return transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with record() as found:
        integration.instrument()
        yield found
        integration.uninstrument()


CHAT = "chat LlamaForCausalLM"
TEXT = "text_completion LlamaForCausalLM"


def asking(text: str = QUESTION) -> list[dict[str, str]]:
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]


class Forced(transformers.LogitsProcessor):
    """Makes the model say certain tokens, one after the other, the rows of a batch apart."""

    def __init__(self, prompt: int, rows: list[list[int]]) -> None:
        self.prompt = prompt
        self.rows = rows

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        place = input_ids.shape[-1] - self.prompt
        for number, row in enumerate(self.rows):
            scores[number] = -float("inf")
            scores[number, row[min(place, len(row) - 1)]] = 0.0
        return scores


def test_a_chat(pipeline: Any, tokenizer: Any, recorded: Recorded) -> None:
    with fidelity.span("caller"):
        result = pipeline(asking(), max_new_tokens=6, do_sample=False)
    said = result[0]["generated_text"][-1]
    span = recorded.one(CHAT)
    assert span.kind == "CLIENT"
    assert span.parent_id == recorded.one("caller").id
    assert span["gen_ai.operation.name"] == "chat"
    assert span["gen_ai.provider.name"] == "huggingface"
    assert span["gen_ai.request.model"] == "LlamaForCausalLM"
    assert span["gen_ai.request.max_tokens"] == 6
    assert span["gen_ai.response.finish_reasons"] == ("length",)
    system, user = span.value("gen_ai.input.messages")
    assert (system["role"], user["role"]) == ("system", "user")
    assert "bring it back" in user["parts"][0]["content"]
    assert SECRET not in repr(span.attributes)
    (answer,) = span.value("gen_ai.output.messages")
    assert answer["parts"] == [{"type": "text", "content": said["content"]}]
    prompt = tokenizer.apply_chat_template(asking(), add_generation_prompt=True, tokenize=False)
    assert span["gen_ai.usage.input_tokens"] == len(tokenizer(prompt)["input_ids"])
    assert span["gen_ai.usage.output_tokens"] == 6
    assert span["fidelity.recovery"] == "first_try"
    assert span.losses == {"masked:gen_ai.input.messages"}


def test_a_text(pipeline: Any, recorded: Recorded) -> None:
    (result,) = pipeline("Goods can", max_new_tokens=4, do_sample=False)
    span = recorded.one(TEXT)
    assert span.value("gen_ai.input.messages")[0]["parts"][0]["content"] == "Goods can"
    (answer,) = span.value("gen_ai.output.messages")
    assert "Goods can" + answer["parts"][0]["content"] == result["generated_text"]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_batch_is_one_span_a_prompt(
    lazy: bool, pipeline: Any, tokenizer: Any, recorded: Recorded
) -> None:
    """Padding is no token, on neither side; what ends early has ended, what does not was cut."""
    texts = ["Goods can be returned", "refund"]
    lengths = [len(tokenizer(t)["input_ids"]) for t in texts]
    assert lengths[0] > lengths[1]
    order, end = tokenizer("order")["input_ids"][0], tokenizer.eos_token_id
    forced = Forced(max(lengths), [[order, end], [order]])
    given = (t for t in texts) if lazy else texts
    result = pipeline(given, batch_size=2, max_new_tokens=5, logits_processor=[forced])
    assert len(list(result)) == 2
    first, second = recorded.all(TEXT)
    for span, text in zip((first, second), texts, strict=True):
        assert span.value("gen_ai.input.messages")[0]["parts"][0]["content"] == text
    assert [s["gen_ai.usage.input_tokens"] for s in (first, second)] == lengths
    assert [s["gen_ai.usage.output_tokens"] for s in (first, second)] == [2, 5]
    assert first["gen_ai.response.finish_reasons"] == ("stop",)
    assert second["gen_ai.response.finish_reasons"] == ("length",)


def test_several_answers(pipeline: Any, recorded: Recorded) -> None:
    pipeline(asking(), max_new_tokens=3, num_return_sequences=2, do_sample=True, temperature=0.5)
    span = recorded.one(CHAT)
    assert len(span.value("gen_ai.output.messages")) == 2
    assert span["gen_ai.usage.output_tokens"] == 6
    assert span["gen_ai.request.choice.count"] == 2
    assert span["gen_ai.request.temperature"] == 0.5


def test_a_streamer(pipeline: Any, tokenizer: Any, recorded: Recorded) -> None:
    """The application reads its own streamer while the model runs in a thread of its own."""
    streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)
    threads.instrument()
    try:
        with fidelity.span("caller"):
            work = threading.Thread(
                target=pipeline,
                args=(asking(),),
                kwargs={"max_new_tokens": 6, "streamer": streamer, "do_sample": False},
            )
            work.start()
            text = "".join(streamer)
            work.join()
    finally:
        threads.uninstrument()
    span = recorded.one(CHAT)
    assert span.parent_id == recorded.one("caller").id
    assert span["fidelity.stream.chunks"] == 6
    assert span["fidelity.stream.complete"] is True
    assert span["gen_ai.request.stream"] is True
    assert span["gen_ai.response.time_to_first_chunk"] > 0
    assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == text


@pytest.mark.skipif(
    "tools" not in inspect.signature(transformers.TextGenerationPipeline.preprocess).parameters,
    reason="this release takes no tools",
)
def test_tools(pipeline: Any, recorded: Recorded) -> None:
    about = {"name": "order", "description": "look it up", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": about}]
    pipeline(asking(), tools=tools, max_new_tokens=2, do_sample=False)
    pipeline(asking(), max_new_tokens=2, do_sample=False)
    first, second = recorded.all(CHAT)
    assert first.value("gen_ai.tool.definitions") == tools
    assert "gen_ai.tool.definitions" not in second.attributes


class Tired(transformers.TextIteratorStreamer):
    """Nobody listens any more."""

    def put(self, value: Any) -> None:
        if getattr(self, "heard", 0) == 3:
            raise BrokenPipeError("gone")
        self.heard = getattr(self, "heard", 0) + 1
        super().put(value)


def test_a_stream_that_breaks_off(pipeline: Any, tokenizer: Any, recorded: Recorded) -> None:
    with pytest.raises(BrokenPipeError):
        pipeline(asking(), max_new_tokens=6, streamer=Tired(tokenizer), do_sample=False)
    span = recorded.one(CHAT)
    assert span.error
    assert span["fidelity.stream.complete"] is False
    assert "partial_stream" in span.losses


def test_an_error(pipeline: Any, recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="num_return_sequences"):
        pipeline(asking(), max_new_tokens=3, num_return_sequences=2, do_sample=False)
    span = recorded.one(CHAT)
    assert span["error.type"] == "ValueError"
    assert span["fidelity.recovery"] == "abandoned"


def test_a_batch_that_fails_fails_every_prompt(
    pipeline: Any, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(pipeline.model, "generate", broken)
    with pytest.raises(RuntimeError, match="memory"):
        pipeline(["one", "two"], batch_size=2)
    assert [span.error for span in recorded.all(TEXT)] == [True, True]


def test_double_instrument_and_originals(pipeline: Any) -> None:
    originals = {name: vars(base.Pipeline)[name] for name in ("__call__", "forward")}
    integration.instrument()
    integration.instrument()
    with record() as recorded:
        pipeline(asking(), max_new_tokens=2)
        assert recorded.names == [CHAT]
    integration.uninstrument()
    assert {name: vars(base.Pipeline)[name] for name in originals} == originals
    with record() as recorded:
        pipeline(asking(), max_new_tokens=2)
        assert recorded.names == []


@pytest.mark.parametrize(
    "options", [{}, {"mask": lambda _key, _text: None}, {"capture": False}], ids=str
)
def test_masked(options: dict[str, Any], pipeline: Any) -> None:
    integration.instrument()
    try:
        with record(**options) as recorded:
            pipeline(asking(), max_new_tokens=2)
            span = recorded.one(CHAT)
        assert SECRET not in repr(span.attributes)
        assert ("gen_ai.input.messages" in span.attributes) == ("capture" not in options)
        assert span["gen_ai.usage.output_tokens"] == 2
    finally:
        integration.uninstrument()


@pytest.mark.parametrize(
    "place",
    [
        (recorder.Recorder, "open"),
        (recording.Recording, "put_json"),
        (ModelCall, "input"),
        (ModelCall, "output"),
        (ModelCall, "chunk"),
    ],
)
def test_a_fault_of_ours_never_reaches_the_caller(
    place: tuple[Any, str],
    pipeline: Any,
    tokenizer: Any,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{place} is broken")

    monkeypatch.delenv("FIDELITY_STRICT")
    monkeypatch.setattr(*place, broken)
    streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True)
    result = pipeline(asking(), max_new_tokens=3, streamer=streamer, do_sample=False)
    assert result[0]["generated_text"][-1]["content"] == "".join(streamer)


def test_a_missing_method_costs_only_itself(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(base.Pipeline, "__call__")
    integration.instrument()
    try:
        assert type(vars(base.Pipeline)["forward"]).__name__ == "FunctionWrapper"
    finally:
        integration.uninstrument()


# --- other tasks ---------------------------------------------------------------------------------


def encoder(kind: str, tokenizer: Any, **more: Any) -> Any:
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )
    return getattr(transformers, kind)(config).eval()


def test_classes(tokenizer: Any, recorded: Recorded) -> None:
    labels = {0: "billing", 1: "returns"}
    model = encoder("BertForSequenceClassification", tokenizer, id2label=labels)
    found = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    (result,) = found("Can I bring it back?")
    span = recorded.one("text_classification BertForSequenceClassification")
    assert span.value("fidelity.input") == "Can I bring it back?"
    assert span.value("fidelity.output")["label"] == result["label"]
    asked = tokenizer("Can I bring it back?")["input_ids"]
    assert span["gen_ai.usage.input_tokens"] == len(asked)
    with pytest.raises(Exception):
        found(object())
    assert recorded.all(span.name)[1].error


def test_embeddings_keep_texts_and_no_vectors(tokenizer: Any, recorded: Recorded) -> None:
    model = encoder("BertModel", tokenizer)
    found = transformers.pipeline("feature-extraction", model=model, tokenizer=tokenizer)
    found(["one", "two"])
    span = recorded.one("embeddings BertModel")
    assert span.value("fidelity.input") == ["one", "two"]
    assert "fidelity.output" not in span.attributes
    assert span["gen_ai.usage.input_tokens"] > 0


def has(task: str) -> bool:
    try:
        base_registry = transformers.pipelines.PIPELINE_REGISTRY
        base_registry.check_task(task)
    except KeyError:
        return False
    return True


@pytest.mark.skipif(not has("summarization"), reason="this release has no such pipeline any more")
def test_a_summary(tokenizer: Any, recorded: Recorded) -> None:
    torch.manual_seed(7)
    config = transformers.BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,
    )
    model = transformers.BartForConditionalGeneration(config).eval()
    found = transformers.pipeline("summarization", model=model, tokenizer=tokenizer)
    (result,) = found(QUESTION, max_new_tokens=5, min_new_tokens=5, num_beams=1)
    span = recorded.one("text_completion BartForConditionalGeneration")
    assert "bring it back" in span.value("gen_ai.input.messages")[0]["parts"][0]["content"]
    (answer,) = span.value("gen_ai.output.messages")
    assert answer["parts"][0]["content"] == result["summary_text"]
    assert span["gen_ai.usage.output_tokens"] == 5
    assert span["gen_ai.usage.input_tokens"] == len(tokenizer(QUESTION)["input_ids"])


@pytest.mark.skipif(not has("question-answering"), reason="this release has no such pipeline")
def test_an_answer_from_a_text(tokenizer: Any, recorded: Recorded) -> None:
    model = encoder("BertForQuestionAnswering", tokenizer)
    found = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer)
    result = found(question="how long?", context="Goods can be returned for 30 days.")
    span = recorded.one("question_answering BertForQuestionAnswering")
    assert "how long?" in span["fidelity.input"]
    assert span.value("fidelity.output")["answer"] == result["answer"]
