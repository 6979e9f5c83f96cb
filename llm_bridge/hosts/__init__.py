"""Several processes, on one host or on many, as one run: they join, agree on what each found by itself, and notice when
one of them is gone.

    joining.py         `join`: flags, or the cluster's environment, into `jax.distributed`
    roll_call.py       who is there: names the process that is missing, and later the one that has gone
    agreement.py       values, texts and errors that all processes are to have alike
    shared_folder.py   a run folder that process 0 writes; what is compared before anything is written

Every process runs the same program on its part of the devices. What only one process can know (a clock, a file, the
verdict of a verifier with a time limit) is told to all before it decides anything.
"""

from llm_bridge.hosts.agreement import agreed, counted, first, gathered, over, shares, texts, together, until_seen
from llm_bridge.hosts.joining import join
from llm_bridge.hosts.roll_call import ProcessGone, count, index

__all__ = [
    "ProcessGone",
    "agreed",
    "count",
    "counted",
    "first",
    "gathered",
    "index",
    "join",
    "over",
    "shares",
    "texts",
    "together",
    "until_seen",
]
