"""Runs a command and reaps every orphan below it: subreaper.py COMMAND [ARGUMENT...]

QEMU detaches itself from libvirtd, so when a guest ends, its process belongs to PID 1. Where PID 1
is not an init system and reaps late, libvirt waits for the dead process and each destroy takes 2 s
instead of 0.3 s. A child subreaper above libvirtd takes PID 1's place for them. This script stands
in for `cirro-node-agent supervise` until that binary is built.
"""
import ctypes
import os
import signal
import sys

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

if len(sys.argv) < 2:
    sys.exit(__doc__.splitlines()[0])
if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    sys.exit(f"cannot become a child subreaper: {os.strerror(ctypes.get_errno())}")

# Blocked until the handler knows whom to tell: a signal must not fall between fork and handler.
told = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, told)
child = os.fork()
if child == 0:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, told)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        print(f"cannot run {sys.argv[1]}: {error.strerror}", file=sys.stderr)
        os._exit(127)

for number in told:
    signal.signal(number, lambda received, _frame: os.kill(child, received))
signal.pthread_sigmask(signal.SIG_UNBLOCK, told)

# Guests that outlive the command go to PID 1 when this process ends with it.
while True:
    pid, status = os.wait()
    if pid == child:
        code = os.waitstatus_to_exitcode(status)
        sys.exit(code if code >= 0 else 128 - code)
