"""
Frames by chance, through the real protocols of both ends: row 24.
"""

from __future__ import annotations

import argparse
import time
from random import Random

from tests.fuzz.mutation import Mutation, delivered, seeds, segmented
from tests.fuzz.targets import ClientTarget, ServerTarget, Target
from tests.proofs.proof import Figure, Progress, Proof
from tests.taken import Taken

#: Of so many frames that a run may stand for, one does.
RUNS = 16

#: Frames of one target before it is closed, and looked at for what is left.
LIFE = 50_000


def fuzz(target: Target, sender: str, frames: int, seed: int) -> int:
    """
    Give C{frames} to C{target}, some of them in runs, and close it.

    @return: how many went the straight way of a server.
    @raise AssertionError: something happened that must not.
    """
    random = Random(seed)
    mutation = Mutation(seeds(sender), random)
    left = frames
    with Taken() as taken:
        while left > 0:
            first = target.next_seq()
            if first and not random.randrange(RUNS):
                run = mutation.run(first)
                left -= len(run)
                target.feed(segmented(run, random))
            else:
                left -= 1
                target.feed(delivered(mutation.frame(), random))
    target.finish()
    return taken.frames


def prove(options: argparse.Namespace, progress: Progress) -> list[Figure]:
    """
    Three frames in four are for a server, the others for a client.
    """
    began = time.monotonic()
    cpu = time.process_time()
    done = straight = 0
    seed = options.seed
    while done < options.frames:
        life = min(LIFE, options.frames - done)
        seed += 1
        try:
            if seed % 4:
                straight += fuzz(ServerTarget(), "client", life, seed)
            else:
                fuzz(ClientTarget(), "server", life, seed)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\nagain: python -m tests.proofs fuzz --seed {seed - 1}"
                f" --frames {life}"
            ) from error
        done += life
        rate = done / (time.process_time() - cpu)
        progress(f"{done:,} of {options.frames:,} frames, {rate:,.0f}/s")
    assert straight, "no frame went the straight way"
    rate = done / (time.process_time() - cpu)
    seconds = time.monotonic() - began
    return [
        Figure(
            row=24,
            measured=f"{done:,} frames in {seconds:.0f} s, {rate:,.0f} in a second of"
            f" CPU, {straight:,} of them the straight way: 0 uncaught, 0 left over, each canary answered",
            met=rate >= 5_000,
        )
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)


PROOF = Proof(
    name="fuzz",
    what="Mutated frames raise nothing, leave nothing, and disturb nobody",
    rows=(24,),
    run=prove,
    options=_options,
)
