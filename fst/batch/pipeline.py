"""Reading, computing and writing at the same time, in bounded memory.

While one photo is computed, the next photos are read and the previous ones are written. Computing
stays in the caller's thread, one job at a time and in order; reading and writing run in other
threads. The number of pixels in memory limits how far these get ahead, and not only the number of
photos, so that large photos do not pile up.
"""

import collections
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NamedTuple

from fst.errors import UserError

_PATIENCE = 2.0  # seconds that a stopped run waits for what it reads, such as a slow download


class Stages(NamedTuple):
    """What happens to a job, in three steps; each may raise a `UserError`.

    Attributes:
        load: `load(job, hold)`, in any thread. Before much memory is taken it calls `hold(pixels)`,
            which waits until there is room for that many; a later call with fewer gives the rest
            back. What it returns goes to `work`.
        work: `work(job, loaded)`, in the caller's thread. What it returns goes to `save`.
        save: `save(job, worked)`, in any thread. What it returns is the job's result.
    """

    load: Callable[[Any, Callable[[int], None]], Any]
    work: Callable[[Any, Any], Any]
    save: Callable[[Any, Any], Any]


class Done(NamedTuple):
    """A job that is over: the `result` of its last stage, or the `UserError` that ended it."""

    job: Any
    result: Any
    error: UserError | None


