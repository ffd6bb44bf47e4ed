"""Children of a run: SIGTERM ends them, however early it comes."""

import signal
import subprocess
import sys

# In an interpreter of its own, because a hook at fork stays for ever. SIGTERM comes while CPython's hooks still run in
# the child, before its own first line.
SCRIPT = """
import os, signal
from prefect.utilities.engine import capture_sigterm
from deployments.forking import own_fork

os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))

def state():
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGTERM)

def fork_one():
    before = state()
    child = own_fork.fork()
    if child == 0:
        os._exit(7)
    assert state() == before
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
OF_PREFECT = "with capture_sigterm():\n    fork_one()\n"
OF_THE_FLOW = "signal.signal(signal.SIGTERM, lambda *_: os._exit(5))\nfork_one()\n"


def exit_code_of_child(script: str) -> int:
    command = [sys.executable, "-c", SCRIPT + script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout)


def test_a_child_that_is_ended_before_it_begins_ends() -> None:
    assert exit_code_of_child(OF_PREFECT) == -signal.SIGTERM


def test_a_child_keeps_the_handler_of_the_flow() -> None:
    assert exit_code_of_child(OF_THE_FLOW) == 5
