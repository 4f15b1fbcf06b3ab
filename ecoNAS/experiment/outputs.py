"""What a run folder shows of itself: the table of the front and the report, rewritten as the search goes on."""

import time

from ecoNAS.analysis.report import write_report
from ecoNAS.analysis.run import load_run
from ecoNAS.analysis.tables import write_front_csv
from ecoNAS.run_folder import RunFolder


def write_outputs(folder: RunFolder) -> None:
    """Write front.csv and report.html from what is there so far."""
    run = load_run(folder.path)
    write_front_csv(run)
    write_report(run)


def drop_weights(folder: RunFolder) -> None:
    """Keep the weights of the front only, at the end of a search.

    Not before: another candidate may share them or begin with them, and who is on the front is not settled.
    """
    records = [trial.evaluation for trial in load_run(folder.path).front_trials()]
    kept = {record.training.weights_file for record in records if record is not None and record.training}
    for path in (folder.path / "weights").glob("*.safetensors"):
        if f"weights/{path.name}" not in kept:  # candidates that differ in deployment share a training
            path.unlink()


class Reporter:
    """Rewrites the outputs every so many seconds, when it is asked to."""

    def __init__(self, folder: RunFolder, every_s: float) -> None:
        self._folder, self._every_s = folder, every_s
        self._next_s = time.monotonic() + every_s

    def tick(self) -> None:
        """Rewrite them, if it is time to."""
        if time.monotonic() >= self._next_s:
            write_outputs(self._folder)
            self._next_s = time.monotonic() + self._every_s
