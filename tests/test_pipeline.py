"""Reading, computing and writing at the same time: order, overlap, bounds, faults, stops."""

import contextlib
import gc
import itertools
import threading
import time
import weakref

import numpy as np
import pytest

from fst.batch import pipeline
from fst.batch.pipeline import Stages
from fst.errors import UserError

SOON = 20  # seconds that a test waits for what must happen


def stages(load=None, work=None, save=None):
    """Stages that hand on what they get, but for those given."""
    return Stages(
        load or (lambda job, hold: job),
        work or (lambda job, loaded: loaded),
        save or (lambda job, worked: worked),
    )


def run(jobs, stages, threads=2, pixels=1000):
    return pipeline.run(jobs, stages, threads=threads, pixels=pixels)


def results(*arguments, **options):
    return [done.result for done in run(*arguments, **options)]


def threads_left():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fst-")]


def until(holds):
    """Waits for a condition; tells whether it came true."""
    deadline = time.monotonic() + SOON
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.002)
    return holds()


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not threads_left()


@pytest.mark.parametrize("threads", [0, 1, 2, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 40])
def test_results_come_in_order(threads, count):
    random = np.random.default_rng(0)
    naps = iter(random.uniform(0, 0.004, 3 * count))  # So that the stages overtake each other.

    def slowly(job, given):
        time.sleep(next(naps))
        return job if callable(given) else given + 1

    dones = list(run(range(count), stages(slowly, slowly, slowly), threads))
    assert [(done.job, done.result, done.error) for done in dones] == [
        (job, job + 2, None) for job in range(count)
    ]


def test_without_threads_all_happens_here_and_one_after_the_other():
    calls, here = [], threading.current_thread()

    def note(job, given):
        assert threading.current_thread() is here
        calls.append(job)
        return job

    for done in run(range(3), stages(note, note, note), threads=0):
        assert calls == [job for job in range(done.job + 1) for _ in range(3)]


def test_work_stays_in_the_callers_thread():
    here, others = threading.current_thread(), set()

    def elsewhere(job, _):
        others.add(threading.current_thread())

    def work(job, _):
        assert threading.current_thread() is here

    assert len(results(range(10), stages(elsewhere, work, elsewhere))) == 10
    assert here not in others


def test_the_next_is_read_and_the_last_written_while_one_is_worked_on():
    loads, saves = ([threading.Event() for _ in range(5)] for _ in range(2))

    def load(job, hold):
        hold(100)
        loads[job].set()

    def work(job, _):
        # Each waits for its neighbours: were they not at work beside it, it would wait for ever.
        assert job == 4 or loads[job + 1].wait(SOON)
        assert job == 0 or saves[job - 1].wait(SOON)

    results(range(5), stages(load, work, lambda job, _: saves[job].set()))


class Meter:
    """How many pixels are held, and the most that ever were."""

    def __init__(self):
        self.now = self.most = self.jobs = self.most_jobs = 0
        self._lock = threading.Lock()

    def add(self, pixels):
        with self._lock:
            self.now += pixels
            self.jobs += 1 if pixels > 0 else -1
            self.most, self.most_jobs = max(self.most, self.now), max(self.most_jobs, self.jobs)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_pixels_in_memory_are_bounded_and_the_largest_goes_alone(threads):
    sizes = [10, 300, 5000, 20, 20, 700, 700, 700, 5000, 5000, 1000, 1, 1] * 3
    meter = Meter()

    def load(job, hold):
        hold(sizes[job])
        meter.add(sizes[job])
        return sizes[job]

    def work(job, size):
        if size == 5000:
            assert meter.jobs == 1
        return size

    def save(job, size):
        time.sleep(0.001)
        meter.add(-size)

    results(range(len(sizes)), stages(load, work, save), threads, pixels=1000)
    assert (meter.now, meter.jobs) == (0, 0)
    assert meter.most == 5000
    assert meter.most_jobs <= 1 + 4 * threads


def test_number_in_memory_is_bounded_where_they_are_small():
    meter, threads = Meter(), 2

    def load(job, hold):
        hold(1)
        meter.add(1)

    def save(job, _):
        time.sleep(0.002)
        meter.add(-1)

    results(range(200), stages(load, save=save), threads, pixels=10**9)
    assert meter.most <= 1 + 4 * threads


def test_jobs_are_asked_for_as_they_are_needed():
    asked = []
    with contextlib.closing(run(map(asked.append, itertools.count()), stages())) as dones:
        next(dones)
    assert len(asked) < 20


def test_room_that_a_reader_gives_back_is_there_for_the_next():
    """A large photo that is scaled down as it is read takes little room afterwards."""
    second = threading.Event()

    def load(job, hold):
        hold(900)
        hold(10)
        if job == 1:
            second.set()

    assert len(results(range(2), stages(load, lambda *_: second.wait(SOON)), pixels=1000)) == 2
    assert second.is_set()


