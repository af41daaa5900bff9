"""From tidy tables to a verdict: worlds whose truth is known, missing evidence, and tables that must be refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pythia_geometry.analysis.precursor.bend import BEND_LINE
from pythia_geometry.analysis.precursor.families import choose_tasks, declared, families_of, own_families
from pythia_geometry.analysis.precursor.finding import (
    COUPLED,
    EARLIER,
    IN_THIS_RUN,
    LAGS,
    LEADS,
    LEADS_HERE,
    NO_LEAD,
    UNDECIDED,
    UNTESTABLE,
    Finding,
    judge,
)
from pythia_geometry.analysis.precursor.power import power
from pythia_geometry.analysis.precursor.rates import (
    PLACEBOS,
    RULES,
    families,
    precursor_rates,
    task_ranks,
)
from pythia_geometry.analysis.precursor.screening import screen_tasks
from pythia_geometry.analysis.precursor.task_matched_lag import Leg
from pythia_geometry.analysis.precursor.tidy_tables import Question, last_quarter, read_tables
from pythia_geometry.analysis.precursor.usual_tests import CCF_CHANGES, ONSET
from pythia_geometry.analysis.precursor.verdict import Verdict, adjusted, layer_scan, precursors
from pythia_geometry.errors import PythiaGeometryError
from pythia_geometry.extraction.probes.probes import load_probes
from tests.analysis.made_up import behaviour_table, geometry_table, make, tables

Frames = tuple[pd.DataFrame, pd.DataFrame]
DRAWS = 10


@pytest.fixture(scope="module")
def leading() -> Frames:
    return tables("LEAD 0.5")


def verdict(frames: Frames, **about: object) -> Verdict:
    """The only verdict on tables of one model and one measure."""
    (found,) = precursors(*frames, draws=DRAWS, **about)  # type: ignore[arg-type]
    return found


def three_runs(name: str, companion: str = "EARLY", seeds: Sequence[int] = (0, 1, 2)) -> Frames:
    runs = [make(name, seed, tasks=12) for seed in seeds]
    geometry = [geometry_table(run, seed=k) for k, run in enumerate(runs)]
    if companion:
        geometry += [
            geometry_table(make(companion, 1000 + seed, tasks=12), seed=k, probe="p:shuffled")
            for k, seed in enumerate(seeds)
        ]
    behaviour = [behaviour_table(run, seed=k) for k, run in enumerate(runs)]
    return pd.concat(geometry, ignore_index=True), pd.concat(behaviour, ignore_index=True)


# -- verdicts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [("LEAD -0.5", LAGS), ("SYNC", COUPLED), ("MIRAGE", COUPLED), ("EARLY", NO_LEAD), ("UNREL", NO_LEAD)],
)
def test_one_run_is_described(name: str, label: str) -> None:
    found = verdict(tables(name))
    assert found.label == label + IN_THIS_RUN
    assert "one run cannot show how runs differ" in found.reasons[-1]
    assert found.finding is not None and found.finding.companion is not None
    assert set(found.finding.legs) == {"accuracy", "log_prob"} and found.power.is_testable


def test_three_runs_that_lead_by_a_decade_are_a_precursor_and_two_are_not() -> None:
    three = three_runs("LEAD 1")
    found = verdict(three)
    assert found.label == LEADS and found.finding is not None and found.finding.bend >= BEND_LINE
    assert "earlier in its own range" in found.reasons[0]
    two = tuple(frame[frame["seed"] < 2] for frame in three)
    described = verdict(two)  # type: ignore[arg-type]
    assert described.label in (LEADS_HERE, UNDECIDED)  # two runs never allow the word


def test_geometry_that_comes_to_its_ceiling_is_earlier_in_its_own_range() -> None:
    geometry, behaviour = three_runs("LEAD 1")
    is_own = (geometry["probe"] == "p") & (geometry["layer"] == "resid_4")
    top = geometry.loc[is_own & (geometry["step"] >= 1000), "value"].max()
    far, near = (verdict((geometry.assign(ceiling=c), behaviour)) for c in (10 * top, 1.05 * top))
    assert far.label == LEADS and far.finding is not None and far.finding.at_ceiling == 0
    assert near.label == EARLIER and near.finding is not None and near.finding.at_ceiling >= 1
    assert "comes to its ceiling" in near.reasons[0]


def test_a_lead_that_squaring_explains_is_earlier_in_its_own_range() -> None:
    found = verdict(three_runs("LEAD 0.3"))
    assert found.label == EARLIER and found.finding is not None and found.finding.bend < BEND_LINE
    assert "a bent scale would do" in found.reasons[0]


def test_one_leading_and_one_lagging_seed_are_no_precursor() -> None:
    leads, lags = (three_runs(name, seeds=(0,)) for name in ("LEAD 0.7", "LEAD -0.5"))
    both = tuple(pd.concat([a, b.assign(seed=1)], ignore_index=True) for a, b in zip(leads, lags, strict=True))
    found = verdict(both)  # type: ignore[arg-type]
    assert found.label == UNDECIDED
    assert found.finding is not None and max(leg.runs_lower for leg in found.finding.legs.values()) < 0


def test_shuffled_prompts_that_lead_too_leave_it_undecided() -> None:
    runs = [make("LEAD 1", seed, tasks=12) for seed in range(3)]
    geometry = pd.concat(
        [geometry_table(run, seed=k, probe=p) for k, run in enumerate(runs) for p in ("p", "p:shuffled")]
    )
    found = verdict((geometry, pd.concat([behaviour_table(run, seed=k) for k, run in enumerate(runs)])))
    assert found.label == UNDECIDED and "the shuffled prompts may lead too" in found.reasons[0]
    assert found.finding is not None and found.finding.companion is not None
    assert found.finding.companion.kept == pytest.approx(1)


def test_a_lead_without_its_companion_names_what_to_walk() -> None:
    found = verdict(three_runs("LEAD 1", companion=""))
    assert found.label == UNDECIDED and "--probes NAME,NAME:shuffled" in found.reasons[0]


def test_accuracy_alone_is_never_a_precursor() -> None:
    geometry, behaviour = three_runs("LEAD 1")
    found = verdict((geometry, behaviour[behaviour["metric"] == "accuracy"]))
    assert found.label == UNDECIDED and "no continuous metric" in found.reasons[0]
    assert found.finding is not None and found.finding.legs["accuracy"].label == "leads"


def test_fewer_than_five_tasks_says_so_and_reads_no_geometry() -> None:
    geometry, behaviour = tables("LEAD 0.5", tasks=4)
    found = verdict((geometry.drop(columns="measure"), behaviour))
    assert (found.label, found.finding) == (UNTESTABLE, None)
    assert found.reasons == ("4 tasks emerged in every run; the test needs 5",)


def test_both_conventions_are_asked_and_corrected_for() -> None:
    geometry, behaviour = three_runs("LEAD 1")
    other = geometry.assign(measure="rankme")
    centred, uncentred = precursors(pd.concat([geometry, other]), behaviour, draws=DRAWS)
    assert (centred.measure, uncentred.measure) == ("rankme_centred", "rankme")
    assert centred.finding is not None and centred.p_adjusted == pytest.approx(2 * centred.finding.p)
    (alone,) = precursors(other, behaviour, draws=DRAWS)
    assert alone.measure == "rankme" and alone.p_adjusted == pytest.approx(centred.finding.p)


def test_models_are_judged_apart() -> None:
    first, second = tables("SYNC"), tables("LEAD -0.5", seed=3)
    both = [pd.concat([a, b.assign(model="n")]) for a, b in zip(first, second, strict=True)]
    labels = {v.model: v.label for v in precursors(*both, draws=DRAWS)}
    assert labels == {"m": COUPLED + IN_THIS_RUN, "n": LAGS + IN_THIS_RUN}


def leg(p: float, lower: float, upper: float) -> Leg:
    nan = float("nan")
    lag_p = 0.01 if lower > 0.1 else 0.5
    return Leg(p, 0.0, lower, upper, lag_p, (0.0,), nan, nan, nan, 0.1, 8, 8, 2000)


@pytest.mark.parametrize(
    ("last", "power", "word"),
    [
        (leg(0.5, -1, 1), 0.49, UNTESTABLE),
        (leg(0.5, -1, 1), 0.9, UNDECIDED),
        (leg(0.5, -1, 1), 0.95, NO_LEAD),
        (leg(0.01, -0.1, 0.29), 0.1, COUPLED),
        (leg(0.01, -0.1, 0.31), 0.9, UNDECIDED),
        (leg(0.01, -0.5, -0.2), 0.1, LAGS),
    ],
)
def test_absence_needs_power_or_an_interval(last: Leg, power: float, word: str) -> None:
    found = Finding({"accuracy": last, "log_prob": last}, None, float("nan"), None, at_ceiling=0, n_runs=3)
    assert judge(found, found.p, power)[0] == word


# -- families ---------------------------------------------------------------------------------------------


def test_the_hardest_of_each_family_is_tested() -> None:
    table = behaviour_table(make("SYNC", tasks=8))
    names = ["COPY1", "COPY2", "COPY3", "REV1", "REV2", "SORT1", "MOD3", "own"]
    table = table.assign(
        probe="algorithmic", task=table["task"].map(dict(zip(sorted(set(table["task"])), names, strict=True)))
    )
    screening = screen_tasks(table)
    chosen = choose_tasks(screening)
    assert [task.partition("/")[2] for task in chosen.tasks] == ["COPY3", "MOD3", "REV2", "SORT1", "own"]
    assert chosen.undeclared == ("algorithmic/own",)
    assert choose_tasks(screening, "all").families.count("algorithmic/COPY") == 3
    assert choose_tasks(screening, "COPY1,algorithmic/REV1").tasks == ("algorithmic/COPY1", "algorithmic/REV1")
    with pytest.raises(PythiaGeometryError, match="--tasks COPY9: no task of that name emerged"):
        choose_tasks(screening, "COPY9")


def test_groups_of_the_harness_are_families_however_they_were_asked_for() -> None:
    keys = {
        "lm-eval:blimp/blimp_adjunct_island": "lm-eval/blimp",
        "lm-eval:blimp_adjunct_island/blimp_adjunct_island": "lm-eval/blimp",
        "lm-eval:mmlu@5-shot/mmlu_anatomy": "lm-eval/mmlu",
        "lm-eval-v0/0-shot/hendrycksTest-anatomy": "lm-eval/mmlu",
        "lm-eval:leaderboard_bbh/leaderboard_bbh_logical_deduction_five_objects": "lm-eval/logical_deduction",
        "lm-eval:leaderboard_bbh/leaderboard_bbh_snarks": "lm-eval:leaderboard_bbh",  # any other group
        "lm-eval:mine@2-shot/part_a": "lm-eval:mine@2-shot",
        "lm-eval:sciq/sciq": "lm-eval:sciq/sciq",
        "lm-eval:sciq@5-shot/sciq": "lm-eval:sciq@5-shot/sciq",
        "lm-eval-v0/0-shot/sciq": "lm-eval-v0/0-shot/sciq",
        "mine/mmlu_anatomy": "mine/mmlu_anatomy",  # not of the harness
    }
    assert {key: family for key, (family, _) in families_of(list(keys)).items()} == keys
    places = families_of([f"lm-eval:x/logical_deduction_{n}_objects" for n in ("seven", "three", "five")])
    assert [place for _, place in places.values()] == [2, 0, 1]


def test_of_a_group_without_an_order_the_latest_member_is_tested() -> None:
    table = behaviour_table(make("SYNC", tasks=8))
    table = table.assign(probe="lm-eval:mine", task=[f"part_{task}" for task in table["task"]])
    screening = screen_tasks(table)
    chosen = choose_tasks(screening)
    late = int(np.argmax(screening.runs[0].midpoints))
    assert chosen.tasks == (screening.tasks[late],) and chosen.n_families == 1
    assert chosen.undeclared == ()
    assert set(choose_tasks(screening, "all").families) == {"lm-eval:mine"}


def test_a_task_whose_geometry_says_nothing_is_left_out_by_name_and_the_others_are_judged() -> None:
    run = make("SYNC", tasks=8)
    geometry, behaviour = geometry_table(run), behaviour_table(run)
    mute = geometry["task"] == "t3"
    geometry = geometry.assign(value=geometry["value"].mask(mute), reason=np.where(mute, "one row repeated", ""))
    (verdict,) = precursors(geometry, behaviour, draws=2, measures=["rankme_centred"])
    assert "p/t3" not in verdict.power.chosen.tasks and verdict.power.chosen.n_families == 7
    outcome = verdict.power.screening.table.set_index("task")["outcome"]
    assert outcome["p/t3"] == "no geometry: one row repeated"


def test_a_model_seen_over_less_than_a_decade_is_untestable_and_the_others_are_judged(leading: Frames) -> None:
    """As pythia-2.8b, whose trusted steps run from 66000 to 142000."""
    geometry, behaviour = leading
    late = [frame[frame["step"] >= 20000].assign(model="late") for frame in leading]
    flat = late[1]["metric"].eq("accuracy")
    rising = late[1].assign(value=late[1]["value"].where(~flat, 0.3 + 0.5 * (late[1]["step"] > 80000)), chance=0.25)
    found = precursors(pd.concat([geometry, late[0]]), pd.concat([behaviour, rising]), draws=DRAWS)
    by_model = {verdict.model: verdict for verdict in found}
    assert by_model["late"].label == UNTESTABLE
    assert "training is seen over 0.85 decades of steps; the test needs 1" in by_model["late"].reasons[0]
    assert by_model["m"].finding is not None


def test_a_table_may_state_its_own_families() -> None:
    table = behaviour_table(make("SYNC", tasks=6))
    table = table.assign(family=table["task"].map(lambda task: "even" if int(task[1]) % 2 == 0 else task))
    chosen = choose_tasks(screen_tasks(table), "hardest", own_families(table))
    assert chosen.n_families == 4 and "p/t4" in chosen.tasks and "p/t0" not in chosen.tasks
    with pytest.raises(PythiaGeometryError, match="two families for task p/t0"):
        own_families(pd.concat([table, table.assign(family="other")]))


def test_every_declared_family_names_tasks_that_ship() -> None:
    shipped = {probe.name for probe in load_probes(("all", "algorithmic"))}
    extra = {"algorithmic/PAR4", "algorithmic/PAR5"}  # trained by name
    assert set(declared()) <= shipped | extra


# -- power ------------------------------------------------------------------------------------------------


def test_power_of_eight_spread_tasks() -> None:
    found = power(behaviour_table(make("SYNC")), draws=20)
    rates = found.rates.set_index("lead")["both"]
    assert rates[0.5] >= 0.8
    assert rates[0.5] >= rates[0.3] > rates[0.0]
    assert rates[0.0] <= 0.05
    assert found.is_testable
    assert found.reason == ""


def test_clustered_tasks_are_untestable() -> None:
    """Five tasks within .2 decade, as pythia-160m has them."""
    found = power(behaviour_table(make("SYNC", tasks=5, midpoints=np.linspace(3.1, 3.3, 5))), draws=20)
    assert not found.is_testable
    assert "less than 0.5" in found.reason


def test_power_falls_with_the_share_of_tasks_whose_geometry_rises() -> None:
    behaviour = behaviour_table(make("SYNC"))
    found = [power(behaviour, draws=20, moves=moves).decisive for moves in (1.0, 0.6, 0.0)]
    for wrong in (49, float("nan"), -0.1):
        with pytest.raises(PythiaGeometryError, match=r"moves .* 0 to 1"):
            power(behaviour, draws=20, moves=wrong)
    with pytest.raises(PythiaGeometryError, match="power of 0 draws"):
        power(behaviour, draws=0)
    assert found[0] == power(behaviour, draws=20).decisive > found[1] + 0.2 and found[2] <= 0.1


def test_power_is_repeatable_and_depends_on_its_seed() -> None:
    behaviour = behaviour_table(make("SYNC"))
    first, again, other = (power(behaviour, draws=12, seed=s).rates for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_every_screened_task_is_listed_with_its_outcome() -> None:
    drawn = make("SYNC", gains=np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.5, 0.0]))
    found = screen_tasks(behaviour_table(drawn))
    assert found.table["outcome"].tolist() == ["emerged"] * 5 + ["did not emerge", "emerged", "did not emerge"]
    assert found.tasks == ("p/t0", "p/t1", "p/t2", "p/t3", "p/t4", "p/t6")


def test_only_tasks_that_emerged_in_every_run_are_tested() -> None:
    flat = np.full(8, 0.5)
    flat[2] = 0.0
    behaviour = pd.concat([behaviour_table(make("SYNC")), behaviour_table(make("SYNC", 1, gains=flat), seed=1)])
    found = screen_tasks(behaviour)
    assert len(found.table) == 16
    assert "p/t2" not in found.tasks
    assert len(found.tasks) == 7
    assert all(run.tasks == found.tasks for run in found.runs)


# -- rates, ranks, layers ---------------------------------------------------------------------------------


def test_rates_stand_beside_controls_and_placebos() -> None:
    geometry, behaviour = tables("EARLY")
    runs = screen_tasks(behaviour).runs
    rates = precursor_rates(families(geometry, runs)).set_index("rule")
    assert list(rates.index) == list(RULES)
    assert rates.loc[CCF_CHANGES, "own"] > 0.6  # a lead nearly everywhere …
    assert abs(rates.loc[CCF_CHANGES, "excess"]) < 0.25  # … and with anyone's geometry
    assert rates.loc[CCF_CHANGES, "p"] > 0.05
    assert (rates["n_own"] == 8).all()
    assert (rates["n_controls"] == 8 * 7 + 8 * 8).all()
    assert rates[PLACEBOS[0]].notna().all()
    assert rates[list(PLACEBOS[2:])].isna().all(axis=None)  # there is one run
    assert rates.loc[ONSET, "excess"] == pytest.approx(rates.loc[ONSET, "own"] - rates.loc[ONSET, "controls"])


def test_placebos_over_two_runs() -> None:
    drawn = [make("SYNC", seed) for seed in (0, 1)]
    geometry = pd.concat([geometry_table(d, seed=k) for k, d in enumerate(drawn)])
    behaviour = pd.concat([behaviour_table(d, seed=k) for k, d in enumerate(drawn)])
    rates = precursor_rates(families(geometry, screen_tasks(behaviour).runs))
    assert rates[list(PLACEBOS)].notna().all(axis=None)
    assert rates[list(PLACEBOS)].to_numpy().max() <= 1.0


def test_ranks_by_task(leading: Frames) -> None:
    geometry, behaviour = leading
    found = families(geometry, screen_tasks(behaviour).runs)
    ranks = task_ranks(found)
    assert ranks["task"].tolist() == [f"p/t{k}" for k in range(8)]
    assert (ranks["n_controls"] == 15).all()
    assert (ranks["p"] >= 1 / 16).all()
    assert (ranks["p_bh"] >= ranks["p"]).all()


def test_layers_are_scanned_with_one_correction(leading: Frames) -> None:
    geometry, behaviour = leading
    scan = layer_scan(geometry, screen_tasks(behaviour).runs)
    assert scan.layers == ("resid_1", "resid_2", "resid_3", "resid_4", "final_norm")  # embed has no value
    by_layer = dict(zip(scan.layers, scan.p_adjusted, strict=True))
    assert by_layer["resid_4"] <= 0.05 < min(p for layer, p in by_layer.items() if layer != "resid_4")


def test_last_quarter_of_the_blocks() -> None:
    for blocks, kept in ((4, [4]), (6, [5, 6]), (12, [10, 11, 12]), (1, [1])):
        names = ["embed", *(f"resid_{k}" for k in range(1, blocks + 1)), "final_norm"]
        assert last_quarter(pd.DataFrame({"layer": names}))["layer"].tolist() == [f"resid_{k}" for k in kept]
    with pytest.raises(PythiaGeometryError, match=r"column 'layer' holds h\.0, h\.1"):
        last_quarter(pd.DataFrame({"layer": ["h.0", "h.1"]}))


def test_several_measures_are_corrected_by_holm() -> None:
    assert adjusted({"rankme": 0.01, "twonn": 0.04}) == pytest.approx({"rankme": 0.02, "twonn": 0.04})


# -- what is refused --------------------------------------------------------------------------------------

Change = Callable[[pd.DataFrame], pd.DataFrame]


def without_value(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    frame.loc[(frame["step"] == 1000) & (frame["task"] == "t1"), "value"] = np.nan
    return frame


BEHAVIOUR_FAULTS: dict[str, tuple[Change, str]] = {
    "no step": (lambda f: f.drop(columns="step"), "behaviour table: missing column 'step'"),
    "no noise": (lambda f: f.drop(columns="n"), "missing column 'n' or 'error'"),
    "two": (lambda f: f.drop(columns=["task", "chance"]), "missing columns 'task', 'chance'"),
    "empty": (lambda f: f.iloc[:0], "behaviour table: no rows"),
    "unknown": (lambda f: f[f["metric"] == "log_prob"], "no 'accuracy' in column 'metric'. It holds log_prob"),
    "repeated": (lambda f: pd.concat([f, f.iloc[[5]]]), "column 'step' repeats 32 for task p/t0"),
    "nan": (without_value, "column 'value' is NaN without a reason in 1 rows, first for task p/t1 at step 1000"),
    "few": (lambda f: f[f["step"] < 16], "do not overlap in column 'step': 4 steps"),
    "one short": (lambda f: f[(f["task"] != "t3") | (f["step"] < 16)], r"fewest: p/t3 with 4"),
}


@pytest.mark.parametrize("fault", BEHAVIOUR_FAULTS)
def test_faulty_behaviour_is_named(fault: str, leading: Frames) -> None:
    change, said = BEHAVIOUR_FAULTS[fault]
    with pytest.raises(PythiaGeometryError, match=said):
        screen_tasks(change(leading[1]))


GEOMETRY_FAULTS: dict[str, tuple[Change, str]] = {
    "no layer": (lambda f: f.drop(columns="layer"), "geometry table: missing column 'layer'"),
    "none": (lambda _: pd.DataFrame(), "geometry table: missing columns 'model'"),
    "measure": (lambda f: f.assign(measure="twonn"), "no 'rankme_centred' in column 'measure'. It holds twonn"),
    "position": (lambda f: f.assign(position="mean"), "no 'last' in column 'position'"),
    "run": (lambda f: f.assign(seed=3), "columns 'model' and 'seed' hold no m, which the behaviour table has"),
    "task": (lambda f: f[f["task"] != "t2"], "column 'task' lacks p/t2"),
    "negative": (lambda f: f.assign(value=-1.0), "column 'value' holds numbers that are not above 0"),
    "overlap": (lambda f: f[f["step"] > 60000], "do not overlap in column 'step'"),
}


@pytest.mark.parametrize("fault", GEOMETRY_FAULTS)
def test_faulty_geometry_is_named(fault: str, leading: Frames) -> None:
    change, said = GEOMETRY_FAULTS[fault]
    behaviour = leading[1]
    if fault == "overlap":
        behaviour = behaviour[behaviour["step"] <= 60000]
    with pytest.raises(PythiaGeometryError, match=said):
        verdict((change(leading[0]), behaviour))


def _of(frame: pd.DataFrame, **where: object) -> pd.Series:
    found = pd.Series(True, index=frame.index)
    for name, value in where.items():
        found &= frame[name] == value
    return found


def _lost(frame: pd.DataFrame, where: pd.Series) -> pd.DataFrame:
    return frame.assign(value=frame["value"].mask(where), reason=frame["reason"].mask(where, "non-finite activations"))


def _copies(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame[frame["seed"] == 0].assign(seed=seed) for seed in (0, 1, 2)], ignore_index=True)


THREE_FAULTS: dict[str, tuple[Change, Change, str]] = {
    "one run under three seeds": (_copies, _copies, "m and m-seed1 hold the same numbers at every step"),
    "a block that one seed lacks": (
        lambda g: g[~_of(g, seed=1, layer="resid_4")], lambda b: b, "m-seed1 has no .* in resid_4, which other runs have",
    ),
    "a block that is lost in one seed": (
        lambda g: _lost(g, _of(g, seed=1, layer="resid_4")), lambda b: b, "m-seed1 has no .* in resid_4",
    ),
    "only shuffled prompts": (lambda g: g[g["probe"] == "p:shuffled"], lambda b: b, "without a reason|own prompts"),
    "a seed without the measure": (lambda g: g[g["seed"] != 2], lambda b: b, "no m-seed2, which .* with rankme_centred"),
}  # fmt: skip


@pytest.mark.parametrize("fault", THREE_FAULTS)
def test_what_a_run_lacks_or_repeats_becomes_no_number(fault: str) -> None:
    of_geometry, of_behaviour, said = THREE_FAULTS[fault]
    geometry, behaviour = three_runs("LEAD 1")
    with pytest.raises(PythiaGeometryError, match=said):
        precursors(of_geometry(geometry), of_behaviour(behaviour), draws=DRAWS)


def test_shuffled_prompts_that_were_lost_and_a_metric_of_one_seed_are_not_there() -> None:
    geometry, behaviour = three_runs("LEAD 1")
    found = verdict((_lost(geometry, _of(geometry, probe="p:shuffled")), behaviour))
    assert found.label == UNDECIDED and found.finding is not None and found.finding.companion is None
    found = verdict((geometry, behaviour[(behaviour["metric"] == "accuracy") | (behaviour["seed"] == 0)]))
    assert found.label == UNDECIDED and found.finding is not None and list(found.finding.legs) == ["accuracy"]
    assert "no continuous metric was measured in every run" in found.reasons[0]


def test_geometry_that_does_not_move_neither_leads_nor_not() -> None:
    geometry, behaviour = three_runs("LEAD 1")
    still = geometry.assign(value=geometry["value"].mask(geometry["value"].notna(), 20.0))
    found = verdict((still, behaviour))
    assert found.label == UNTESTABLE and found.finding is None
    one = geometry.assign(value=geometry["value"].mask(_of(geometry, task="t3") & geometry["value"].notna(), 20.0))
    table = verdict((one, behaviour)).power.screening.table
    told = table.loc[table["task"] == "p/t3", "outcome"]
    assert (told == "no geometry: the same number at every step").all() and len(told) == 3


def test_a_value_lost_for_a_reason_only_loses_its_step(leading: Frames) -> None:
    geometry, behaviour = leading
    lost = geometry["step"].eq(5000) & geometry["task"].eq("t1")
    geometry = geometry.assign(
        value=geometry["value"].mask(lost), reason=geometry["reason"].mask(lost, "non-finite activations")
    )
    found, whole = verdict((geometry, behaviour)), verdict(leading)
    assert found.finding is not None and whole.finding is not None
    assert found.finding.legs["log_prob"].label == whole.finding.legs["log_prob"].label == "leads"


def test_order_of_the_rows_does_not_matter(leading: Frames) -> None:
    mixed = tuple(frame.sample(frac=1, random_state=1) for frame in leading)
    found, whole = (verdict(frames) for frames in ((mixed[0], mixed[1]), leading))
    assert found.finding is not None and whole.finding is not None
    assert str(found.finding.legs) == str(whole.finding.legs)  # as text, since nan is not equal to nan


def test_margin_may_be_the_second_leg(leading: Frames) -> None:
    geometry, behaviour = leading
    renamed = behaviour.assign(metric=behaviour["metric"].replace("log_prob", "margin"))
    found = verdict((geometry, renamed), question=Question(continuous="margin"))
    assert found.finding is not None and set(found.finding.legs) == {"accuracy", "margin"}
    with pytest.raises(PythiaGeometryError, match="no 'log_prob' in column 'metric'. It holds accuracy, margin"):
        screen_tasks(renamed)


# -- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_files_are_told_apart_by_their_columns(leading: Frames, tmp_path: Path, ending: str) -> None:
    for name, frame in zip(("a", "b"), leading, strict=True):
        path = tmp_path / f"{name}{ending}"
        frame.to_csv(path, index=False) if ending == ".csv" else frame.to_parquet(path)
    found = read_tables([tmp_path / f"b{ending}", tmp_path / f"a{ending}"])
    assert [len(frame) for frame in found] == [len(frame) for frame in leading]
    assert verdict(found).label == verdict(leading).label


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("no.csv", None, "There is no"),
        ("x.txt", b"a", "expected a run folder, or a .csv or .parquet file"),
        ("x.csv", b"a,b\n1,2\n", "neither a column 'measure'"),
        ("x.parquet", b"junk", "cannot be read"),
        ("empty.csv", b"", "cannot be read"),
        (".", None, "is no run folder: it has no manifest.json"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PythiaGeometryError, match=said):
        read_tables([tmp_path / name])
