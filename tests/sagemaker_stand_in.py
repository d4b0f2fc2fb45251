"""Amazon SageMaker on this machine, for tests: runs in the environment that `make cloud` makes.

    python sagemaker_stand_in.py PYTHON COMMANDS

runs commands one after the other, for the SDK takes long to load. COMMANDS is JSON, a list of
`[FOLDER, INTERRUPT_AFTER, OPTIONS]`.

For each, `cloud/sagemaker_train.py OPTIONS` is run against moto's stand-ins of S3, IAM and
SageMaker. Moto only notes down a training job. Here it is run for real, by PYTHON, as SageMaker
documents it: channels, configuration and checkpoints are laid out below FOLDER in place of /opt/ml,
once for each instance, and the script that the SDK uploaded is started in each. The network has one
residual block there, which takes half the time, and only a job's first instance looks whether all
that the job requires is installed. With INTERRUPT_AFTER above 0 the instances are
stopped once the state of so many steps is saved, and new ones go on from the copy in S3.

Leaves in FOLDER: `ended.json`, the command's exit code and what it said on its error stream;
`request.json`, the request that was made; `hosts/`, the instances.
"""

import contextlib
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="eu-central-1",
    SAGEMAKER_VALIDATE_ROLE="false",  # moto has no SimulatePrincipalPolicy
    no_proxy="*",
)

import boto3
from botocore.client import BaseClient
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from ports import free_ports

ROOT = Path(__file__).resolve().parent.parent
HOSTS = ("127.0.0.1", "localhost")  # Two names of this machine stand for two instances.
PATIENCE = 600


def main(python, commands):
    for folder, interrupt_after, options in commands:
        with mock_aws(), contextlib.redirect_stderr(io.StringIO()) as said:
            code = launch(Account(Path(folder).resolve(), python, interrupt_after), options)
        ended = {"code": code, "said": said.getvalue()}
        (Path(folder) / "ended.json").write_text(json.dumps(ended))


def launch(account, options):
    """Runs the command; its job is run as soon as it is asked for. Gives the exit code."""
    call = BaseClient._make_api_call

    def answer(client, operation, parameters):
        result = call(client, operation, parameters)
        if operation == "CreateTrainingJob":
            account.run_job(parameters)
        return result

    trust = {"Version": "2012-10-17", "Statement": []}
    boto3.client("iam").create_role(RoleName="trainer", AssumeRolePolicyDocument=json.dumps(trust))
    sys.argv = ["sagemaker_train.py", *options]
    BaseClient._make_api_call = answer
    try:
        runpy.run_path(str(ROOT / "cloud" / "sagemaker_train.py"), run_name="__main__")
    except SystemExit as stop:
        return stop.code
    finally:
        BaseClient._make_api_call = call


