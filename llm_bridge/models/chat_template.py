"""A conversation as the text that a checkpoint's chat template makes of it: the same text every time it is made.

transformers renders with the clock of the moment (Llama 3.x puts today's date into its system prompt) and leaves no way
to give another, so a response that was sampled before midnight would be scored after another prompt. Here the moment
is an argument, and what a template draws at random is drawn alike each time. Whatever else a template sees is as in
transformers (`utils/chat_template_utils.py`): the sandbox, its options, `raise_exception`, `tojson`, loop controls and
the `generation` tag.

Templates are a stranger's code: they run in jinja2's sandbox and see plain JSON values only.
"""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from bandit_rft.errors import InputError, reason

if TYPE_CHECKING:
    import jinja2

THINKING = "enable_thinking"  # the variable by which templates of Qwen3 and others switch it
_MESSAGE = '{"role": …, "content": …}'


def moment(given: str | datetime.date | None = None) -> datetime.datetime:
    """The moment that a template's clock shows: of a date or ISO 8601 text; None: now, local time, to the second.

    Raises:
        InputError: a text that is no date.
    """
    if given is None:
        return datetime.datetime.now().replace(microsecond=0)
    if isinstance(given, datetime.datetime):
        return given
    if isinstance(given, datetime.date):
        return datetime.datetime.combine(given, datetime.time())
    try:
        return datetime.datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise InputError(
            f"The date of the prompts is {given!r}: give one such as 2026-11-28, or 2026-11-28T14:03 with a time."
        ) from None


def messages_of(prompt: Any) -> list[dict[str, Any]]:
    """The messages of a prompt, plain JSON values: a text is one message of the user's.

    Raises:
        InputError: neither a text nor messages that each have a role and a content of text, or nothing but blanks.
    """
    if isinstance(prompt, np.ndarray):  # as parquet rows have them
        prompt = prompt.tolist()
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(prompt, bytes | bytearray) or not isinstance(prompt, Sequence):
        raise InputError(
            f"The prompt is of type {type(prompt).__name__}: give a text, or a list of messages {_MESSAGE}."
        )
    for place, message in enumerate(prompt, 1):
        if not isinstance(message, Mapping):
            raise InputError(f"Message {place} of the prompt is of type {type(message).__name__}: give {_MESSAGE}.")
        for field in ("role", "content"):
            value = message.get(field)
            if not isinstance(value, str):
                what = "no" if value is None else f"as {field} a value of type {type(value).__name__} and no"
                raise InputError(f"Message {place} of the prompt has {what} text of '{field}': give {_MESSAGE}.")
    if not any(message["content"].strip() for message in prompt):
        raise InputError("The prompt is empty: give at least one character or one message.")
    try:
        # A template must not meet objects that have methods of their own (an array writes files).
        return [
            {name: value for name, value in json.loads(json.dumps(dict(message))).items() if value is not None}
            for message in prompt
        ]
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The prompt's messages hold more than plain values ({reason(error)}): give texts.") from None


def render(
    template: Any,
    messages: Sequence[Mapping[str, Any]],
    *,
    name: str,
    special_tokens: Mapping[str, Any],
    now: datetime.datetime,
    thinking: bool | None = None,
) -> str:
    """The conversation as text, with the prompt for the assistant's turn at its end.

    Args:
        template: of the tokenizer: jinja2 text, or several of them by name.
        messages: as `messages_of` gives them.
        name: the model's, for error messages.
        special_tokens: texts that the template may write, by name ("bos_token").
        now: what `strftime_now` shows.
        thinking: the template's variable `enable_thinking`; None: not defined, as in transformers.

    Raises:
        InputError: several templates and no default, one that is no template, or one that refuses the messages.
    """
    template = _default(template, name)
    import jinja2

    drawn = random.getstate()
    try:
        random.seed(0)
        return _compiled(template).render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=True,
            strftime_now=now.strftime,
            **({} if thinking is None else {THINKING: thinking}),
            **{key: str(text) for key, text in special_tokens.items()},
        )
    except (jinja2.TemplateSyntaxError, jinja2.TemplateAssertionError) as error:
        raise InputError(
            f"The chat template of {name} is none ({reason(error)}, line {error.lineno}): correct it in its tokenizer "
            "files."
        ) from None
    except Exception as error:  # whatever a stranger's template comes to, in our filters and its own calls
        raise InputError(
            f"The chat template of {name} refuses the prompt ({reason(error)}): give other messages, or a model whose "
            "template takes these."
        ) from None
    finally:
        random.setstate(drawn)


def require_thinking(template: Any, thinking: bool | None, name: str) -> None:
    """Raises InputError where thinking is to be switched and the template of the model of this name has no switch, or
    where it is neither True, False nor None."""
    if not isinstance(thinking, bool | None):
        raise InputError(f"thinking is {thinking!r}: give True, False or None.")
    if thinking is not None and THINKING not in str(_default(template, name) if template else ""):
        raise InputError(
            f"thinking is given, and {name} has no chat template that reads {THINKING}: leave thinking out."
        )


def _default(template: Any, name: str) -> Any:
    if not isinstance(template, Mapping):
        return template
    if "default" not in template:
        raise InputError(
            f"{name} has the chat templates {', '.join(sorted(map(str, template)))} and none is called 'default': "
            "name one so in its tokenizer files."
        )
    return template["default"]


@lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    import jinja2
    from jinja2 import ext, nodes, sandbox

    class Generation(ext.Extension):
        """{% generation %} … {% endgeneration %} marks the assistant's words for training; its body is text as is."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Any) -> nodes.Node:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    def raise_exception(message: str) -> NoReturn:
        raise jinja2.TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **settings: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **settings)  # jinja2's own escapes HTML

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(template)
