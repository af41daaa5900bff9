"""Tokenizers as people save them: what belongs to a call is not used, and an answer is what follows its prompt."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.encoding import Encoder
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import Probe, load_probes
from pythia_geometry.shipped import data_folder
from tests.hub.checkpoints import TOKENIZER

ROWS = [
    ("The cat sat on the", " mat", (" dog", " red mat")),
    ("Paris is in", " France", (" Spain",)),
    ("One two three", " four", (" nine",)),
    ("The sky is", " blue", (" red",)),
]
TEXTS = [p + a for p, t, d in ROWS for a in (t, *d)] * 50


def probe(*rows: tuple[str, str, tuple[str, ...]]) -> Probe:
    return Probe("mine", "task", tuple(Item(f"i{k}", "task", *row) for k, row in enumerate(rows or ROWS)))


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def sentencepiece(kind: str) -> Tokenizer:
    """A space before every text, in the three ways in which converters of Llama's tokenizer have written it."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=220, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    if kind == "prepend":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = None
    elif kind == "first":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return tokenizer


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


MADE = {
    "byte level": byte_level,
    "prepend": lambda: sentencepiece("prepend"),
    "first": lambda: sentencepiece("first"),
    "always": lambda: sentencepiece("always"),
    "unigram": unigram,
}


def saved(tokenizer: Tokenizer, folder: Path, **entries: Any) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(tokenizer.to_str()), **entries}))
    return path


@pytest.mark.parametrize("kind", MADE)
def test_prompt_and_answer_are_the_ids_of_the_whole_text(tmp_path: Path, kind: str) -> None:
    path = saved(MADE[kind](), tmp_path)
    real = PreTrainedTokenizerFast(tokenizer_file=str(path))
    encoded = Encoder(path).encode(probe(), 10_000)
    for (prompt, target, distractors), item in zip(ROWS, encoded.items, strict=True):
        assert list(item.prompt) == real(prompt, add_special_tokens=False)["input_ids"]
        for answer, ids in zip((target, *distractors), (item.target, *item.distractors), strict=True):
            assert [*item.prompt, *ids] == real(prompt + answer, add_special_tokens=False)["input_ids"]
    assert encoded.spaces_matter


FIXED = {
    "strategy": {"Fixed": 64},
    "direction": "Left",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "!",
}
CUT = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}


@pytest.mark.parametrize(
    ("entries", "noted"),
    [
        ({"padding": FIXED}, "padding"),
        ({"padding": {**FIXED, "direction": "Right"}}, "padding"),
        ({"padding": {**FIXED, "strategy": "BatchLongest", "pad_to_multiple_of": 8}}, "padding"),
        ({"truncation": CUT}, "truncation"),
        ({"truncation": {**CUT, "direction": "Left"}}, "truncation"),
        ({"truncation": {**CUT, "stride": 2}}, "truncation"),
        ({"truncation": {**CUT, "stride": 9}}, "truncation"),
        ({"truncation": {**CUT, "max_length": 0, "stride": 5}}, "truncation"),
        ({"truncation": CUT, "padding": FIXED}, "padding and truncation"),
    ],
)
@pytest.mark.parametrize("kind", ["byte level", "prepend"])
def test_what_belongs_to_a_call_is_not_used_and_said(
    tmp_path: Path, kind: str, entries: dict[str, Any], noted: str
) -> None:
    plain = Encoder(saved(MADE[kind](), tmp_path))
    assert plain.notes == ()
    stored = Encoder(saved(MADE[kind](), tmp_path, **entries))
    assert stored.encode(probe(), 10_000).items == plain.encode(probe(), 10_000).items
    assert stored.notes == (f"tokenizer.json stores {noted}, not used here",)


def test_stored_dropout_draws_no_random_tokens(tmp_path: Path) -> None:
    plain = Encoder(saved(byte_level(), tmp_path))
    model = json.loads(byte_level().to_str())["model"]
    stored = Encoder(saved(byte_level(), tmp_path, model={**model, "dropout": 0.9}))
    assert stored.encode(probe(), 10_000).items == plain.encode(probe(), 10_000).items
    assert "dropout" in stored.notes[0]