class Account:
    """Where the job's data lie, in moto's S3 and on the instances."""

    def __init__(self, folder, python, interrupt_after):
        self.folder, self.python, self.interrupt_after = folder, python, interrupt_after
        self.s3, self.channels = boto3.client("s3"), {}
        self.installed = False

    def run_job(self, request):
        (self.folder / "request.json").write_text(json.dumps(request))
        count = request["ResourceConfig"]["InstanceCount"]
        hosts = [self.folder / "hosts" / name for name in HOSTS[:count]]
        if self.interrupt_after:
            codes = self.run_hosts(request, hosts, self.interrupt_after)
            if codes != [130] * count:
                raise RuntimeError(f"the instances that were interrupted ended with {codes}")
        codes = self.run_hosts(request, hosts)
        job = sagemaker_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].training_jobs[
            request["TrainingJobName"]
        ]
        if any(codes):
            failures = [host / "output" / "failure" for host in hosts]
            reasons = [path.read_text() for path in failures if path.exists()]
            job.training_job_status = "Failed"
            job.failure_reason = "AlgorithmError: " + "; ".join(reasons)
        else:
            self.store_model(hosts, job.model_artifacts["S3ModelArtifacts"])

    def run_hosts(self, request, hosts, interrupt_after=0):
        port = free_ports(2)
        for host in hosts:
            shutil.rmtree(host, ignore_errors=True)
            self.lay_out(request, host, [host.name for host in hosts], port)
        processes = [self.start(request, host) for host in hosts]
        try:
            if interrupt_after:
                wait_for_step(hosts[0], interrupt_after, processes)
                for process in processes:
                    process.terminate()
            codes = [process.wait(timeout=PATIENCE) for process in processes]
        finally:
            for process in processes:
                process.kill()
        for host in hosts:
            self.upload(host / "checkpoints", request["CheckpointConfig"]["S3Uri"])
        return codes

    def lay_out(self, request, host, names, port):
        """What SageMaker has put below /opt/ml when a container starts."""
        channels = {}
        for channel in request["InputDataConfig"]:
            name = channel["ChannelName"]
            address = channel["DataSource"]["S3DataSource"]["S3Uri"]
            if name not in self.channels:  # The first instance gets it from S3, all others alike.
                self.channels[name] = self.folder / "channels" / name
                self.download(address, self.channels[name])
            shutil.copytree(self.channels[name], host / "input" / "data" / name)
            channels[name] = {"TrainingInputMode": channel["InputMode"]}
        config = host / "input" / "config"
        config.mkdir()
        described = {
            "current_host": host.name,
            "current_instance_type": request["ResourceConfig"]["InstanceType"],
            "hosts": names,
            "network_interface_name": "eth0",
        }
        (config / "resourceconfig.json").write_text(json.dumps(described))
        (config / "inputdataconfig.json").write_text(json.dumps(channels))
        (config / "hyperparameters.json").write_text(json.dumps(request["HyperParameters"]))
        for name in ("model", "output", "checkpoints"):
            (host / name).mkdir()
        self.download(request["CheckpointConfig"]["S3Uri"] + "/", host / "checkpoints")
        for path in (host / "input" / "data" / "sm_drivers").rglob("*.*"):
            if path.suffix in (".py", ".sh"):
                text = path.read_text().replace("/opt/ml", str(host))
                path.write_text(text.replace("SM_MASTER_PORT = 7777", f"SM_MASTER_PORT = {port}"))
        code = host / "input" / "data" / "code"
        if self.installed:
            (code / "requirements.txt").write_text("")
        self.installed = True
        replace(code / "cloud" / "sagemaker_job.py", "/opt/ml", str(host))
        replace(code / "fst" / "models" / "architecture.py", "BLOCKS = 5", "BLOCKS = 1")

    def start(self, request, host):
        """The container's process, with the environment that SageMaker gives it."""
        arguments = [
            text.replace("/opt/ml", str(host))
            for text in request["AlgorithmSpecification"]["ContainerArguments"]
        ]
        environment = {
            "PATH": f"{Path(self.python).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(host),
            "TRAINING_JOB_NAME": request["TrainingJobName"],
            "PIP_NO_INDEX": "1",  # What the job needs is there already.
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # Two instances on two cores: with a thread for each core they would wait on each other.
            "TF_NUM_INTRAOP_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            **request.get("Environment", {}),
        }
        with open(self.folder / f"{host.name}.log", "a") as log:
            return subprocess.Popen(
                [*request["AlgorithmSpecification"]["ContainerEntrypoint"], *arguments],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def download(self, address, folder):
        bucket, prefix = split(address)
        folder.mkdir(parents=True, exist_ok=True)
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for found in page.get("Contents", ()):
                # A prefix that is a file's whole name gives that file.
                rest = found["Key"].removeprefix(prefix).strip("/") or Path(prefix).name
                (folder / rest).parent.mkdir(parents=True, exist_ok=True)
                self.s3.download_file(bucket, found["Key"], str(folder / rest))

    def upload(self, folder, address):
        bucket, prefix = split(address)
        for path in folder.rglob("*"):
            if path.is_file():
                self.s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(folder)}")

    def store_model(self, hosts, address):
        archive = self.folder / "model.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for host in hosts:
                for path in sorted((host / "model").iterdir()):
                    tar.add(path, path.name)
        self.s3.upload_file(str(archive), *split(address))


def replace(path, old, new):
    text = path.read_text()
    assert old in text, path
    path.write_text(text.replace(old, new))


def split(address):
    return re.fullmatch("s3://([^/]+)/(.*)", address).groups()


def wait_for_step(host, step, processes):
    """Waits until the state after `step` steps or more is saved."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for path in host.glob("checkpoints/*/history.csv"):
            state = path.parent / "training" / "state.npz"
            if state.exists() and len(path.read_text().splitlines()) > step:
                return
        if any(process.poll() is not None for process in processes):
            raise RuntimeError("an instance ended before it could be interrupted")
        time.sleep(0.05)
    raise RuntimeError("the instances took too long")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