def test_earlier_jobs_get_room_first():
    """The second, which needs the whole room, is not overtaken by the small ones behind it."""
    held = []

    def load(job, hold):
        time.sleep(0.05 if job == 1 else 0)
        hold(1000 if job == 1 else 10)
        held.append(job)

    results(range(6), stages(load), threads=4)
    assert held[:2] == [0, 1]


class Photo:
    """Stands for what takes much memory; can be counted by `weakref`."""


def test_photos_are_let_go_when_they_are_written():
    photos = weakref.WeakSet()

    def load(job, hold):
        photo = Photo()
        photos.add(photo)
        return photo

    with contextlib.closing(run(range(50), stages(load, save=lambda *_: None))) as dones:
        for _ in dones:
            assert len(photos) <= 9
    assert not photos


@pytest.mark.parametrize("stage", ["load", "work", "save"])
def test_photos_that_failed_are_let_go_before_it_is_told(stage):
    photos, failures = weakref.WeakSet(), []

    def fail(job, given):
        photo = Photo() if callable(given) else given
        photos.add(photo)
        try:
            raise MemoryError
        except MemoryError:
            if job:
                failures.append(job)
                raise UserError("too large") from None
        return photo

    def save(job, worked):
        if job == 0:  # Nothing is told before the first is over.
            assert until(lambda: len(failures) == 9)
            assert until(lambda: len(photos) <= 1)
        if stage == "save":
            fail(job, worked)

    load = fail if stage == "load" else lambda job, hold: Photo()
    made = stages(load, fail if stage == "work" else None, save)
    gc.disable()
    try:
        assert len(list(run(range(10), made, threads=3))) == 10
    finally:
        gc.enable()


# --- Faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("stage", ["load", "work", "save"])
def test_a_user_error_ends_its_job_alone_and_gives_its_room_back(stage, threads):
    def fail(job, given):
        if callable(given):
            given(600)  # Two of them have no room together.
        if job % 3 == 1:
            raise UserError(f"job {job} is bad")
        return job

    def hold_only(job, hold):
        hold(600)
        return job

    made = stages(**{"load": hold_only, stage: fail})
    dones = list(run(range(20), made, threads))
    assert [done.job for done in dones] == list(range(20))
    for job, result, error in dones:
        assert (str(error) if error else result) == (f"job {job} is bad" if job % 3 == 1 else job)


def test_a_file_that_cannot_be_read_keeps_nobody_waiting():
    def load(job, hold):
        if job % 2:
            raise UserError("no such file")
        hold(1000)

    assert len(results(range(20), stages(load), threads=4)) == 20


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("stage", ["load", "work", "save"])
@pytest.mark.parametrize("fault", [ZeroDivisionError, MemoryError, KeyboardInterrupt])
def test_any_other_exception_surfaces(stage, threads, fault):
    def fail(job, given):
        if job == 5:
            raise fault("here")
        return job

    dones = run(range(1000), stages(**{stage: fail}), threads)
    with pytest.raises(fault) as caught:
        list(dones)
    assert caught.traceback[-1].name == "fail"


# --- Interruptions -------------------------------------------------------------------------------


def test_an_interruption_finishes_what_is_being_written_and_begins_no_more():
    writing, begun, written = threading.Event(), [], []

    def save(job, _):
        begun.append(job)
        writing.set()
        time.sleep(0.2)
        written.append(job)

    def work(job, _):
        if job == 4:
            assert writing.wait(SOON)
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(run(range(100), stages(work=work, save=save)))
    assert time.monotonic() - started < SOON / 2
    assert not threads_left()
    assert 1 <= len(begun) <= 4
    assert sorted(begun) == sorted(written)


def test_closing_early_stops_readers_that_wait_for_room():
    def load(job, hold):
        hold(1000)

    with contextlib.closing(run(range(100), stages(load), threads=4)) as dones:
        next(dones)
        assert threads_left()
    assert not threads_left()


def test_a_download_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(pipeline, "_PATIENCE", 0.1)
    hanging, over = threading.Event(), threading.Event()

    def load(job, hold):
        if job == 1:
            hanging.set()
            over.wait(SOON)

    started = time.monotonic()
    with contextlib.closing(run(range(3), stages(load))) as dones:
        next(dones)
        assert hanging.wait(SOON)
    assert time.monotonic() - started < SOON / 2
    assert until(lambda: len(threads_left()) == 1)
    (name,) = threads_left()
    thread = next(thread for thread in threading.enumerate() if thread.name == name)
    assert thread.daemon  # Else Python would wait for it at its end.
    over.set()
    thread.join(SOON)