# -- the guard of assumption A2 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        (("The sky is ", "blue", ()), "blue"),
        (("The sky is", " blue", (" red",)), None),
        (("The sk", "y", ()), "y"),
        (("One two thr", "ee", ()), "ee"),
    ],
)
def test_an_answer_that_changes_its_prompts_tokens_is_refused(
    tmp_path: Path, row: tuple[str, str, tuple[str, ...]], answer: str | None
) -> None:
    encoder = Encoder(saved(byte_level(), tmp_path))
    if answer is None:
        encoder.encode(probe(*ROWS, row), 10_000)
        return
    with pytest.raises(PythiaGeometryError) as caught:
        encoder.encode(probe(*ROWS, row), 10_000)
    assert str(caught.value).startswith("Probe mine/task, row 'i4': this suite's tokenizer reads the prompt's end as")
    assert repr(answer) in str(caught.value) and "belongs at the beginning of the answer" in str(caught.value)


def test_a_distractor_that_changes_its_prompts_tokens_is_refused(tmp_path: Path) -> None:
    encoder = Encoder(saved(byte_level(), tmp_path))
    with pytest.raises(PythiaGeometryError, match="row 'i0'.*once 'ee' follows"):
        encoder.encode(probe(("One two thr", " four", ("ee",))), 10_000)


def test_the_offline_suites_answers_need_no_space() -> None:
    file = data_folder() / "suites" / "offline" / "tokenizer.json"
    encoder, whole = Encoder(file), Tokenizer.from_file(str(file))
    for one in load_probes(["algorithmic"]):
        encoded = encoder.encode(one, 32, 64)
        assert not encoded.spaces_matter
        for item, ids in zip(one.items, encoded.items, strict=True):
            assert [*ids.prompt, *ids.target] == whole.encode(f"{item.prompt} {item.target}").ids


@pytest.mark.skipif(not TOKENIZER.is_file(), reason="no copy of Pythia's tokenizer here")
def test_pythias_ids_are_what_encoding_apart_gave() -> None:
    encoder, plain = Encoder(TOKENIZER), Tokenizer.from_file(str(TOKENIZER))
    for one in load_probes(["all"]):
        for item, ids in zip(one.items, encoder.encode(one, 50304, 2048).items, strict=True):
            apart = [tuple(plain.encode(a, add_special_tokens=False).ids) for a in (item.target, *item.distractors)]
            assert [ids.target, *ids.distractors] == apart


# -- bounds --------------------------------------------------------------------------------------------


def test_a_text_far_longer_than_the_context_is_refused_before_it_is_tokenised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(saved(byte_level(), tmp_path))
    asked: list[str] = []

    class Watched:
        def __init__(self, real: Any) -> None:
            self.real = real

        def encode(self, text: str, **rest: Any) -> Any:
            asked.append(text)
            return self.real.encode(text, **rest)

    monkeypatch.setattr(encoder, "_tokenizer", Watched(encoder._tokenizer))
    with pytest.raises(PythiaGeometryError, match=r"row 'i0' has a text of 900,000 characters; .* at most 128 tokens"):
        encoder.encode(probe(("word " * 180_000, " x", ())), 10_000, 128)
    assert max(map(len, asked), default=0) < 10_000


@pytest.mark.slow
def test_no_spoiled_tokenizer_ends_in_another_exception(tmp_path: Path) -> None:
    rng = Random(0)
    texts = [MADE[kind]().to_str() for kind in MADE]
    words = [
        '"Fixed"',
        '"max_length"',
        "null",
        "1e999",
        "-1",
        "{}",
        "[]",
        '"Metaspace"',
        '"BPE"',
        '"\\ud800"',
        "0",
        "true",
    ]
    encoded = 0
    for _ in range(600):
        text = rng.choice(texts)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text))
            text = (
                text[:at]
                + rng.choice([rng.choice(words), chr(rng.randrange(1, 300)), ""])
                + text[at + rng.randint(0, 9) :]
            )
        (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8", errors="replace")
        try:
            Encoder(tmp_path / "tokenizer.json").encode(probe(), 10_000, 128)
            encoded += 1
        except PythiaGeometryError:
            pass
    assert encoded < 600
