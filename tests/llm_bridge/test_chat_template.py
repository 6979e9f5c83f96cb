"""Prompts: the same tokens whenever they are made, those of transformers, and one sentence where there are none."""

from __future__ import annotations

import dataclasses
import datetime
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers.utils.chat_template_utils as transformers_templates
from tokenizers import Tokenizer, processors

from bandit_rft.errors import InputError, ModelWarning
from llm_bridge import LanguageModel, load_model
from llm_bridge.models import chat_template
from tests.llm_bridge.checkpoints import EOS, save

LLAMA = """{{- bos_token }}{% if strftime_now is defined %}{% set date = strftime_now("%d %b %Y") %}{% endif %}
{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content']|trim %}{% set messages = messages[1:] %}
{%- else %}{% set system = "" %}{% endif %}
<|system|>Today Date: {{ date }} {{ strftime_now("%d %b %Y") }}
{{ system }}<|end|>
{% for message in messages %}
    {%- if loop.index0 > 99 %}{% break %}{% endif %}
<|{{ message.role }}|>
{{ message['content'] | trim + '<|end|>' }}
{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
MARKED = """{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{% set x = 1 %}{{ m.content }}
{% endgeneration %}{% else %}{{ m | tojson }}{{ x }}{% endif %}{% endfor %}{{ tools is none }}{{ namespace(a=1).a }}"""
# What Gemma 3's and Qwen3's published templates do, tools and images left out.
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}{%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}{%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}{{ message['content'] | trim }}{%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{'<start_of_turn>model\n'}}{%- endif -%}"""
QWEN3 = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string %}
        {%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
        {%- if loop.index0 > ns.last_query_index %}{%- set content = '<think>\n\n</think>\n\n' + content %}{%- endif %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""
CONVERSATION = [
    {"role": "system", "content": " be brief "},
    {"role": "user", "content": "2 < 3 & é ?"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "5+5="},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture
def model(folder: Path) -> LanguageModel:
    return load_model(str(folder))


def clock(monkeypatch: pytest.MonkeyPatch, *moments: datetime.datetime) -> None:
    """Every clock that a template could read shows these moments in turn, then stands still at the last."""
    left = list(moments)

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(transformers_templates, "datetime", Clock)
    monkeypatch.setattr(chat_template.datetime, "datetime", Clock)


@pytest.mark.parametrize("template", [LLAMA, MARKED, GEMMA, QWEN3])
@pytest.mark.parametrize("prompt", ["what is 5+5?", CONVERSATION], ids=["text", "messages"])
def test_the_text_is_that_of_transformers(
    model: LanguageModel, template: str, prompt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an environment that trims, escapes, scopes or defines other than transformers' own."""
    clock(monkeypatch, datetime.datetime(2026, 11, 28, 12))
    model = dataclasses.replace(model, prompt_date=datetime.datetime(2026, 11, 28, 12))
    model.tokenizer.chat_template = template
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    text = model.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert model.tokenizer.decode(model.encode(prompt)) == text


def test_qwen3_thinks_unless_its_template_is_changed_and_gemma_takes_turns(model: LanguageModel) -> None:
    """The default of both templates: catches a variable that is defined here and not in transformers, and a jinja2
    error as a traceback where Gemma's template refuses messages."""
    model.tokenizer.chat_template = QWEN3
    assert model.tokenizer.decode(model.encode("hi")) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    model.tokenizer.chat_template = GEMMA
    with pytest.raises(InputError, match=r"refuses the prompt \(Conversation roles must alternate"):
        model.encode([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_is_switched_as_transformers_does(folder: Path, model: LanguageModel, thinking: bool) -> None:
    """And a model whose template has no such switch refuses it, where it was passed over without a word."""
    model.tokenizer.chat_template = QWEN3
    text = model.tokenizer.apply_chat_template(
        CONVERSATION, add_generation_prompt=True, tokenize=False, enable_thinking=thinking
    )
    assert ("<think>\n\n</think>" in text.rpartition("assistant")[2]) is not thinking
    switched = dataclasses.replace(model, thinking=thinking)
    assert model.tokenizer.decode(switched.encode(CONVERSATION)) == text
    with pytest.raises(InputError, match="has no chat template that reads enable_thinking: leave thinking out"):
        load_model(str(folder), thinking=thinking)
    with pytest.raises(InputError, match="thinking is 'no': give True, False or None"):
        load_model(str(folder), thinking="no")  # a text is true


def test_a_prompt_is_the_same_after_midnight(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a date read anew at each rendering: a response would be scored after another prompt than it was sampled
    after. The clock passes midnight between the model's load, the encodings, and two readings of one template."""
    before, after = datetime.datetime(2026, 11, 28, 23, 59, 59, 999), datetime.datetime(2026, 11, 29)
    clock(monkeypatch, before, after)
    model = load_model(str(folder))
    model.tokenizer.chat_template = LLAMA
    first = model.encode("hi")
    assert "Today Date: 28 Nov 2026 28 Nov 2026" in model.tokenizer.decode(first)
    np.testing.assert_array_equal(model.encode("hi"), first)
    assert model.prompt_date == datetime.datetime(2026, 11, 28, 23, 59, 59)


@pytest.mark.parametrize("given", ["2025-07-04", datetime.date(2025, 7, 4), datetime.datetime(2025, 7, 4, 3)])
def test_the_date_can_be_given(folder: Path, given: Any) -> None:
    model = load_model(str(folder), prompt_date=given)
    model.tokenizer.chat_template = "{{ strftime_now('%d.%m.%y') }}{{ messages[0].content }}"
    assert model.tokenizer.decode(model.encode("hi")) == "04.07.25hi"


def test_no_date_is_one_sentence(folder: Path) -> None:
    with pytest.raises(InputError, match="'soon': give one such as 2026-11-28"):
        load_model(str(folder), prompt_date="soon")


def test_what_a_template_draws_at_random_is_drawn_alike(model: LanguageModel) -> None:
    """Catches a prompt that differs between sampling and scoring, and a draw that disturbs the caller's own."""
    model.tokenizer.chat_template = "{{ range(10**4) | random }} {{ lipsum(n=1) }} {{ messages[0].content }}"
    random.seed(5)
    want = random.random()
    random.seed(5)
    first = model.encode("hi")
    assert random.random() == want
    np.testing.assert_array_equal(model.encode("hi"), first)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('System role not supported') }}", r"refuses the prompt \(System role not supported\)"),
        ("{% if messages %}", "is none .* line 1"),
        ("{{ messages | nosuchfilter }}", "is none .*nosuchfilter"),
        ("{% nosuchtag %}", "is none .*nosuchtag"),
        ("{{ messages[0].tools.name }}", "refuses the prompt .*tools"),
        ("{{ nothing.at.all }}", "refuses the prompt .*nothing"),
        ("{{ 1 / 0 }}", "refuses the prompt .*division"),
        ("{{ messages[0].content + 1 }}", "refuses the prompt"),
        ("{{ ''.__class__.__mro__ }}", "refuses the prompt"),
        ("{{ range(10**9) }}", "refuses the prompt"),
        ("{{ messages.append(1) }}", "refuses the prompt"),
        ("{{ strftime_now(5) }}", "refuses the prompt"),
        ("{{ raise_exception() }}", "refuses the prompt"),
        ("{{ raise_exception('') }}", "refuses the prompt"),
        ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "refuses the prompt"),
        (5, "refuses the prompt|is none"),
        ({"tool_use": "x", "rag": "y"}, r"has the chat templates rag, tool_use and none is called 'default'"),
        ("{# silent #}", "no tokens"),
    ],
)
def test_whatever_a_template_raises_is_one_sentence(model: LanguageModel, template: Any, words: str) -> None:
    """Catches jinja2's and Python's own errors as tracebacks; the sentence names the model and what was said."""
    model = dataclasses.replace(model, name="some-model")
    model.tokenizer.chat_template = template
    with pytest.raises(InputError, match=words) as caught:
        model.encode("hi")
    assert "\n" not in str(caught.value)
    assert "some-model" in str(caught.value) or words == "no tokens"


@pytest.mark.parametrize("template", [None, "{{ messages[-1].content }}"], ids=["none", "template"])
@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (None, "of type NoneType"),
        (5, "of type int"),
        (b"hi", "of type bytes"),
        ({"role": "user", "content": "hi"}, "of type dict"),
        ([], "is empty"),
        ("", "is empty"),
        ([{"role": "user", "content": " \n"}], "is empty"),
        (["hi"], "Message 1 of the prompt is of type str"),
        ([CONVERSATION[0], ["user", "hi"]], "Message 2 of the prompt is of type list"),
        ([{"content": "hi"}], "Message 1 of the prompt has no text of 'role'"),
        ([{"role": "user"}], "has no text of 'content'"),
        ([{"role": "user", "content": None}], "has no text of 'content'"),
        ([{"role": "user", "content": 5}], "as content a value of type int"),
        ([{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "as content a value of type list"),
        ([{"role": 1, "content": "hi"}], "as role a value of type int"),
        ([{"role": "user", "content": "hi", "extra": np.ones(2)}], "more than plain values"),
        ("\ud800", "refuses the prompt"),
    ],
)
def test_a_malformed_prompt_is_one_sentence(
    model: LanguageModel, template: str | None, prompt: Any, words: str
) -> None:
    model.tokenizer.chat_template = template
    with pytest.raises(InputError, match=words) as caught:
        model.encode(prompt)
    assert "\n" not in str(caught.value)


def test_messages_of_a_parquet_row_are_taken(model: LanguageModel) -> None:
    want = model.encode(CONVERSATION)
    np.testing.assert_array_equal(model.encode(np.asarray(CONVERSATION, object)), want)
    np.testing.assert_array_equal(model.encode(tuple(CONVERSATION)), want)


def test_the_default_of_several_templates_is_used(model: LanguageModel) -> None:
    model.tokenizer.chat_template = {"tool_use": "tools", "default": "<{{ messages[0].content }}>"}
    assert model.tokenizer.decode(model.encode("hi")) == "<hi>"


def test_a_token_that_the_model_does_not_have_is_refused(model: LanguageModel) -> None:
    """Catches a row of the embedding that is clamped in silence."""
    model.tokenizer.add_tokens([f"<new{i}>" for i in range(60)])
    with pytest.raises(InputError, match=r"has the token 316 and .* has 300"):
        model.encode("a <new59>")


def test_a_response_ends_at_the_tokenizers_end_too(tmp_path: Path) -> None:
    """Catches ends named by one file alone; a model without any is told of, once loaded."""
    folder = save(tmp_path, "llama", eos_token_id=[7, 9])
    assert load_model(str(folder)).config.eos_ids == (7, 9, EOS)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"eos_token": "<end>"', '"eos_token": null'))
    assert load_model(str(folder)).config.eos_ids == (7, 9)
    bare = save(tmp_path / "bare", "llama", eos_token_id=None)
    (bare / "tokenizer_config.json").write_text(config.read_text())
    with pytest.warns(ModelWarning, match="names no end-of-text token"):
        assert load_model(str(bare)).config.eos_ids == ()


def test_a_tokenizer_that_ends_texts_does_not_end_a_prompt(tmp_path: Path) -> None:
    """A tokenizer saved in training, which puts the end-of-text token behind every text: the model was asked to go on
    after the end. Catches a begin-of-text token, here the same one as with OLMo, that goes with it."""
    folder = save(tmp_path, "llama")
    plain = load_model(str(folder)).encode("5+5=").tolist()
    for around, before in (("$A <end>", []), ("<end> $A", [EOS]), ("<end> $A <end>", [EOS])):
        backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
        backend.post_processor = processors.TemplateProcessing(single=around, special_tokens=[("<end>", EOS)])
        backend.save(str(folder / "tokenizer.json"))
        model = load_model(str(folder))
        assert len(model.tokenizer.encode("5+5=")) == len(plain) + around.count("<")
        assert model.encode("5+5=").tolist() == [*before, *plain]
        assert model.encode("5+5=<end>").tolist() == [*before, *plain, EOS]  # the user's own
