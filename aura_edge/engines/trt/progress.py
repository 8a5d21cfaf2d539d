"""A bar while TensorRT builds, which takes seconds on a PC and minutes on a small Jetson; and Ctrl-C, which it would otherwise not hear."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

Progress = Callable[[Any, Any], AbstractContextManager[None]]
"""Takes the TensorRT module and the builder's configuration; building happens inside the context."""


def quiet(trt: Any, config: Any) -> AbstractContextManager[None]:
    """No bar."""
    return nullcontext()


@contextmanager
def bar(trt: Any, config: Any) -> Iterator[None]:
    """A bar on a terminal's stderr, nothing elsewhere. Ctrl-C cancels the build and is raised at its end."""
    if not hasattr(trt, "IProgressMonitor") or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        monitor = _monitor(trt, bars)
        config.progress_monitor = monitor
        try:
            yield
        finally:
            config.progress_monitor = None
    if monitor.interrupted:
        raise KeyboardInterrupt


def _monitor(trt: Any, bars: Any) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._tasks: dict[str, Any] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            depth = "  " if parent_phase else ""
            self._tasks[phase_name] = bars.add_task(depth + phase_name, total=num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """False asks the builder to stop. An exception must not cross it, for it is C++ on the other side."""
            try:
                if phase_name in self._tasks:
                    bars.update(self._tasks[phase_name], completed=step + 1)
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            if phase_name in self._tasks:
                bars.remove_task(self._tasks.pop(phase_name))

    return Monitor()
