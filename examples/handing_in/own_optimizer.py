#!/usr/bin/env python3
"""Train with an optimizer of your own: here Muon, with which the gallery's last parts were trained.

python -m examples.handing_in.own_optimizer STYLE --content FOLDER [options of train.py]
"""

import keras
from keras import ops

import fst
from fst import errors
from fst.console import cli
from fst.training.loop import build_rate


class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for the kernels of 3x3, as matrices `[inputs * 9, outputs]`, and Adam for the rest.

    Adam scales the gradient number by number, Muon as a whole: what it steps by is orthogonal, all
    directions alike (Jordan et al. 2024). Keras's own takes nothing but matrices; which variables
    it takes is not public in Keras, and may change there.
    """

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4 or variable.shape[0] != 3

    def zeropower_via_newtonschulz5(self, x, steps):
        return ops.reshape(super().zeropower_via_newtonschulz5(_as_matrix(x), steps), x.shape)

    def lr_adjust(self, x):
        return ops.reshape(super().lr_adjust(_as_matrix(x)), x.shape)


def _as_matrix(kernel):
    return ops.reshape(kernel, (-1, kernel.shape[-1]))


def main():
    config = cli.parse(fst.TrainingConfig, "own_optimizer.py")
    optimizer = ConvolutionMuon(build_rate(config), weight_decay=None, adam_weight_decay=None)
    trained = fst.train(config, optimizer=optimizer)
    print(f"the style is in {trained.folder}")
    return 0


if __name__ == "__main__":
    errors.run(main)