def default_threads():
    """How many threads should read, and how many write, on this machine."""
    return min(8, max(2, (os.cpu_count() or 1) // 2))


def run(jobs, stages, *, threads, pixels):
    """Takes jobs through their stages.

    Close the generator (`contextlib.closing`) where it may be left early: it then waits for what is
    being written, which becomes whole, and begins nothing more.

    Args:
        jobs: any iterable.
        stages: the `Stages`.
        threads: how many read, and how many write; 0: no threads, one stage after the other.
        pixels: how many may be in memory at a time. A job that holds more goes alone.

    Yields:
        A `Done` for each job, in the order of the jobs.

    Raises:
        Exception: what a stage has raised that is no `UserError`.
    """
    return _overlapped(jobs, stages, threads, pixels) if threads else _in_turn(jobs, stages)


def _in_turn(jobs, stages):
    for job in jobs:
        yield _done(job, lambda job=job: _all_stages(job, stages))


def _all_stages(job, stages):
    return stages.save(job, stages.work(job, stages.load(job, lambda pixels: None)))


def _done(job, result):
    try:
        return Done(job, result(), None)
    except UserError as error:
        return Done(job, None, error)


def _overlapped(jobs, stages, threads, pixels):
    todo, loading, saving = iter(jobs), collections.deque(), collections.deque()
    room, loaders, savers = _Room(pixels), _Pool(threads, "load"), _Pool(threads, "save")
    try:
        loaders.start()
        savers.start()
        while True:
            # Beside the one in work, for each thread one that it is at and one that comes next.
            free = 1 + 4 * threads - len(loading) - len(saving)
            for job in itertools.islice(todo, free):
                loading.append(_begin(stages, loaders, job, room.queue_up()))
            first = [line[0].future for line in (saving, loading) if line]
            if not first:
                return
            wait(first, return_when=FIRST_COMPLETED)
            if saving and saving[0].future.done():
                over = saving.popleft()
                yield _done(over.job, over.future.result)
            else:
                saving.append(_work(stages, savers, loading.popleft()))
    finally:
        room.close()
        loaders.stop(_PATIENCE)
        savers.stop(None)


class _InFlight(NamedTuple):
    """A job with what it holds, and the future of the stage that a thread is to do."""

    job: Any
    place: "_Place"
    future: Future


def _begin(stages, loaders, job, place):
    return _InFlight(job, place, loaders.submit(_load, stages, job, place))


def _work(stages, savers, task):
    """Does a job's second stage, and hands it on to the third."""
    job, place, loaded = task
    try:
        worked = stages.work(job, loaded.result())
    except UserError as error:
        place.leave()
        failed = Future()
        _fail(failed, error)
        return task._replace(future=failed)
    return task._replace(future=savers.submit(_save, stages, job, worked, place))


def _load(stages, job, place):
    try:
        return stages.load(job, place.hold)
    except BaseException:
        place.leave()
        raise
    finally:
        place.let_pass()


def _save(stages, job, worked, place):
    try:
        return stages.save(job, worked)
    finally:
        place.leave()


def _fail(future, error):
    """Ends a future by an error, which is raised again where its result is asked for."""
    if isinstance(error, UserError):
        # It speaks for itself. The frames behind it would hold their photo until it is told.
        behind = error
        while behind is not None:
            behind.__traceback__ = None
            behind = behind.__cause__ or behind.__context__
    future.set_exception(error)


class _Closed(BaseException):
    """No more room will come. Not an Exception, or a reader would treat it as an error."""


class _Room:
    """The pixels that may be in memory, given out in the order of the jobs.

    In this order they are worked on too: were a later photo let in first, an earlier and larger one
    could wait for room which is given back only after it.
    """

    def __init__(self, pixels):
        self.size = self.free = pixels
        self.line = collections.deque()
        self.closed = False
        self.changed = threading.Condition()

    def queue_up(self):
        place = _Place(self)
        with self.changed:
            self.line.append(place)
        return place

    def close(self):
        """Sends away all who wait."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class _Place:
    """A job's place in the line for a `_Room`, and what it holds there."""

    def __init__(self, room):
        self._room, self._held, self._in_line = room, 0, True

    def hold(self, pixels):
        room = self._room
        pixels = min(pixels, room.size)
        with room.changed:
            room.changed.wait_for(lambda: room.closed or self._may_hold(pixels))
            if room.closed:
                raise _Closed
            self._set(pixels)
            self._step_out()

    def _may_hold(self, pixels):
        first = not self._in_line or self._room.line[0] is self
        return first and pixels <= self._room.free + self._held

    def let_pass(self):
        """Keeps nobody waiting who stands behind; what is held is held on to."""
        with self._room.changed:
            self._step_out()

    def leave(self):
        with self._room.changed:
            self._set(0)
            self._step_out()

    def _set(self, pixels):
        self._room.free += self._held - pixels
        self._held = pixels
        self._room.changed.notify_all()

    def _step_out(self):
        if self._in_line:
            self._in_line = False
            self._room.line.remove(self)
            self._room.changed.notify_all()


class _Pool:
    """Threads that do what is submitted, in order.

    Not the pool of `concurrent.futures`, on whose threads Python waits when it ends, and so on the
    slowest server.
    """

    def __init__(self, count, name):
        self._tasks, self._stopped = queue.SimpleQueue(), False
        self._threads = [
            threading.Thread(target=self._serve, name=f"fst-{name}-{index}", daemon=True)
            for index in range(count)
        ]

    def start(self):
        for thread in self._threads:
            thread.start()

    def submit(self, task, *arguments):
        future = Future()
        self._tasks.put((future, task, arguments))
        return future

    def stop(self, patience):
        """Begins nothing more, and waits for what has begun: that many seconds, or to its end."""
        self._stopped = True
        for _ in self._threads:
            self._tasks.put(None)
        end = None if patience is None else time.monotonic() + patience
        for thread in self._threads:
            if thread.is_alive():  # An interruption may have come before it was started.
                thread.join(None if end is None else max(0, end - time.monotonic()))

    def _serve(self):
        while self._serve_one():
            pass

    # A function by itself, so that a thread that waits for its next task holds no photo.
    def _serve_one(self):
        task = self._tasks.get()
        if task is None or self._stopped:
            return False
        future, call, arguments = task
        del task
        try:
            result = call(*arguments)
        except BaseException as error:
            _fail(future, error)
        else:
            future.set_result(result)
        return True
