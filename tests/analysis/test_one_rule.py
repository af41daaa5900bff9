"""The summary, the onsets, the bootstrap, the screening and the collapses say the same of the same curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.claims.lab_reference import read_reference
from pythia_geometry.analysis.curves.behaviour import tidy
from pythia_geometry.analysis.events.collapse import AT_THE_EDGE, COLLAPSES, WHOLE, collapses
from pythia_geometry.analysis.events.onsets import EMERGES, LAST, NEVER, onsets
from pythia_geometry.analysis.events.summary import summarise
from pythia_geometry.analysis.lm_eval.published import read_published
from pythia_geometry.analysis.precursor.screening import ACCURACY_ALONE, EMERGED, NOT, screen_tasks
from pythia_geometry.analysis.precursor.tidy_tables import read_tables
from pythia_geometry.analysis.tables.reading import NO_DIRECTION
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.store.run_folder import RunFolder
from tests.analysis.behaviour_tables import needs_published
from tests.analysis.made_up import behaviour_table, make

NAN = float("nan")
STEPS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000])


def made_up(curves: int = 300, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy and RankMe of many tasks: sigmoids, noise and shares of 0 and 1, with the errors that a walk writes."""
    rng = np.random.default_rng(seed)
    behaviour, geometry = [], []
    for t in range(curves):
        n = int(rng.choice([8, 50, 128, 1000]))
        gain, chance = rng.choice([0.0, 0.1, 0.6]), rng.choice([0.0, 0.25])
        p = chance + gain / (1 + np.exp(-(np.log10(STEPS) - rng.uniform(0.5, 3)) / 0.2))
        right = rng.binomial(n, np.clip(p, 0, 1)) / n
        about = {"suite": "s", "model": "m", "seed": 0, "probe": "p", "task": f"t{t:03d}", "step": STEPS, "reason": ""}
        error = np.sqrt(right * (1 - right) / (n - 1))  # 0 at 0 and 1
        row = {"metric": "accuracy", "value": right, "error": error, "n": n, "chance": chance, "majority": NAN}
        behaviour.append(pd.DataFrame({**about, **row, "source": "walk"}))
        value = np.exp(np.cumsum(rng.normal(0, 0.3, len(STEPS))))
        at = {"layer": "final_norm", "layer_index": 3, "measure": "rankme", "position": "last"}
        geometry.append(pd.DataFrame({**about, **at, "value": value, "error": 0.05 * value}))
    return pd.concat(geometry, ignore_index=True), pd.concat(behaviour, ignore_index=True)


def in_words(found: pd.Series) -> str:
    if found["label"] == EMERGES:
        return f"{'start' if np.isnan(found['after']) else int(found['after'])} – {int(found['by'])}"
    return {NEVER: "does not", LAST: "at the last step only"}[found["label"]]


def test_summary_onsets_screening_and_collapses_agree_on_300_made_up_curves() -> None:
    geometry, behaviour = made_up()
    summary = summarise(geometry, behaviour).set_index("task")
    found = onsets(tidy(behaviour, "x")).set_index(["rule", "task"])
    assert summary["rose"].to_dict() == {task: in_words(row) for task, row in found.loc["E2"].iterrows()}
    screened = screen_tasks(behaviour).table.set_index("task")
    half = {f"p/{task}": EMERGED if row["label"] == EMERGES else NOT for task, row in found.loc["F50"].iterrows()}
    assert screened["outcome"].to_dict() == half
    assert set(half.values()) == {EMERGED, NOT}
    assert screened["baseline"].to_list() == pytest.approx(found.loc["F50"]["baseline"].to_list())
    falls = collapses(geometry).set_index(["phase", "task"]).loc[WHOLE]
    falls = falls[falls["label"].isin([COLLAPSES, AT_THE_EDGE])]
    fell = summary.dropna(subset=["floor"])
    assert fell["floor"].to_dict() == falls["floor"].to_dict() and len(fell) > 30
    back = fell.dropna(subset=["recovery_step"])
    assert back["recovery_step"].to_dict() == falls.loc[falls["recovers"], "half_by"].to_dict() and len(back) > 10


def test_summary_and_onsets_agree_on_the_reference() -> None:
    reference = read_reference()
    keys = ["model", "seed", "task"]
    summary = summarise(reference.geometry, reference.behaviour).set_index(keys)["rose"]
    behaviour = reference.behaviour[reference.behaviour["metric"] == "accuracy"]
    found = onsets(tidy(behaviour, "x"), rules=("E2",)).set_index(keys)
    assert summary.to_dict() == {key: in_words(row) for key, row in found.iterrows()}


