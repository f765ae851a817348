from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.heygen.captions import (
    LONGEST_CAPTION,
    PAUSE,
    Caption,
    captions,
    columns,
    fitted,
    one_line,
    seconds_to_speak,
)

LETTERS = st.sampled_from("abcdefgh  ..!?,,;:\n\t語。、한국 שלום ا،\u0301\u200d👍🏽–“”\x00\x0b\x85\ud800")  # noqa: RUF001
TEXTS = st.text() | st.text(LETTERS, max_size=400)


def texts(script: str) -> list[str]:
    return [caption.text for caption in captions(script)]


def test_a_short_script_is_one_caption() -> None:
    assert texts("  Hello,\tworld. ") == ["Hello, world."]


def test_a_sentence_is_a_caption_and_a_short_one_shares() -> None:
    first = "The first sentence is long enough to stand alone."
    second = "The second sentence is long enough as well, as anyone can see."
    assert [f"{first} Hi there.", second] == texts(f"{first} Hi there. {second}")


def test_a_long_sentence_breaks_after_a_clause() -> None:
    clause = "this clause of the sentence goes on for more than half of a caption"
    assert [f"{clause},", f"{clause};", f"{clause}."] == texts(f"{clause}, {clause}; {clause}.")


def test_a_long_clause_breaks_between_words() -> None:
    found = texts("word " * 40)
    assert {"word"} == {word for text in found for word in text.split()}
    assert sum(len(text.split()) for text in found) == 40


def test_chinese_breaks_without_spaces_and_no_line_begins_with_a_full_stop() -> None:
    script = "这是一个没有空格的句子" * 12 + "。"
    found = texts(script)
    assert script == "".join(found)
    assert all(columns(text) <= LONGEST_CAPTION for text in found)
    assert not any(text.startswith("。") for text in found)


def test_a_chinese_full_stop_ends_a_sentence() -> None:
    sentence = "在这段短片中我将向您介绍过去三个月里的变化。"
    assert [sentence, sentence] == texts(sentence + sentence)


def test_korean_keeps_its_spaces() -> None:
    script = " ".join(["안녕하세요 여러분"] * 10)
    assert script == " ".join(texts(script))


def test_an_accent_stays_with_its_letter() -> None:
    assert all(unicodedata.category(text[0]) != "Mn" for text in texts("e\u0301" * 200))


@pytest.mark.parametrize("script", ["", " ", "\x01\x02", "\n\n"])
def test_a_script_of_nothing_is_one_empty_caption(script: str) -> None:
    assert texts(script) == [""]


@given(TEXTS)
def test_nothing_is_lost_and_nothing_added_but_space(script: str) -> None:
    whole = "".join(one_line(line) for line in script.splitlines())
    assert whole.replace(" ", "") == "".join(texts(script)).replace(" ", "")


@given(st.lists(st.text("abcdef.,;!", min_size=1, max_size=44)))
def test_words_that_fit_stay_whole(words: list[str]) -> None:
    assert words == [word for text in texts(" ".join(words)) for word in text.split()]


@given(TEXTS)
def test_no_caption_and_no_line_is_too_long(script: str) -> None:
    for text in texts(script):
        assert columns(text) <= LONGEST_CAPTION
        assert all(columns(line) <= 44 for line in fitted(text, 44))
        assert text.replace(" ", "") == "".join(fitted(text, 44)).replace(" ", "")


@given(TEXTS)
def test_captions_follow_each_other_without_a_gap(script: str) -> None:
    time = 0.0
    for caption in captions(script):
        assert time == caption.start
        assert caption.start + 1 <= caption.start + caption.spoken < caption.end
        time = caption.end


@given(st.lists(st.sampled_from(["short", "words", "internationalization", "語語", "…"])), st.text(LETTERS))
def test_more_text_never_takes_less_time(words: list[str], more: str) -> None:
    text = " ".join(words)
    assert seconds_to_speak(text) <= seconds_to_speak(f"{text} {more}")


def test_time_is_told_by_the_words() -> None:
    assert seconds_to_speak("one two three four five six seven eight nine - ten") == 4.0
    assert seconds_to_speak("语" * 20) == 4.0
    assert (Caption("Hello.", 0.0, 1.0, 1.0 + PAUSE),) == captions("Hello.")
