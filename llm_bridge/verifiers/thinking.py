"""The part of a response that answers: what stands behind its thinking, which is between <think> and </think>.

    said("<think>So 41.</think> It is 42.")  is  " It is 42."
    said("<think>So 41, or")                 is  "": it was cut off while it thought

A prompt may have opened the thinking, so that the response has </think> alone. Where it has neither tag, all of it
answers: a response that was cut off then cannot be told from one that did not think.
"""

from __future__ import annotations

_OPENED, _CLOSED = "<think>", "</think>"


def said(text: str) -> str:
    """What stands behind the last </think>; nothing where a <think> is not closed; all of a text with neither."""
    if "think>" not in text:
        return text
    answer = text.rpartition(_CLOSED)[2]
    return "" if _OPENED in answer else answer
