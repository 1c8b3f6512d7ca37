#!/usr/bin/env python3
"""`mercurylb-frr-reloader`: on SIGHUP, has FRR take over frr.conf, if FRR understands it.

It writes its process ID where the speaker looks for it and waits. Told by SIGHUP, it first has
frr-reload.py try the file and then has it apply the file, and writes down how that ended. Signals
that come meanwhile are not lost: another round follows, with what the file holds by then.

Environment: SHARED_VOLUME, the folder shared with the speaker (default /etc/frr_reloader), with
frr.conf, reloader.pid, lock and .status.

This file is copied into another image, so it needs nothing but Python 3.8's own library.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

FOLDER_ENV = "SHARED_VOLUME"
FOLDER = "/etc/frr_reloader"
FRR_RELOAD = ("python3", "/usr/lib/frr/frr-reload.py")
ATTEMPT_MAX_S = 300.0
"""Of one of the two steps; a vtysh that hangs must not end all reloads for ever."""
APPLY_MAX = 2
"""Attempts to apply a file that was understood."""
_PASSWORD = re.compile(r"password.*")


class Reloader:
    """Carries out one reload after the other."""

    def __init__(self, folder: Path) -> None:
        self.pid_file = folder / "reloader.pid"
        self.lock_file = folder / "lock"
        self._file = folder / "frr.conf"
        self._status_file = folder / ".status"
        self._wanted = threading.Event()

    def start(self) -> None:
        """Say where signals go to, and wait for them in the background."""
        self.clean()
        self.lock_file.touch()
        threading.Thread(target=self._work, daemon=True).start()
        self.pid_file.write_text(str(os.getpid()))

    def want(self) -> None:
        """Have the file taken over, after what is under way."""
        self._wanted.set()

    def clean(self) -> None:
        """Take away what only a running reloader has."""
        for path in (self.pid_file, self.lock_file):
            if path.exists():
                path.unlink()

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            self._reload_locked()

    def _reload_locked(self) -> None:
        try:
            with self.lock_file.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                is_success = self._reload()
                self._note("success" if is_success else "failure")
        except OSError as error:
            _say(f"The reload could not be carried out: {error}")
            self._note("failure")

    def _reload(self) -> bool:
        begin = time.monotonic()
        _say("Checking the configuration")
        if not self._run("--test"):
            _say("The configuration is refused, FRR keeps the one before")
            return False
        _say("Applying the configuration")
        # FRR refuses to be told some things twice, which the tool does; then it lacks nothing.
        if not any(self._run("--reload", "--overwrite") for _ in range(APPLY_MAX)):
            _say("The configuration could not be applied as a whole")
            return False
        _say(f"FRR was reloaded in {time.monotonic() - begin:.1f} s")
        return True

    def _run(self, *options: str) -> bool:
        command = [*FRR_RELOAD, *options, "--stdout", str(self._file)]
        child = subprocess.Popen(  # noqa: S603 (FRR's own program, with options of ours)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        killer = threading.Timer(ATTEMPT_MAX_S, child.kill)
        killer.start()
        try:
            for line in child.stdout or ():
                _say(retract(line.rstrip("\n")))
            return child.wait() == 0
        finally:
            killer.cancel()

    def _note(self, result: str) -> None:
        made = self._status_file.with_name(".status.new")
        made.write_text(f"{int(time.time())} {result}")
        made.replace(self._status_file)


def retract(line: str) -> str:
    """Give a line without what follows the word `password`."""
    return _PASSWORD.sub("password <retracted>", line)


def install(target: str) -> None:
    """Copy this very file, so that it can be run where nothing of ours is installed."""
    shutil.copyfile(__file__, target)
    Path(target).chmod(0o755)


def main(arguments: list[str] | None = None) -> None:
    """Run until told to stop, or install."""
    words = sys.argv[1:] if arguments is None else arguments
    if len(words) == 2 and words[0] == "--install":  # noqa: PLR2004 (the option and its value)
        install(words[1])
        return
    if words:
        sys.exit("usage: mercurylb-frr-reloader [--install PATH]")
    reloader = Reloader(Path(os.environ.get(FOLDER_ENV, FOLDER)))

    def stop(*_signal: object) -> NoReturn:
        _say("Told to stop")
        reloader.clean()
        os._exit(0)  # A reload that is under way ends by itself.

    signal.signal(signal.SIGHUP, lambda *_signal: reloader.want())
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    reloader.start()
    _say(f"Waiting for signals as process {os.getpid()}")
    while True:
        signal.pause()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
