"""The process of the announcer: forking the brain, signals, scheduling class, exit code.

The brain is forked before the event loop exists, and again, when it has died, with the loop stopped
for that moment: a fork always happens with a clean stack and no running loop, and costs the wire
the few milliseconds that a fork of a small process takes.
In the child nothing of the announcer is torn down; its descriptors are closed and its objects are
left alone until the child exits. Log lines leave through an `Outlet`, which never blocks; the brain
writes to standard output as any program does.

Exit codes: 0 after a planned stop; the brain's own code when it exits before it ever said what it
wants, since then it is its configuration that is wrong; 1 for a second signal or a broken
announcer.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from mercurylb.announcer.outlet import Outlet
from mercurylb.announcer.wire import Wire
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.announcer.settings import AnnouncerSettings

Brain = Callable[[socket.socket], int]
"""Runs in the child process with its end of the socket pair; returns the exit code."""

BRAIN_STOP_S = 2.0
"""How long the brain may take to exit after SIGTERM before it is killed."""
BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 30.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
OWN_SIGNALS = (*STOP_SIGNALS, signal.SIGCHLD)
REAL_TIME_PRIORITY = 10
NICENESS = -10

_GC_THRESHOLDS = 5_000, 20, 50
_GC_THRESHOLDS_DEFAULT = 700, 10, 10


def run(settings: AnnouncerSettings, brain: Brain) -> int:
    """Announce until SIGTERM or SIGINT, with `brain` in a child process; return the exit code.

    Call it from the main thread, before any event loop runs and any other thread starts, and after
    the imports that both processes need.
    """
    return _Announcer(settings, brain).run()


class _Announcer:
    """Everything the process holds; lives as long as the process."""

    def __init__(self, settings: AnnouncerSettings, brain: Brain) -> None:
        self._settings = settings
        self._brain = brain
        self._level = log.parse_level(settings.log_level) or log.Level.INFO
        self._outlet = Outlet()
        log.configure(self._level, stream=self._outlet)
        self._scheduling = ""
        self._wire: Wire | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._brain_pid = 0
        self._brain_socket: socket.socket | None = None
        self._has_brain_wanted = False
        self._backoff_s = BACKOFF_MIN_S
        self._is_stopping = False
        self._has_finished = False
        self._exit_code: int | None = None

    def run(self) -> int:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        self._scheduling = _prefer_this_process()
        self._fork_brain()
        loop = self._loop = asyncio.new_event_loop()
        loop.set_exception_handler(self._on_loop_error)
        self._outlet.attach(loop)
        log.info("announcer.started", node=self._settings.node, scheduling=self._scheduling)
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.call_soon(self._start)
        while self._exit_code is None:
            loop.run_forever()
            if self._exit_code is None:
                self._fork_brain()
                loop.call_soon(self._attach)
        log.info("announcer.stopped", code=self._exit_code)
        if self._wire is not None:
            self._wire.close()
        self._outlet.close()
        return self._exit_code

    def _start(self) -> None:
        self._wire = Wire(
            self._settings,
            scheduling=self._scheduling,
            on_desired=self._on_desired,
            on_finished=self._on_finished,
        )
        self._attach()
        self._reap()  # A brain that died before there was a handler.

    def _attach(self) -> None:
        if self._wire is not None and self._brain_socket is not None:
            self._wire.attach_brain(self._brain_socket)

    # --- the brain ---------------------------------------------------------------------------

    def _fork_brain(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        sys.stdout.flush()
        sys.stderr.flush()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, OWN_SIGNALS)
        pid = os.fork()
        if pid == 0:
            log.configure(self._level)
            _become_brain(self._brain, theirs, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        self._brain_pid, self._brain_socket = pid, ours
        log.info("announcer.brain_started", pid=pid)

    def _reap(self) -> None:
        """Collect dead children: the brain, and, as the first process of a container, any other."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._brain_pid:
                self._brain_pid = 0
                self._on_brain_exit(os.waitstatus_to_exitcode(status))

    def _on_brain_exit(self, code: int) -> None:
        if self._is_stopping:
            log.info("announcer.brain_stopped", code=code)
            if self._has_finished:
                self._exit(0)
            return
        if not self._has_brain_wanted and code >= 0:
            log.error("announcer.brain_failed", code=code)
            self._exit(code)
            return
        log.error("announcer.brain_died", code=code, retry_s=self._backoff_s)
        self._later(self._backoff_s, self._refork)
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)

    def _refork(self) -> None:
        """Leave the loop for the moment of a fork."""
        if not self._is_stopping and self._loop is not None:
            self._loop.stop()

    def _on_desired(self) -> None:
        self._has_brain_wanted = True
        self._backoff_s = BACKOFF_MIN_S

    # --- the end -----------------------------------------------------------------------------

    def _on_stop_signal(self) -> None:
        if self._is_stopping or self._wire is None:
            self._kill_brain(signal.SIGKILL)
            self._exit(1)
            return
        self._is_stopping = True
        log.info("announcer.stopping")
        self._wire.stop()

    def _on_finished(self) -> None:
        """Stop the brain once the wire is handed over: until then it may go on watching."""
        self._has_finished = True
        if self._brain_pid == 0:
            self._exit(0)
            return
        self._kill_brain(signal.SIGTERM)
        self._later(BRAIN_STOP_S, lambda: self._kill_brain(signal.SIGKILL))

    def _kill_brain(self, number: signal.Signals) -> None:
        if self._brain_pid:
            os.kill(self._brain_pid, number)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """End with a broken announcer: silence lets others take over, half a machine does not."""
        del loop
        error = context.get("exception")
        lines = traceback.format_exception(error) if isinstance(error, BaseException) else []
        log.error("announcer.broken", error=str(context.get("message")), trace="".join(lines))
        self._kill_brain(signal.SIGTERM)
        self._exit(1)

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        if self._loop is not None:
            self._loop.call_later(delay_s, call)

    def _exit(self, code: int) -> None:
        if self._exit_code is None:
            self._exit_code = code
        if self._loop is not None:
            self._loop.stop()


def _become_brain(brain: Brain, sock: socket.socket, mask: set[int]) -> NoReturn:
    """Turn a fresh child into the brain, and never return."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in OWN_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (names are numbers)
            if int(name) > 2 and int(name) != sock.fileno():  # noqa: PLR2004 (standard streams)
                _close_quietly(int(name))
        if os.getpriority(os.PRIO_PROCESS, 0) < 0:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        gc.set_threshold(*_GC_THRESHOLDS_DEFAULT)
        gc.unfreeze()
        code = brain(sock)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # noqa: BLE001 (the last frame of the process)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _close_quietly(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return  # The one that listed the directory is gone already.


def _prefer_this_process() -> str:
    """Ask the kernel for the best scheduling class it grants; return which one it is."""
    try:
        os.sched_setscheduler(
            0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(REAL_TIME_PRIORITY)
        )
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
        except OSError:
            return "normal"
        return f"nice {NICENESS}"
    return f"round robin {REAL_TIME_PRIORITY}"
