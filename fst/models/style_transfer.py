"""The network as a Keras model that learns: `compile` and `fit` work on it, and so does `train`.

photos ──► network ──► stylised photos ──► perceptual loss ◄── style image
              ▲                                  │
              └───────── optimizer ◄── gradient ─┘
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from fst.config import TrainingConfig
from fst.models.lattice import lattice_term
from fst.models.network import paint, styles_of
from fst.models.perceptual import LossTerms, PerceptualLoss


class StepResult(NamedTuple):
    """What a step found, before it corrected anything.

    `objective` is what was minimised, a float32 scalar; `terms` are the batch's `LossTerms`, all
    None where a subclass has a loss of its own; `by_style` is float32 `[styles, 4]`: for every
    style the sums of its photos' content and style terms, how many photos there were, and the sum
    of their totals.
    """

    objective: object
    terms: LossTerms
    by_style: object

    def logs(self):
        """The batch's own values by name, as Keras hands them to callbacks."""
        terms = {name: term for name, term in self.terms._asdict().items() if term is not None}
        return {"loss": self.objective, **terms}


class _Judged:
    """Holds the terms of the latest loss; a class of its own, so that Keras does not track them."""

    each = None


@keras.saving.register_keras_serializable("fst")
class StyleTransfer(keras.Model):
    """A network with the loss that it learns by.

    Args:
        network: from `fst.build_network`, or a Keras model with the same inputs and output.
        loss: a `PerceptualLoss` of as many styles as the network holds. Without one the model
            stylises, and cannot learn.
        lattice_weight: of the term against a canvas in step with the network's grid; 0: none.
        clip_norm: longest gradient that is followed as it is; a longer one is shortened to this.

    It takes what the network takes, photos float32 `[B, H, W, 3]`, RGB, 0-255, and with several
    styles the list of photos and shares `[B, styles]`; and gives the stylised photos.

    `fit` takes batches of photos; with several styles pairs of photos and the number of each one's
    style, int `[B]`, or its shares of the styles, float `[B, styles]`. It reports `loss`, what is
    minimised, and unweighted the terms of the perceptual loss.

    Raises:
        ValueError: the loss and the network have different numbers of styles.

    Example:
        >>> loss = fst.PerceptualLoss(load_vgg19(), [style])
        >>> model = fst.StyleTransfer(fst.build_network(width=8), loss)
        >>> model.compile(keras.optimizers.Adam(1e-3))
        >>> sorted(model.fit(photos, verbose=0).history)
        ['content', 'loss', 'style', 'total', 'tv']
    """

    def __init__(
        self,
        network: keras.Model,
        loss: PerceptualLoss | None = None,
        *,
        lattice_weight: float = TrainingConfig.lattice_weight,
        clip_norm: float = TrainingConfig.clip_norm,
        **kwargs: Any,
    ) -> None:
        # The network's policy, so that `compile` scales the loss for float16. What comes in stays
        # as it is: the network does its own casting.
        super().__init__(**{"dtype": network.dtype_policy, "autocast": False, **kwargs})
        if loss is not None and loss.styles != styles_of(network):
            raise ValueError(
                f"loss: is of {loss.styles} styles, and the network of {styles_of(network)}"
            )
        self.network, self.perceptual_loss = network, loss
        self.lattice_weight, self.clip_norm = lattice_weight, clip_norm
        self._means = [keras.metrics.Mean(name) for name in ("loss", *LossTerms._fields)]
        self._reported = tuple(mean.name for mean in self._means)
        self._judged = _Judged()
        # On a CPU oneDNN's convolutions are faster than XLA's.
        self.supports_jit = bool(tf.config.list_physical_devices("GPU"))
        self.built = True

    @property
    def metrics(self):
        return self._means

    def get_metrics_result(self):
        # Of those that are reported alone: Keras takes the means where it finds one for each value,
        # and the last batch's values where a subclass, with a loss of its own, has fewer.
        means = super().get_metrics_result()
        return {name: means[name] for name in self._reported}

    def call(self, inputs, training=False):
        return self.network(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """What is minimised: the perceptual loss, the network's own losses, and the lattice.

        Args:
            x: photos, float32 `[B, H, W, 3]`.
            y: their styles, as for `fit`.
            y_pred: the stylised photos.
            sample_weight: not used.
            training: not used.

        Returns:
            A float32 scalar.
        """
        if self.perceptual_loss is None:
            raise ValueError("loss: the model was made without, so that it can only stylise")
        content = self.perceptual_loss.content_features(x)
        each = self.perceptual_loss.of_each(y_pred, content, self._shares(x, y))
        self._judged.each = each
        # The network's own losses keep its output off the ends of the pixel range.
        objective = tf.reduce_mean(each.total) + sum(self.network.losses)
        if self.lattice_weight:
            objective += self.lattice_weight * tf.reduce_mean(lattice_term(y_pred))
        return objective

    def learn(self, photos, styles=None):
        """One step of training on one replica's part of a batch; the model must be compiled.

        Args:
            photos: float32 `[B, H, W, 3]`, RGB, 0-255.
            styles: as for `fit`.

        Returns:
            A `StepResult` of that part.
        """
        shares = self._shares(photos, styles)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            stylised = paint(self.network, photos, shares, training=True)
            loss, each = self._judge(photos, shares, stylised)
            # Each replica has its share of the batch, and the optimizer adds their gradients up.
            objective = self.optimizer.scale_loss(loss / replicas)
        variables = self.network.trainable_variables
        found = zip(tape.gradient(objective, variables), variables, strict=True)
        # A network of one's own may have weights that its output does not depend on.
        used = [(gradient, variable) for gradient, variable in found if gradient is not None]
        if not used:
            raise ValueError("network: what it gives depends on none of its trainable weights")
        gradients, variables = zip(*used, strict=True)
        gradients = self._clipped(gradients, replicas)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return _result(loss, each, shares)

    def train_step(self, data):
        photos, styles = _pair(data)
        return self._count(self.learn(photos, styles), photos)

    def test_step(self, data):
        photos, styles = _pair(data)
        shares = self._shares(photos, styles)
        loss, each = self._judge(photos, shares, paint(self.network, photos, shares))
        return self._count(_result(loss, each, shares), photos)

    def get_config(self):
        return {
            "name": self.name,
            "network": keras.saving.serialize_keras_object(self.network),
            "lattice_weight": self.lattice_weight,
            "clip_norm": self.clip_norm,
        }

    @classmethod
    def from_config(cls, config):
        """The model without its loss, which holds a VGG19 and is not saved."""
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(**{**config, "network": network})

    def _shares(self, photos, styles):
        """How much of each style every photo is to have, float32 `[B, styles]`."""
        count = styles_of(self.network)
        if styles is None:
            if count > 1:
                raise ValueError(
                    f"the network holds {count} styles: give pairs of photos and the number of "
                    "each one's style"
                )
            return tf.ones([tf.shape(photos)[0], 1])
        styles = tf.convert_to_tensor(styles)
        if styles.shape.rank == 2:
            return tf.cast(styles, tf.float32)
        return tf.one_hot(tf.cast(styles, tf.int32), count)

    def _judge(self, photos, shares, stylised):
        """What is minimised, and the terms of every photo: None where a subclass has none.

        The terms are taken at once: where the replicas wait for one another the next one judges.
        """
        self._judged.each = None
        loss = self.compute_loss(x=photos, y=shares, y_pred=stylised)
        return loss, self._judged.each

    def _clipped(self, gradients, replicas):
        """The gradients, shortened together where they are longer than `clip_norm`.

        Not by the optimizer's own option, which measures each replica's gradients alone.
        """
        if replicas > 1:
            context, how = tf.distribute.get_replica_context(), tf.distribute.ReduceOp.SUM
            gradients = context.all_reduce(how, gradients)
        limit = self.optimizer.scale_loss(tf.constant(self.clip_norm))
        gradients, _ = tf.clip_by_global_norm(gradients, limit)
        # The optimizer will add up what all replicas have, which is the same by now.
        return [gradient / replicas for gradient in gradients]

    def _count(self, result, photos):
        """The batch's values; Keras puts the means over an epoch in their place at its end."""
        logs = result.logs()
        self._reported = tuple(logs)
        for mean in self._means:
            if mean.name in logs:
                mean.update_state(logs[mean.name], sample_weight=tf.shape(photos)[0])
        return logs


def _pair(data):
    photos, styles, _ = keras.utils.unpack_x_y_sample_weight(data)
    return tf.cast(photos, tf.float32), styles


def _result(loss, each, shares):
    if each is None:
        return StepResult(loss, LossTerms(*[None] * 4), tf.zeros([shares.shape[1], 4]))
    ones = tf.ones_like(each.style)
    counted = tf.stack([each.content, each.style, ones, each.total], axis=1)
    by_style = tf.matmul(shares, counted, transpose_a=True)
    return StepResult(loss, LossTerms(*map(tf.reduce_mean, each)), by_style)
