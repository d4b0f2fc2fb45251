"""Where VGG19's weights lie, which training and the companion need; nothing is downloaded here."""

import os
from pathlib import Path

from fst.errors import UserError

_CACHED = "models/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"


def check_vgg19():
    """Raises a UserError unless VGG19's weights are on this machine."""
    named = os.environ.get("FST_VGG19_WEIGHTS")
    cached = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / _CACHED
    if not Path(named or cached).is_file():
        raise UserError(
            f"VGG19's weights are not on this machine (looked for {named or cached}): whoever runs "
            "this page can name their file in the variable FST_VGG19_WEIGHTS and start it again, "
            "or run train.py once, which downloads them"
        )
