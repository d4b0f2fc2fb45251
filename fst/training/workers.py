"""Several devices and machines: shares of photos, the chief that writes, lost workers."""

import contextlib
import os
import signal
import threading

import tensorflow as tf

from fst.errors import UserError, first_line

_PATIENCE = 100  # seconds until a worker that does not answer is given up


def make_strategy(config, on_event=print):
    """The `tf.distribute.Strategy` of `--distribute`, and whether this process writes the files.

    Raises:
        UserError: TF_CONFIG is missing or wrong, or the batch cannot be shared out.
    """
    if config.distribute == "none":
        return tf.distribute.get_strategy(), True
    if config.distribute == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
        chief = True
    else:
        strategy = _join_cluster(on_event)
        chief = _is_chief(strategy.cluster_resolver)
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise UserError(
            f"‹batch_size› {config.batch_size} cannot be shared out among {replicas} devices: "
            f"make it a multiple of {replicas}"
        )
    return strategy, chief


def _join_cluster(on_event):
    if "TF_CONFIG" not in os.environ:
        raise UserError(
            "‹distribute› multiworker: TF_CONFIG is not set; it is JSON with the addresses of "
            "all workers and the index of this one (see docs/training.md)"
        )
    on_event("waiting for the other workers")
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        _be_patient(resolver.cluster_spec())
        with _own_signals():
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        reason = first_line(error)
        raise UserError(
            f"‹distribute› multiworker: TF_CONFIG cannot be used ({reason}); see docs/training.md"
        ) from error
    except tf.errors.UnknownError as error:  # All that TensorFlow says of a port in use.
        raise UserError(
            f"‹distribute› multiworker: this worker cannot be reached at {_own(resolver)}, its "
            "address in TF_CONFIG: if another program has that port, end it or give another"
        ) from error


def _be_patient(cluster):
    """Lets workers be silent for longer than TensorFlow's ten seconds.

    A busy or swapping machine can be silent that long and still work. A process that has ended is
    noticed at once anyway, because its connection is closed.
    """
    try:
        from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
        from tensorflow.python.distribute import multi_worker_util
        from tensorflow.python.eager import context

        context.context().configure_coordination_service(
            service_type="standalone",
            service_leader=multi_worker_util.coordination_leader(cluster),
            heartbeat_timeout_in_ms=_PATIENCE * 1000,
            coordinated_jobs=[
                coordination_config_pb2.CoordinatedJob(name=job, num_tasks=cluster.num_tasks(job))
                for job in cluster.jobs
                if job in ("chief", "worker")
            ],
        )
    except (ImportError, AttributeError, TypeError):
        pass  # These are not TensorFlow's public parts, and another version's may differ.


def _own(resolver):
    """This worker's address."""
    return resolver.cluster_spec().task_address(resolver.task_type, resolver.task_id)


@contextlib.contextmanager
def _own_signals():
    """Takes SIGTERM back from TensorFlow, which keeps it to itself: it would not stop a run."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _is_chief(resolver):
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and not resolver.task_id)


def claim(state, strategy, chief):
    """Lets the chief clear the folder before any other worker reads the state in it."""
    if chief:
        state.claim()
    meet(strategy)
    state = state if chief else state.reopen()
    if len(set(meet(strategy, state.step))) > 1:
        raise UserError(
            "the workers find different states: give them all the same ‹output› on a shared disk"
        )
    return state


def meet(strategy, number=0):
    """Waits for all workers, and returns the `number`s that they come with."""
    if strategy.num_replicas_in_sync == 1:
        return [number]
    numbers = strategy.run(tf.function(lambda: tf.constant([number])))
    return strategy.gather(numbers, axis=0).numpy().tolist()


def agreement(config, strategy):
    """A function with which all workers stop after the same step.

    One that stopped alone would leave the others waiting in a step, and their state unsaved. Every
    worker calls the function after every step, and with what it wants; when one wants to stop, all
    are told so after the step that follows. By then the answer has come: nobody waits for it.

    Returns:
        A function of whether this worker wants to stop, which tells whether all are to stop.
    """
    if config.distribute != "multiworker":
        return lambda wanted: wanted
    latest = tf.constant(0.0)

    @tf.function
    def count(vote):
        every = strategy.run(lambda: tf.identity(vote))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, every, axis=None)

    def agreed(wanted):
        nonlocal latest
        vote, latest = latest, count(tf.constant(float(wanted)))
        return float(vote) > 0

    return agreed


def share_batches(config, photos, step, start_step):
    """The batches of the steps from `start_step` on, shared out among all devices.

    Args:
        config: the `TrainingConfig`.
        photos: the content photos (`fst.training.data`).
        step: the `TrainingStep` that takes the batches.
        start_step: the first step, from 0.
    """
    strategy, styles = step.strategy, step.loss.styles
    replicas = strategy.num_replicas_in_sync

    def share(context):
        workers = context.num_input_pipelines
        return photos.batches(
            config,
            styles,
            start_step=start_step,
            worker=context.input_pipeline_id,
            workers=workers,
            replicas=replicas // workers,
        )

    if config.distribute == "none":
        return photos.batches(config, styles, start_step=start_step)
    return strategy.distribute_datasets_from_function(share)


@contextlib.contextmanager
def naming_lost_workers(config):
    """Says in one line that another worker is gone, where TensorFlow says it in a hundred."""
    try:
        yield
    except tf.errors.OpError as error:
        own = (tf.errors.ResourceExhaustedError, tf.errors.InvalidArgumentError)
        if config.distribute != "multiworker" or isinstance(error, own):
            raise
        raise UserError(
            "another worker has stopped or cannot be reached: see what it says, then start all "
            "workers again with the same commands; they go on where the state was last saved"
        ) from error
