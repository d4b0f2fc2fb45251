"""Which of VGG19's weights training and the companion take; nothing is downloaded for the page."""

import os

from fst.errors import UserError
from fst.loss_options import EMBEDDED, WEIGHTS_VARIABLE, default_vgg_weights


def check_vgg19():
    """Raises a UserError if FST_VGG19_WEIGHTS names no file; without it those of fst are taken."""
    named = default_vgg_weights()
    if named != EMBEDDED and not os.path.isfile(named):
        raise UserError(
            f"VGG19's weights are not on this machine (looked for {named}): the owner of this page "
            f"can correct the variable {WEIGHTS_VARIABLE}, or leave it out, and start it again"
        )
