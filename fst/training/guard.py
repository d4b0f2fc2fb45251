"""A guard against jumps: a loss that rises suddenly and does not recover.

The losses are judged window by window, from one save to the next, or over several saves where they
are close together. A window is suspect when its mean total lies above the running mean of the
windows before by 10 %, and by four standard errors. Styles differ in their losses, and a window
holds more of one than of another: so every photo's loss counts as a share of its own style's
running mean. One suspect window may be chance, and is not saved; two in a row are a jump.
"""

import numpy as np

_RISE = 0.1
_ERRORS = 4.0  # standard errors
_ENOUGH = 20  # observations in a window; of fewer the standard error says little
_NEWEST = 0.3  # weight of the newest window in the running means


class Jumped(Exception):
    """The loss has jumped."""


class JumpGuard:
    """Judges the losses of a run.

    Args:
        styles: how many there are.
        saved: what `to_json` returned, to go on from.

    Attributes:
        suspect: whether the latest window that was judged is suspect.
    """

    def __init__(self, styles, saved=None):
        saved = saved or {}
        # By style: how many observations, their sum, the sum of their squares.
        self._window = np.array(saved.get("window", np.zeros((styles, 3))), np.float64)
        self._means = np.array(saved.get("means", np.zeros(styles)), np.float64)
        self.suspect = False

    def add(self, by_style):
        """Adds what a step found, `StepResult.by_style`, `[styles, 4]`."""
        by_style = np.asarray(by_style, np.float64)
        seen = by_style[:, 2] > 0
        means = np.divide(by_style[:, 3], by_style[:, 2], out=np.zeros(len(seen)), where=seen)
        self._window += np.stack([seen, means, means**2], axis=1)

    def judge(self, last=False):
        """Closes the window, if it holds enough, and tells whether the loss has jumped.

        Args:
            last: the run ends here: there is no other window to wait for.
        """
        before = self.suspect
        if self._window[:, 0].sum() >= _ENOUGH:
            self.suspect = self._is_high()
            if not self.suspect:
                self._learn()
            self._window[:] = 0
            return self.suspect and (before or last)
        return self.suspect and last

    @property
    def settled(self):
        """Whether all that was added has been judged: no window is open."""
        return not self._window.any()

    def to_json(self):
        """What is needed to go on: lists of numbers."""
        return {"window": self._window.tolist(), "means": self._means.tolist()}

    def _is_high(self):
        known = self._means > 0
        count, total, squares = self._window[known].T
        means = self._means[known]
        seen = count.sum()
        if seen < _ENOUGH:  # Of the styles seen before.
            return False
        mean = (total / means).sum() / seen
        variance = max((squares / means**2).sum() / seen - mean**2, 0.0)
        return mean > 1.0 + max(_RISE, _ERRORS * np.sqrt(variance / seen))

    def _learn(self):
        count, total, _ = self._window.T
        found = np.divide(total, count, out=np.zeros(len(count)), where=count > 0)
        newer = self._means + _NEWEST * (found - self._means)
        self._means = np.where(count == 0, self._means, np.where(self._means > 0, newer, found))
