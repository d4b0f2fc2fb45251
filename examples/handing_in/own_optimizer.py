#!/usr/bin/env python3
"""Train with an optimizer of your own: here Muon, by which the gallery learnt at last.

python examples/handing_in/own_optimizer.py STYLE --content FOLDER [options of train.py]
"""

import sys

import keras
from keras import ops

import fst
from fst.console import cli
from fst.training.loop import build_rate


@keras.saving.register_keras_serializable("fst_examples")
class ConvolutionMuon(keras.optimizers.Muon):
    """Muon for the kernels of 3x3, as matrices `[inputs * 9, outputs]`, and Adam for the rest.

    Adam scales the gradient number by number, Muon as a whole: what it steps by is orthogonal, all
    directions alike (Jordan et al. 2024). Keras's own takes nothing but matrices; what is
    overridden here is not public in Keras, and may change there.
    """

    def _should_use_adamw(self, variable):
        return len(variable.shape) != 4 or variable.shape[0] != 3

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        ahead = ops.add(gradient, self.momentum * m) if self.nesterov else m
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        step = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(step, variable.shape))


def main():
    config = cli.parse(fst.TrainingConfig, "own_optimizer.py")
    optimizer = ConvolutionMuon(build_rate(config), weight_decay=None, adam_weight_decay=None)
    trained = fst.train(config, optimizer=optimizer)
    print(f"the style is in {trained.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
