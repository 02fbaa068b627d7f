"""A real Slurm on this machine, for tests: one node, started in a folder and ended again."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

CONF = """
ClusterName=here
SlurmctldHost={name}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
KillWait=3
NodeName={name} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not():
    """Why there can be no Slurm here, or nothing."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return "" if os.geteuid() == 0 else "only root can start it"


@contextlib.contextmanager
def slurm_here(folder: Path):
    """Start it; yield the environment with which commands find it."""
    folder.chmod(0o755)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    name = socket.gethostname().split(".")[0]
    conf = CONF.format(name=name, folder=folder, ports=free_ports(2))
    (folder / "slurm.conf").write_text(conf.strip() + "\n")
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid"}
    files |= {"log-file": "munge.log", "seed-file": "munge.seed"}
    munge = ["munged", "--force", "--foreground"]
    munge += [f"--{option}={folder / file}" for option, file in files.items()]
    programs = (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", name])
    with contextlib.ExitStack() as stack:
        for program in programs:
            with (folder / f"{program[0]}.out").open("w") as output:
                process = subprocess.Popen(
                    program, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
                )
            stack.callback(end, process)
            if program[0] == "munged":
                wait_for((folder / "munge.socket").exists, folder)
        wait_for(lambda: said(["sinfo", "-h", "-o", "%t"], environment) == "idle", folder)
        yield environment


def said(command, environment):
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


def end(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(condition, folder, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            logs = [path.read_text("utf-8", "replace")[-2000:] for path in folder.glob("*.[lo]*")]
            raise AssertionError("\n".join(["Slurm does not start", *logs]))
        time.sleep(0.1)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
