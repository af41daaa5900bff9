"""Tasks of the real harness, through its own model class and through a walk's capture: item by item the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tokenizers import processors
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.benchmark_capture import capture_benchmark, in_order
from pythia_geometry.extraction.capture import Capture
from pythia_geometry.extraction.loading.models import SuiteModel, read_prefix, read_shape
from pythia_geometry.extraction.probes.benchmark_items import (
    BenchmarkItem,
    HarnessOptions,
    frozen_name,
    frozen_text,
)
from pythia_geometry.extraction.probes.encoding import EncodedProbe, Encoder
from pythia_geometry.extraction.probes.probes import Probe, frozen_of, load_probes
from pythia_geometry.runs.benchmark_metrics import _summary
from pythia_geometry.runs.rows import behaviour_rows
from tests.extraction.local_benchmarks import LONG_TASKS, TASKS, N, harness_answers, write_tasks
from tests.extraction.small_models import checkpoint
from tests.extraction.test_tokenizer_kinds import byte_level
from tests.hub.checkpoints import TOKENIZER, pythia_config, write_checkpoint

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'pythia-geometry[lm-eval]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # the harness's own

CLOSE = 1e-4
SCORED = [task for task in TASKS if task != "truthfulqa_mc2"]


class World(NamedTuple):
    """A model, its tokenizer, and the tasks on disk."""

    model: SuiteModel
    step: Path
    encoder: Encoder
    include: Path
    twin: Any
    tokenizer: Any

    def probe(self, task: str, **options: Any) -> Probe:
        (probe,) = load_probes([f"lm-eval:{task}"], HarnessOptions(include=str(self.include), **options))
        return probe

    def encoded(self, probe: Probe) -> EncodedProbe:
        config = self.step / "config.json"
        shape = read_shape(config)
        return self.encoder.encode(probe, shape.vocab_size, shape.context, read_prefix(config))

    def capture(self, probe: Probe, **options: Any) -> Capture:
        return capture_benchmark(self.model, self.encoded(probe), **options)

    def harness(self, tasks: list[str], fewshot: int | None = None) -> Any:
        return harness_answers(self.twin, self.tokenizer, tasks, self.include, fewshot)


def _world(folder: Path, include: Path, tokenizer_file: Path, number: int = 1, **special: str) -> World:
    step = folder / f"step{number}"
    model = SuiteModel(step / "config.json")
    model.swap(*checkpoint(folder, number))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tokenizer_file), **special)
    twin = AutoModelForCausalLM.from_pretrained(step, dtype=torch.float32).eval()
    return World(model, step, Encoder(tokenizer_file), include, twin, tokenizer)


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def neox(include: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    if not TOKENIZER.is_file():
        pytest.skip(f"Pythia's tokenizer is not at {TOKENIZER}")
    folder = tmp_path_factory.mktemp("neox")
    config = pythia_config("tiny", initializer_range=0.3, vocab_size=50304)
    write_checkpoint(folder / "step1", config, seed=1)
    return _world(folder, include, TOKENIZER, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


@pytest.fixture(scope="module")
def llama(include: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Grouped queries, RMS norm, and a tokenizer that puts a beginning of text before every text."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llama")
    tokenizer = byte_level()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", bos)])
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    words = {"vocab_size": 512, "bos_token_id": bos, "eos_token_id": bos + 1, "max_position_embeddings": 2048}
    config = LlamaConfig(**shape, **words, num_key_value_heads=2, initializer_range=0.4)
    LlamaForCausalLM(config).save_pretrained(folder / "step1")
    return _world(folder, include, folder / "tokenizer.json", bos_token="<s>", eos_token="</s>")


@pytest.fixture(params=["neox", "llama"])
def world(request: pytest.FixtureRequest) -> World:
    found: World = request.getfixturevalue(request.param)
    return found


def assert_agree(world: World, tasks: list[str], told: Any, **options: Any) -> None:
    """Log-probabilities, choices, metrics and errors of some tasks, item by item."""
    for task in tasks:
        probe = world.probe(task, **options)
        captured = world.capture(probe)
        samples = sorted(told["samples"][task], key=lambda one: one["doc_id"])
        assert len(samples) == len(probe.items)
        for item, choices, sample in zip(probe.items, captured.answers.choices, samples, strict=True):
            assert isinstance(item, BenchmarkItem)
            theirs = np.array([float(one[0]) for one in sample["filtered_resps"]])
            np.testing.assert_allclose(in_order(item, choices), theirs, atol=CLOSE, err_msg=f"{task} {item.id}")
        rows = {row["metric"]: row for row in behaviour_rows(captured.answers, probe, {})}
        for key, value in told["results"][task].items():
            name, _, rest = key.partition(",")
            if rest != "none" or name.endswith("_stderr"):
                continue
            assert rows[name]["value"] == pytest.approx(value, rel=CLOSE), (task, name)
            if name != "perplexity":  # whose error is a bootstrap: a test of its own
                error = told["results"][task][f"{name}_stderr,none"]
                assert rows[name]["error"] == pytest.approx(error, rel=CLOSE), (task, name)


def test_every_kind_of_task_scores_as_the_harness_scores_it(world: World) -> None:
    assert_agree(world, SCORED, world.harness(SCORED))


@pytest.mark.slow  # a minute: fifteen tasks, three checkpoints of 14M, through the harness and through a walk
@pytest.mark.parametrize("number", [1, 2, 3])
def test_checkpoints_of_14m_score_as_the_harness_scores_them(include: Path, tmp_path: Path, number: int) -> None:
    if not TOKENIZER.is_file():
        pytest.skip(f"Pythia's tokenizer is not at {TOKENIZER}")
    config = pythia_config("14m", initializer_range=0.1)
    write_checkpoint(tmp_path / f"step{number}", config, seed=number, legacy_buffers=False)
    world = _world(tmp_path, include, TOKENIZER, number, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    tasks = [*SCORED, *LONG_TASKS]
    assert_agree(world, tasks, world.harness(tasks))
    assert world.encoded(world.probe("leaderboard_bbh_logical_deduction_three_objects")).header


@pytest.mark.slow
def test_long_tasks_of_a_llama_score_as_the_harness_scores_them(llama: World) -> None:
    tasks = list(LONG_TASKS)
    assert_agree(llama, tasks, llama.harness(tasks))
    assert_agree(llama, ["mmlu_abstract_algebra"], llama.harness(["mmlu_abstract_algebra"], fewshot=5), fewshot=5)


def test_examples_that_all_items_share_run_once_and_give_the_same_to_rounding(llama: World) -> None:
    probe = llama.probe("mmlu_abstract_algebra", fewshot=3)
    encoded = llama.encoded(probe)
    longest, contexts = max(map(len, encoded.contexts)), len(encoded.contexts)
    assert longest / 2 < len(encoded.header) < min(map(len, encoded.contexts))
    assert encoded.n_tokens < sum(item.n_tokens for item in encoded.items) / 3
    run: list[int] = []
    states = llama.model.states

    def counted(ids: Any, *others: Any, **named: Any) -> Any:
        run.append(ids.numel())
        return states(ids, *others, **named)

    try:
        llama.model.states = counted  # type: ignore[method-assign]
        once = capture_benchmark(llama.model, encoded)
        assert sum(run) == encoded.n_tokens, "the plan's tokens are those that were run"
    finally:
        llama.model.states = states  # type: ignore[method-assign]
    anew = capture_benchmark(llama.model, encoded, share=False)
    for a, b in zip(once.answers.choices, anew.answers.choices, strict=True):
        np.testing.assert_allclose(a, b, atol=CLOSE)
    scale = np.abs(anew.activations).max()
    assert np.abs(once.activations - anew.activations).max() < 1e-5 * scale and contexts == N
    mean = [capture_benchmark(llama.model, encoded, "mean", share=share).activations for share in (True, False)]
    assert np.array_equal(*mean), "the mean over a context needs all of its tokens"


def test_examples_before_the_question_are_those_that_the_harness_draws(world: World) -> None:
    tasks = ["arc_easy", "openbookqa", "piqa"]
    assert_agree(world, tasks, world.harness(tasks, fewshot=2), fewshot=2)


def test_a_context_too_long_is_cut_as_the_harness_cuts_it(neox: World) -> None:
    told = neox.harness(["arc_easy"], fewshot=8)
    probe = neox.probe("arc_easy", fewshot=8)
    long = [len(i.prompt) + len(i.target) for i in neox.encoded(probe).items]
    assert max(long) == 129, "the model reads 128 tokens, and the last token is not read"
    assert_agree(neox, ["arc_easy"], told, fewshot=8)


@pytest.mark.parametrize("task", ["arc_easy", "winogrande", "blimp_adjunct_island", "lambada_openai"])
def test_a_context_run_once_gives_what_a_context_run_anew_gives(world: World, task: str) -> None:
    probe = world.probe(task)
    for position in ("last", "mean"):
        once, anew = (world.capture(probe, position=position, share=share) for share in (True, False))
        assert np.array_equal(once.activations, anew.activations)
        for a, b in zip(once.answers.choices, anew.answers.choices, strict=True):
            np.testing.assert_allclose(a, b, atol=CLOSE)


def test_equal_choices_are_equal_to_the_last_bit_and_the_first_is_chosen(neox: World) -> None:
    probe = neox.probe("arc_easy")
    item = probe.items[0]
    assert isinstance(item, BenchmarkItem) and item.choices[0] == item.choices[1]
    scores = in_order(item, neox.capture(probe).answers.choices[0])
    assert scores[0] == scores[1]


def test_scoring_by_code_of_its_own_is_not_guessed(neox: World) -> None:
    probe = neox.probe("truthfulqa_mc2")
    rows = {row["metric"]: row for row in behaviour_rows(neox.capture(probe).answers, probe, {})}
    assert math.isnan(rows["acc"]["value"]) and "code of its own" in rows["acc"]["reason"]
    assert math.isnan(rows["accuracy"]["value"]) and math.isfinite(rows["log_prob"]["value"])


def test_the_error_of_a_perplexity_is_what_the_harness_bootstraps() -> None:
    from lm_eval.api.metrics import bootstrap_stderr, perplexity

    log_probs = np.random.default_rng(0).normal(-2, 0.5, 200)
    found = _summary("perplexity", log_probs)
    assert found.value == pytest.approx(perplexity(list(log_probs)))
    assert found.error == pytest.approx(bootstrap_stderr(perplexity, list(log_probs), iters=1000), rel=0.1)


def test_a_frozen_task_is_the_same_probe_and_a_changed_one_is_refused(neox: World, tmp_path: Path) -> None:
    probe = neox.probe("arc_easy", fewshot=1)
    frozen = frozen_of(probe)
    assert frozen is not None
    file = tmp_path / frozen_name(frozen)
    file.write_text(frozen_text(frozen))
    (again,) = load_probes([str(file)])
    assert (again, again.sha256) == (probe, probe.sha256)
    lines = file.read_text().splitlines()
    changed = json.loads(lines[1])
    changed["gold"] = [(changed["gold"][0] + 1) % 4]
    file.write_text("\n".join([lines[0], json.dumps(changed), *lines[2:]]))
    with pytest.raises(PythiaGeometryError, match="was changed after it was written"):
        load_probes([str(file)])


def test_what_decides_a_number_is_in_the_identity(neox: World) -> None:
    plain = neox.probe("arc_easy")
    assert plain.sha256 == neox.probe("arc_easy").sha256
    others = [neox.probe("arc_easy", fewshot=1), neox.probe("arc_easy", limit=5)]
    assert len({plain.sha256, *(one.sha256 for one in others)}) == 3
    assert others[0].name == "lm-eval:arc_easy@1-shot/arc_easy" and len(others[1].items) == 5
    assert plain.facts is not None and plain.facts.version == "1.0"
    assert plain.chance == 0.25 and len(plain.items) == N


def test_the_companion_shuffles_contexts_and_no_choice(neox: World) -> None:
    names = ["lm-eval:arc_easy", "lm-eval:arc_easy:shuffled"]
    plain, control = map(neox.encoded, load_probes(names, HarnessOptions(include=str(neox.include))))
    for a, b in zip(plain.items, control.items, strict=True):
        assert sorted(a.prompt) == sorted(b.prompt) and a.prompt[-1] == b.prompt[-1]
        assert (a.target, a.distractors) == (b.target, b.distractors)
    assert [a.prompt for a in plain.items] != [b.prompt for b in control.items]
    with pytest.raises(PythiaGeometryError, match="empty contexts"):
        load_probes(["lm-eval:blimp_adjunct_island:shuffled"], HarnessOptions(include=str(neox.include)))


def test_a_dataset_that_cannot_be_had_says_what_to_type(include: Path, tmp_path: Path) -> None:
    moved = json.loads((include / "piqa.yaml").read_text())
    moved["dataset_kwargs"]["data_files"] = {"train": str(tmp_path / "gone.jsonl")}
    (tmp_path / "piqa.yaml").write_text(json.dumps(moved))
    with pytest.raises(
        PythiaGeometryError, match="dataset of lm-eval's piqa cannot be had.*A frozen set needs neither"
    ):
        load_probes(["lm-eval:piqa"], HarnessOptions(include=str(tmp_path)))
