"""The notebook runs from top to bottom over a run that a real (tiny) search left behind."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ecoNAS.cli import main

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "inspect_front.ipynb"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    assert main(["search", str(ROOT / "experiments" / "smoke.yaml"), "--run-dir", str(folder)]) == 0
    return folder


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_notebook_shows_the_front_and_the_knee_reads_as_it_did_while_training(run_folder, monkeypatch):
    monkeypatch.setenv("ECONAS_RUN", str(run_folder))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # or jupyter_core warns of a move of its folders
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "The front holds" in printed(cells[1])
    assert "energy_per_image_j (estimated)" in cells[2].outputs[0]["data"]["text/plain"]
    figures = [cell for cell in cells if any("plotly" in kind for out in cell.outputs for kind in out.get("data", {}))]
    assert len(figures) == 4
    right, total, same = map(int, re.search(r"(\d+) of (\d+) read right; (\d+) as then", printed(cells[-1])).groups())
    assert total == same == 32
    assert 0 <= right <= total


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