# -- screening ----------------------------------------------------------------------------------------------------


def test_rows_with_a_reason_are_not_screened_and_their_task_is_listed() -> None:
    table = behaviour_table(make("SYNC")).assign(reason="")
    table["reason"] = np.where(table["task"] == "t3", "excluded: a constant answer", "")
    found = screen_tasks(table)
    assert found.table.set_index("task").loc["p/t3", "outcome"] == "excluded: a constant answer"
    assert "p/t3" not in found.tasks and len(found.tasks) == 7
    lost = table.assign(reason=np.where((table["step"] == 512) & (table["task"] == "t1"), "lost", table["reason"]))
    assert 512 not in screen_tasks(lost).runs[0].accuracy.steps


def test_a_task_without_baseline_is_untestable_not_one_that_did_not_emerge() -> None:
    table = behaviour_table(make("SYNC"))
    late = table[table["step"] > 16].assign(chance=lambda f: f["chance"].mask(f["task"] == "t0"))
    outcome = screen_tasks(late).table.set_index("task")["outcome"]
    assert outcome["p/t0"] == "no baseline: no chance level and no step up to 16"
    assert outcome["p/t5"] == EMERGED


def test_tasks_without_the_continuous_metric_are_tested_on_accuracy_where_too_few_have_it() -> None:
    table = behaviour_table(make("SYNC"))
    for having, tested, has_both in ((8, 8, True), (5, 5, True), (4, 8, False), (1, 8, False), (0, 8, False)):
        kept = {f"t{k}" for k in range(having)}
        found = screen_tasks(table[(table["metric"] == "accuracy") | table["task"].isin(kept)])
        assert (len(found.tasks), found.has_both_legs) == (tested, has_both), having
        alone = found.table["outcome"].eq(ACCURACY_ALONE).sum()
        assert alone == (8 - tested)


def test_a_second_accuracy_is_no_continuous_metric() -> None:
    table = behaviour_table(make("SYNC"))
    accuracy = table[table["metric"] == "accuracy"]
    both = pd.concat([accuracy, accuracy.assign(metric="accuracy_norm"), accuracy.assign(metric="pct_stereotype")])
    assert len(screen_tasks(both).tasks) == 8 and not screen_tasks(both).has_both_legs


def test_a_continuous_metric_of_unknown_direction_is_refused() -> None:
    from pythia_geometry.analysis.precursor.tidy_tables import Question

    table = behaviour_table(make("SYNC"))
    table["metric"] = table["metric"].replace("log_prob", "bits")
    with pytest.raises(PythiaGeometryError, match=f"bits: {NO_DIRECTION}"):
        screen_tasks(table, Question(continuous="bits"))


def test_the_published_tables_flow_in() -> None:
    table = read_published(needs_published())
    zero = table[(table["probe"] == "lm-eval-v0/0-shot") & (table["model"] == "pythia-2.8b")]
    found = screen_tasks(zero)
    assert len(found.tasks) >= 6 and not found.has_both_legs  # LAMBADA alone has a log-probability
    assert found.table.set_index("task")["outcome"]["lm-eval-v0/0-shot/wsc"].startswith("excluded")


# -- the same weights ---------------------------------------------------------------------------------------------


def test_the_same_weights_count_once_in_every_table_of_a_run_folder(tmp_path: Path) -> None:
    geometry, behaviour = made_up(1)
    folder = RunFolder(tmp_path / "run")
    folder.write_manifest({})
    for step in STEPS.tolist():
        label, sha = f"m@step{step}", "same" if step <= 2 else f"w{step}"
        tables = {"geometry": geometry.assign(n=128), "behaviour": behaviour}
        rows = {name: frame[frame["step"] == step].to_dict("records") for name, frame in tables.items()}
        folder.add_part(label, [label], {n: [r | {"work": label} for r in part] for n, part in rows.items()})
        about = {"suite": "s", "model": "m", "seed": 0, "step": step, "status": "ok", "weight_sha256": sha}
        folder.set_checkpoint(label, about, {"p": {"capture": label, "weights": sha}})
    for frame in read_tables([tmp_path / "run"]):
        marked = frame[frame["reason"] != ""]
        assert marked[["step", "reason"]].to_numpy().tolist() == [[1, "same weights as step 2"]]
