"""Text to token ids: no extra tokens, unknown words refused, controls that move all but the last token."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.encoding import EncodedItem, EncodedProbe, Encoder, shuffle_prompt
from pythia_geometry.extraction.probes.probe_files import Item
from pythia_geometry.extraction.probes.probes import SHUFFLED, Probe, load_probes
from pythia_geometry.shipped import data_folder
from tests.hub.checkpoints import TOKENIZER

WORDS = ["<unk>", "<bos>", *"abcdefghijklmnopqrstuvwxyz"]
NEEDS_PYTHIA = pytest.mark.skipif(not TOKENIZER.is_file(), reason="no copy of Pythia's tokenizer here")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """One token a letter; would begin every text with <bos> if it were let."""
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    assert tokenizer.encode("a").ids == [1, 2]
    return Encoder(path)


def probe_of(*rows: tuple[str, str, tuple[str, ...]], shuffled: bool = False) -> Probe:
    items = tuple(Item(f"id{i}", "task", *row) for i, row in enumerate(rows))
    return Probe("set" + (SHUFFLED if shuffled else ""), "task", items)


def test_prompt_and_answers_are_encoded_apart_and_without_bos(encoder: Encoder) -> None:
    probe = probe_of(("a b c", "d e", ("f", "g h i")), ("c", "a", ()))
    assert encoder.encode(probe, len(WORDS)).items == (
        EncodedItem((2, 3, 4), (5, 6), ((7,), (8, 9, 10))),
        EncodedItem((4,), (2,), ()),
    )


def test_share_of_single_tokens_and_number_of_tokens(encoder: Encoder) -> None:
    encoded = encoder.encode(probe_of(("a b c", "d e", ("f", "g h i")), ("c", "a", ()), ("a b", "c", ("d e",))), 99)
    assert encoded.single_token_share == pytest.approx(2 / 3)
    assert encoded.n_tokens == (4 + 5) + 1 + (2 + 3)
    assert isinstance(encoded, EncodedProbe)


@pytest.mark.parametrize("row", [("a é", "b", ()), ("a", "Q", ()), ("a", "b", ("c", "zz"))])
def test_word_that_the_tokenizer_does_not_know_is_refused(
    encoder: Encoder, row: tuple[str, str, tuple[str, ...]]
) -> None:
    unknown = next(text for text in (row[0], row[1], *row[2]) if any(word not in WORDS for word in text.split()))
    with pytest.raises(PythiaGeometryError) as caught:
        encoder.encode(probe_of(("a", "b", ()), row), len(WORDS))
    word = next(word for word in unknown.split() if word not in WORDS)
    expected = f"Probe set/task does not fit this suite: its tokenizer does not know {word!r} in {unknown!r}"
    assert str(caught.value).startswith(expected)
    assert "--probes algorithmic" in str(caught.value)


def test_token_that_the_model_has_no_row_for_is_refused(encoder: Encoder) -> None:
    probe = probe_of(("a", "z", ()))
    assert encoder.encode(probe, len(WORDS)).items[0].target == (27,)
    with pytest.raises(PythiaGeometryError, match="does not know 'z'"):
        encoder.encode(probe, len(WORDS) - 1)


def test_text_without_a_token_is_refused(encoder: Encoder) -> None:
    with pytest.raises(
        PythiaGeometryError, match="Probe set/task, row 'id0': ' ' has no token under this suite's tokenizer"
    ):
        encoder.encode(probe_of(("a", " ", ())), len(WORDS))


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json", '{"model": {"type": "NoSuch"}}'])
def test_file_that_is_no_tokenizer_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(PythiaGeometryError, match=r"tokenizer\.json is not a tokenizer\.json"):
        Encoder(tmp_path / "tokenizer.json")


def test_language_probe_does_not_fit_the_offline_suite() -> None:
    encoder = Encoder(data_folder() / "suites" / "offline" / "tokenizer.json")
    with pytest.raises(PythiaGeometryError, match="algorithmic"):
        encoder.encode(load_probes(["syntax/agreement_0"])[0], 32)


# -- shuffled controls ---------------------------------------------------------------------------------


def test_control_keeps_the_last_token_and_the_multiset(encoder: Encoder) -> None:
    rows = (("a b c d e f g h", "x y z", ("q r s",)), ("a a b", "c", ()), ("a b", "c", ()), ("a", "b", ()))
    plain = encoder.encode(probe_of(*rows), len(WORDS))
    control = encoder.encode(probe_of(*rows, shuffled=True), len(WORDS))
    for before, after in zip(plain.items, control.items, strict=True):
        assert after.prompt[-1] == before.prompt[-1]
        assert sorted(after.prompt) == sorted(before.prompt)
        assert (after.target, after.distractors) == (before.target, before.distractors)
    assert control.items[0].prompt != plain.items[0].prompt
    assert control == encoder.encode(probe_of(*rows, shuffled=True), len(WORDS))


def test_order_is_fixed_by_the_items_id_for_ever() -> None:
    prompt = (1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert shuffle_prompt(prompt, "syntax/agreement_0/000") == (6, 5, 4, 3, 8, 2, 1, 7, 9)
    assert len({shuffle_prompt(prompt, f"id{i}") for i in range(50)}) > 45


def test_every_token_but_the_last_may_go_anywhere() -> None:
    places = {(shuffle_prompt((1, 2, 3, 4, 5), f"id{i}").index(1)) for i in range(100)}
    assert places == {0, 1, 2, 3}


@NEEDS_PYTHIA
def test_controls_of_the_shipped_sets_differ_from_the_originals() -> None:
    encoder = Encoder(TOKENIZER)
    for plain, control in zip(load_probes(["core"]), load_probes(["core:shuffled"]), strict=True):
        assert control.name == f"{plain.name}:shuffled"
        before, after = encoder.encode(plain, 50304).items, encoder.encode(control, 50304).items
        same = sum(b.prompt == a.prompt for b, a in zip(before, after, strict=True))
        assert same <= 0.2 * len(before), plain.name
        assert [b.target for b in before] == [a.target for a in after]
        assert [b.prompt[-1] for b in before] == [a.prompt[-1] for a in after]
        assert all(sorted(b.prompt) == sorted(a.prompt) for b, a in zip(before, after, strict=True))


@NEEDS_PYTHIA
def test_core_has_one_token_answers_under_pythias_tokenizer() -> None:
    encoder = Encoder(TOKENIZER)
    probes = [encoder.encode(probe, 50304) for probe in load_probes(["core"])]
    assert {probe.single_token_share for probe in probes} == {1.0}
    n_rows = sum(len(probe.items) for probe in probes)
    assert (n_rows, n_rows + sum(probe.n_tokens for probe in probes)) == (3_328, 40_189)  # docs/probes.md
