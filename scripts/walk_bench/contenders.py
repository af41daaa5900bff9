"""The walks that are compared, each the whole of its own process."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from walk_bench.meter import Meter
from walk_bench.suite import Job

USUAL_BATCH = 32


def run(job: Job) -> None:
    """Runs one contender and prints its RESULT line."""
    torch.set_num_threads(1)
    {"ours": ours, "usual": usual, "transformer_lens": transformer_lens, "forward": forward}[job.contender](job)


def ours(job: Job) -> None:
    """The walk as `pythia-geom` runs it: forward, behaviour, measures with errors, comparisons, run folder."""
    from pythia_geometry.extraction import capture as capturing
    from pythia_geometry.extraction.loading.models import SuiteModel
    from pythia_geometry.geometry import dimension, representation
    from pythia_geometry.runs.local import walk
    from pythia_geometry.runs.one_run import measuring
    from pythia_geometry.runs.one_run import walk as one_run
    from pythia_geometry.runs.plan import make_plan
    from pythia_geometry.runs.request import Request

    meter = Meter()
    errors = ("deleted_sums", "deleted_moments", "deleted_first_eigenvalue", "jackknife_error")
    for name in errors:
        meter.wrap(representation, name, "errors")
    meter.wrap(dimension, "_totals_without_each", "errors")
    meter.wrap(capturing, "score_answers", "behaviour")
    meter.wrap(measuring, "capture", "capture")
    meter.wrap(one_run, "compare", "compare")
    meter.wrap(measuring, "measure_layers", "measures")
    meter.wrap(SuiteModel, "swap", "swap")

    class Marks:
        def stage(self, checkpoint: str, stage: str) -> None: ...

        def finished(self, checkpoint: str, detail: str) -> None:
            assert not detail, detail
            meter.mark()

        def damaged(self, file: str, why: str) -> None: ...

        def lost(self, checkpoint: str, count: int) -> None: ...

    request = Request(
        models=(job.folder,),
        probes=(f"{job.folder}/probes.jsonl",),
        measures=job.measures,
        dtype=job.dtype,
        device="cpu",
        threads=1,
    )
    plan = make_plan(request)
    meter.ready()
    with tempfile.TemporaryDirectory() as out:
        tables = walk(plan, out, Marks())
    found = tables.geometry[(tables.geometry["measure"] == "rankme") & (tables.geometry["step"] == 1)]
    rankme = found.sort_values(["task", "layer_index"])
    rankme = rankme[rankme["layer"] != rankme["layer"].unique()[-2]]  # the last block's output: transformers has none
    lp = tables.behaviour[(tables.behaviour["metric"] == "log_prob") & (tables.behaviour["step"] == 1)]
    meter.report(
        mapped=_tensor_bytes(job),
        rankme=rankme["value"].tolist(),
        log_prob=lp.sort_values("task")["value"].tolist(),
    )


def encoded_probes(job: Job) -> dict[str, list[tuple[list[int], list[int]]]]:
    """(prompt, target) ids by task, in order of the task's name."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{job.folder}/tokenizer.json")
    tasks: dict[str, list[tuple[list[int], list[int]]]] = {}
    for line in Path(f"{job.folder}/probes.jsonl").read_text().splitlines():
        row = json.loads(line)
        ids = (tokenizer.encode(row["prompt"]).ids, tokenizer.encode(row["target"]).ids)
        tasks.setdefault(row["task"], []).append(ids)
    return dict(sorted(tasks.items()))


def step_folders(job: Job) -> list[Path]:
    """In the order of steps."""
    return sorted(Path(job.folder).glob("step*"), key=lambda p: int(p.name[4:]))


