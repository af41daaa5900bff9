"""The comparison bench: small models, known tasks.

One sitting to read, in the order in which a batch goes by:

    tasks.py          a problem and its answer: MOD 5 , 4 % 7 =  →  2
    batches.py        128 of them as token ids, in four groups of similar length: inputs and labels
    release.py        which levels' losses count at this step
    model.py          the transformer that reads them
    train.py          loss, gradients, update: `train_step` is one step, `train` a run
    plant.py          on request, an objective on geometry beside the loss
    settings.py       everything that decides a run: its rate, when it saves, what it needs on the disk
    suite_folder.py   what lies on the disk: an ordinary local suite, and how a stopped run goes on
    probes.py         what a walk asks the model
    estimate.py       how long a run will take here
"""
