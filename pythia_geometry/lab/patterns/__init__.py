"""The patterns lab: tasks whose solving attention is known, many seeds at once.

One sitting to read, in the order in which a batch goes by:

    linear_map.py     x1 = A x0 (mod 2): which bits decide which, and the shorter routes that leak
    automata.py       rows of coloured cells under a rule that must be inferred
    transformer.py    GPT-2 with a dimension more: the members of a stack
    one_block.py      the same for one block, at half the cost
    mixer.py          an MLP over positions instead of attention
    settings.py       everything that decides a run
    network.py        which of the three functions a run has
    member.py         one seed's run while it is trained
    stacked.py        several of them in one step
    training.py       from start to end, and on after a stop
    probes.py         what a walk asks
    suite.py          ordinary local suites, one a seed

Experiments: `scripts/patterns_reference.py`; what they say: docs/attention.md.
"""