def padded(items: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [B, T], padded on the right."""
    width = max(len(prompt) + len(target) - 1 for prompt, target in items)
    ids, mask = torch.zeros(len(items), width, dtype=torch.long), torch.zeros(len(items), width, dtype=torch.long)
    for row, (prompt, target) in enumerate(items):
        n = len(prompt) + len(target) - 1
        ids[row, :n], mask[row, :n] = torch.tensor(prompt + target[:-1]), 1
    return ids, mask


def rankme(rows: torch.Tensor) -> float:
    """RankMe by SVD, as in the paper."""
    sigma = torch.linalg.svdvals(rows)
    p = sigma / sigma.sum() + 1e-7
    return float(torch.exp(-(p * p.log()).sum()))


def target_log_probs(logits: torch.Tensor, items: list[tuple[list[int], list[int]]]) -> list[float]:
    """Summed log-probability of every item's target."""
    found = []
    for row, (prompt, target) in enumerate(items):
        lines = torch.log_softmax(logits[row, len(prompt) - 1 : len(prompt) - 1 + len(target)].float(), -1)
        found.append(float(lines[range(len(target)), target].sum()))
    return found


@torch.inference_mode()
def usual(job: Job) -> None:
    """from_pretrained a step, padded batches of 32, all hidden states, all logits, one SVD a layer: RankMe alone."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    meter, tasks = Meter(), encoded_probes(job)
    meter.ready()
    kept: dict[str, list[float]] = {"rankme": [], "log_prob": []}
    for folder in step_folders(job):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, job.dtype)).eval()
        values, means = [], []
        for items in tasks.values():
            pooled, log_probs = [], []
            for start in range(0, len(items), USUAL_BATCH):
                batch = items[start : start + USUAL_BATCH]
                ids, mask = padded(batch)
                output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
                last = torch.tensor([len(prompt) - 1 for prompt, _ in batch])
                pooled.append(torch.stack([h[torch.arange(len(batch)), last].float() for h in output.hidden_states]))
                log_probs += target_log_probs(output.logits, batch)
            values += [rankme(layer) for layer in torch.cat(pooled, 1)]
            means.append(sum(log_probs) / len(log_probs))
        if folder.name == "step1":
            kept = {"rankme": values, "log_prob": means}
        meter.mark()
    meter.report(mapped=_tensor_bytes(job), **kept)


@torch.inference_mode()
def transformer_lens(job: Job) -> None:
    """TransformerLens 4: a bridge a step, run_with_cache of the residual stream, SVD a layer: RankMe alone."""
    from tokenizers import Tokenizer
    from transformer_lens import TransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    meter, tasks = Meter(), encoded_probes(job)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_file(str(Path(job.folder) / "tokenizer.json")))
    tokenizer.add_special_tokens({"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"})
    with tempfile.TemporaryDirectory() as saved:  # the bridge loads the tokenizer again from where it came
        tokenizer.save_pretrained(saved)
        _bridge_walk(job, meter, tasks, AutoTokenizer.from_pretrained(saved), AutoModelForCausalLM, TransformerBridge)


@torch.inference_mode()
def _bridge_walk(job: Job, meter: Meter, tasks: Any, tokenizer: Any, auto: Any, bridge: Any) -> None:
    """The walk itself, with the two classes that only this contender imports."""
    meter.ready()
    for folder in step_folders(job):
        hf = auto.from_pretrained(folder, dtype=getattr(torch, job.dtype))
        model = bridge.boot_transformers(str(folder), hf_model=hf, tokenizer=tokenizer)
        for items in tasks.values():
            pooled: list[torch.Tensor] = []
            for start in range(0, len(items), USUAL_BATCH):
                batch = items[start : start + USUAL_BATCH]
                ids, _ = padded(batch)
                last = torch.tensor([len(prompt) - 1 for prompt, _ in batch])
                logits, cache = model.run_with_cache(ids, names_filter=lambda name: name.endswith("hook_resid_post"))
                target_log_probs(logits, batch)
                pooled.append(torch.stack([h[torch.arange(len(batch)), last].float() for h in cache.values()]))
            for layer in torch.cat(pooled, 1):
                rankme(layer)
        meter.mark()
    meter.report(mapped=_tensor_bytes(job))


@torch.inference_mode()
def forward(job: Job) -> None:
    """Not a walk but its floor: page-cache read, conversion, and the matrix products of our batches, nothing else."""
    from walk_bench.floor import floor

    floor(job, Meter(), encoded_probes(job), step_folders(job))


def _tensor_bytes(job: Job) -> int:
    """Bytes of one checkpoint's weight file."""
    return (step_folders(job)[0] / "model.safetensors").stat().st_size


def installed(package: str) -> bool:
    """Whether a contender can run."""
    import importlib.util

    return importlib.util.find_spec(package) is not None


def as_job(text: str) -> Job:
    """A job from its JSON."""
    given: dict[str, Any] = json.loads(text)
    return Job(**{**given, "measures": tuple(given["measures"])})
