"""The folders of `lab train --task …`: one ordinary local suite a seed, whose checkpoints are GPT-2's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.lab.patterns.member import Member
from pythia_geometry.lab.patterns.network import check_memory, usual_device
from pythia_geometry.lab.patterns.probes import write_rows
from pythia_geometry.lab.patterns.settings import MIXER, PatternTraining
from pythia_geometry.lab.patterns.training import Schedule, Watch, train
from pythia_geometry.lab.patterns.transformer import EPSILON, Params
from pythia_geometry.lab.probes import OWN
from pythia_geometry.lab.settings import checkpoint_steps
from pythia_geometry.lab.suite_folder import FACTS_NAME, check_room, is_finished, save_checkpoint, writing
from pythia_geometry.store.writing import replacing
from pythia_geometry.typed_path import typed_path

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel


def train_suites(
    trainings: Sequence[PatternTraining], out: str | Path = "lab", watch: Watch = lambda step, members: None
) -> list[Path]:
    """Trains seeds together, or goes on where an earlier call was stopped, and returns their folders.

    On a GPU where there is one.

    Args:
        trainings: They differ in their seeds alone.
        out: Folder of suites; each run's own folder is made inside.
        watch: Called after every update.

    Raises:
        PythiaGeometryError: If a folder holds another run, or the runs are not what a walk can read.
        MachineError: If memory or disk are too small for all of them, or another training writes there.
    """
    for training in trainings:
        check_walkable(training)
    folders = {training.seed: typed_path(out) / training.name for training in trainings}
    to_do = [training for training in trainings if not is_finished(folders[training.seed])]
    check_memory(to_do, usual_device())
    schedule = Schedule(kept=frozenset(checkpoint_steps(trainings[0].steps)))
    with ExitStack() as stack:
        for training in trainings:
            stack.enter_context(writing(folders[training.seed], training, write_facts))
        if to_do:
            check_room({folders[training.seed]: training for training in to_do})
        train(trainings, folders, schedule, partial(_keep, trainings[0]), watch, device=usual_device())
    return list(folders.values())


def check_walkable(training: PatternTraining) -> None:
    """Accepts what GPT-2's own config can say.

    Raises:
        PythiaGeometryError: If it is a mixer, has heads of another width, or a bias that its weights do not hold.
    """
    if training.network == MIXER or training.bias or training.shape.head_width * training.heads != training.width:
        raise PythiaGeometryError(
            f"{training.model}: a walk reads GPT-2 checkpoints. Mixers, biased runs and heads of another width are "
            "trained by scripts/patterns_reference.py"
        )


def write_facts(folder: Path, training: PatternTraining) -> None:
    """Tokenizer and probes, then `suite.json`, whose presence says that they are there."""
    task = training.problem
    with replacing(folder / "tokenizer.json") as temporary:
        _write_tokenizer(task.vocabulary, temporary)
    with replacing(folder / f"{OWN}.jsonl") as temporary:
        write_rows(task, temporary)
    facts: dict[str, Any] = {
        "suite": "lab",
        "name": training.model,
        "seed": training.seed,
        "tokens_per_step": training.batch * task.n_tokens,
        "training_dtype": "float32",
        "probes": [f"{OWN}.jsonl"],
    }
    with replacing(folder / FACTS_NAME) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n")


def _write_tokenizer(vocabulary: Sequence[str], path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=vocabulary[-1]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(path))


def _keep(training: PatternTraining, member: Member, folder: Path) -> None:
    if not (folder / f"step{member.step}").exists():
        save_checkpoint(as_gpt2(training, member.params), folder / f"step{member.step}")


def as_gpt2(training: PatternTraining, params: Params) -> GPT2LMHeadModel:
    """A member as a model of transformers, on the CPU.

    Args:
        training: Its settings.
        params: One member's parameters, without the first dimension of a stack.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = training.shape
    config = GPT2Config(
        vocab_size=shape.n_vocabulary, n_positions=shape.n_tokens, n_embd=shape.width, n_layer=shape.n_layers,
        n_head=shape.n_heads, activation_function="gelu_pytorch_tanh", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        layer_norm_epsilon=EPSILON, tie_word_embeddings=False, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    model.load_state_dict(params)
    model.eval()
    return model
