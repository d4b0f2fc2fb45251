"""When a film's packets and frames are shown: in order and from zero, whatever its file says.

The times of a television recording start at an arbitrary hour, those of a file with two recordings
start twice, and AVI stores only when a frame is decoded, not when it is shown.
"""

import heapq

_GAP = 10  # seconds forward that still count as a gap within one recording
_BACK = 0.1  # seconds backward that still count as disorder
_SAME = 1  # seconds: shifts of two tracks that are nearer than that are one and the same


class Timeline:
    """Moves the packets of a film to times that begin at zero.

    Args:
        start: seconds, a Fraction: what the file's own times begin with.
        restarts: whether times may begin again within the file, as those of MPEG-TS may.
    """

    def __init__(self, start, restarts):
        self._restarts = restarts
        self._latest = -start
        self._shifts, self._ends = {}, {}

    def place(self, packet):
        """Moves a packet, PyAV's, in place; returns its end in seconds, or None without a time."""
        told = packet.pts if packet.dts is None else packet.dts
        if told is None:
            return None
        unit, track = packet.time_base, packet.stream.index
        shift = self._shifts.setdefault(track, self._latest)
        if self._restarts:
            shift = self._continued(track, told * unit, shift)
        ticks = round(shift / unit)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        latest = max(time for time in (packet.pts, packet.dts) if time is not None)
        self._ends[track] = (told + ticks + (packet.duration or 0)) * unit
        return float((latest + (packet.duration or 0)) * unit)

    def _continued(self, track, time, shift):
        """The shift that lets `time` go on where its track ended, if the file began again."""
        end = self._ends.get(track)
        if end is None or -_BACK <= time + shift - end <= _GAP:
            return shift
        known, shift = shift, end - time
        # All tracks begin again at one moment; each by itself would lose the others' step.
        if self._latest != known and abs(shift - self._latest) < _SAME:
            shift = self._latest
        self._latest = self._shifts[track] = shift
        return shift


class Shown:
    """When frames are shown, for a file that tells only when they are decoded.

    The decoder hands them out in the order they are shown: the n-th of them takes the n-th of the
    times.
    """

    def __init__(self):
        self._times = []

    def fed(self, packet):
        """Takes note of a packet that goes to the decoder, and lets its frame carry its time."""
        packet.pts = packet.dts
        if packet.dts is not None:
            heapq.heappush(self._times, packet.dts)

    def time_of(self, frame):
        """The time of the next frame out of the decoder, in its own units, or None."""
        own = frame.pts
        # Before a key frame is shown, all that was decoded before it has been, or has been lost.
        while frame.key_frame and own is not None and self._times and self._times[0] < own:
            heapq.heappop(self._times)
        return heapq.heappop(self._times) if self._times else own
