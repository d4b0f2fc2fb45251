#!/usr/bin/env python3
"""Train with a process on each core, which often take the mean of their networks' weights.

python -m examples.handing_in.mean_of_processes STYLE --content FOLDER [options of train.py]

Each process has a core, photos and an optimizer of its own, and needs about 2 GB of memory: on
two cores this is faster than one process on both (local SGD, Stich 2019). The gallery's last parts
were trained so. `taskset -c 0-3` before the command limits it to four cores, on Linux. Stopped by
Ctrl-C or SIGTERM, the same command goes on.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import keras
import numpy as np

import fst
from fst import errors
from fst.console import cli, heap

STEPS_APART = 20  # The networks go their own ways for so long.


class TakeTheMean(keras.callbacks.Callback):
    """Sends the network's weights to `give_means` every few steps, and takes the mean.

    Args:
        end: this process's end of a pipe.
        steps: of the whole run: its last ends with a mean too.
    """

    def __init__(self, end, steps):
        super().__init__()
        self.end, self.steps = end, steps

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % STEPS_APART == 0 or batch + 1 == self.steps:
            # Once another process has come to its end, each goes on by itself.
            with contextlib.suppress(EOFError, OSError):
                self.end.send(self.model.network.get_weights())
                self.model.network.set_weights(self.end.recv())


def give_means(ends):
    """Answers the processes at the other ends with the mean of what all have sent, until one of
    them has nothing more to send."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            sent = [end.recv() for end in ends]
            mean = [np.mean(same, axis=0) for same in zip(*sent, strict=True)]
            for end in ends:
                end.send(mean)
    for end in ends:
        end.close()


def learn(config, core, end, first):
    """Trains in a process of its own, of which the first one says what happens."""

    def train():
        heap.keep_freed()
        say = print if first else lambda line: None
        fst.train(config, on_event=say, callbacks=[TakeTheMean(end, config.steps)])
        return 0

    os.sched_setaffinity(0, {core})  # Before TensorFlow counts the cores, in its first operation.
    for stop in (signal.SIGINT, signal.SIGTERM):  # By which a run saves its state.
        signal.signal(stop, signal.default_int_handler)
    errors.run(train)


def name_of(config, index):
    """The style's name in the process with this index: the first one's network is the result."""
    return f"{config.name}_process_{index}" if index else config.name


def start(config, cores):
    """Starts a process on each core, and gives them with their pipes."""
    for folder in (Path(config.output) / name_of(config, i) for i in range(1, len(cores))):
        if (folder / "style.json").exists():  # Of an unfinished run it is not there.
            raise errors.UserError(f"{folder}: is a finished style; give it another name first")
    spawn = multiprocessing.get_context("spawn")
    workers, ends = [], []
    for index, core in enumerate(cores):
        own = dataclasses.replace(config, name=name_of(config, index), seed=config.seed + index)
        here, there = spawn.Pipe()
        workers.append(spawn.Process(target=learn, args=(own, core, there, index == 0)))
        workers[-1].start()
        there.close()  # Open there alone, so that it closes when that process ends.
        ends.append(here)
    return workers, ends


def main():
    config = cli.parse(fst.TrainingConfig, "mean_of_processes.py")
    workers, ends = start(config, sorted(os.sched_getaffinity(0)))
    # Ctrl-C reaches every process by itself, and this one has to wait until all have saved.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: [worker.terminate() for worker in workers])
    give_means(ends)
    for worker in workers:
        worker.join()
    if workers[0].exitcode == 0:
        for index in range(1, len(workers)):  # What the others kept, to go on after a stop.
            shutil.rmtree(Path(config.output) / name_of(config, index), ignore_errors=True)
        print(f"the style is in {Path(config.output) / config.name}")
    return workers[0].exitcode


if __name__ == "__main__":
    errors.run(main)
