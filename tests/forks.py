"""Commands in processes of their own, without the seconds that each import of TensorFlow takes.

A template process imports what the commands need, once for all tests. Each command is a fork of
it: a real process, with an environment, a folder and streams of its own, that can be sent signals
and ends with an exit code. What a command does before TensorFlow is there, or how much memory it
takes, is for `conftest.run` to show, which starts Python anew.
"""

import contextlib
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STREAMS = 2  # Standard output and error.


@functools.cache
def _template():
    """The process that is forked, and where it takes requests; without them it ends."""
    requests, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    return process, requests


def start(*command, cwd=ROOT, env=None, devices=1):
    """Starts `python command...`, in which TensorFlow finds so many CPUs; gives a `Command`."""
    env = os.environ if env is None else env
    return Command(_template()[1], command, cwd=os.fspath(cwd), env=dict(env), devices=devices)


def run(*command, timeout=600, **options):
    """Runs `python command...` to its end, as `conftest.run` does."""
    process = start(*command, **options)
    try:
        out, err = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.words, process.returncode, out, err)


class Command:
    """A command that runs, with what is used here of `subprocess.Popen`."""

    def __init__(self, requests, command, **surroundings):
        self.words = [str(word) for word in command]
        self.returncode = None
        self._streams = [tempfile.TemporaryFile() for _ in range(STREAMS)]  # noqa: SIM115
        self._ended, theirs = socket.socketpair()
        data = json.dumps({"words": self.words, **surroundings}).encode()
        with theirs:
            fds = [theirs.fileno(), *(stream.fileno() for stream in self._streams)]
            socket.send_fds(requests, [len(data).to_bytes(4, "big")], fds)
            requests.sendall(data)
        self._messages = self._ended.makefile()
        self.pid = int(self._messages.readline())

    def poll(self):
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self.returncode = int(self._messages.readline())
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None and not select.select([self._ended], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.words, timeout)
        return self.poll()

    def communicate(self, timeout=None):
        """Waits for its end; gives what it has written to each stream."""
        self.wait(timeout)
        texts = []
        for stream in self._streams:
            stream.seek(0)
            texts.append(stream.read().decode())
        return texts

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def _serve(requests):
    """Forks for each request; returns one in the process that is to fulfil it."""
    while True:
        size, fds, _, _ = socket.recv_fds(requests, 4, 1 + STREAMS)
        if not size:
            os._exit(0)
        data = requests.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        if os.fork() == 0:
            requests.close()
            _keep(fds[0])
            return json.loads(data), fds[1:]
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(ended):
    """Forks once more, waits and tells how that ended; returns in the new process."""
    pid = os.fork()
    if pid == 0:
        os.close(ended)
        return
    os.write(ended, f"{pid}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(ended, f"{code}\n".encode())
    os._exit(0)


def _become(request, streams):
    """Makes this process what Python would have made it for a command."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    _look_for_devices(request["devices"])
    for target, fd in enumerate(streams, start=1):
        os.dup2(fd, target)
        os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _look_for_devices(count):
    """TensorFlow has something to say then, which the commands keep off the terminal."""
    import tensorflow as tf

    if count > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, logical)
    tf.config.list_physical_devices()
    if "TF_CONFIG" not in os.environ:
        tf.cast(tf.zeros([1]), tf.float16)


def _run(words):
    """Runs `-c CODE ...`, `-m MODULE ...` or `FILE ...` as `__main__`."""
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    elif words[0] == "-m":
        sys.argv = words[1:]
        if not hasattr(sys.modules.get(words[1]), "__path__"):
            sys.modules.pop(words[1], None)  # Or Python warns that it is there already.
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")


def _main(requests):
    sys.path[0] = str(ROOT)
    import keras  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import tensorflow  # noqa: F401

    import fst.batch.inference
    import fst.comparison.report
    import fst.export
    import fst.gatys.command
    import fst.training.loop  # noqa: F401

    # What is there by now stays: no child need look through it, nor copy its pages.
    gc.collect()
    gc.freeze()
    request, streams = _serve(requests)
    _become(request, streams)
    try:
        _run(request["words"])
    except Exception:  # As Python does, but for this file's own lines.
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
