"""The browser report: whole, offline, honest, and safe with any text."""

import json
import re
from html.parser import HTMLParser

import pytest

from ecoNAS.analysis.report import render_report, write_report
from ecoNAS.analysis.run import load_run
from ecoNAS.errors import RunFolderError

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects text, attributes and unbalanced tags; scripts and styles are not text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[name] for name in ("src", "href", "action", "data") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def html(run):
    return render_report(run)


def data_of(html):
    return json.loads(re.search(r'id="report-data">(.*?)</script>', html, re.DOTALL)[1])


def test_the_page_is_well_formed_and_asks_nothing_of_the_network(html):
    page = Page(html)
    assert page.open == []
    assert page.links == []
    assert page.scripts == 3
    assert "default-src 'none'" in html
    assert "Plotly.newPlot" in html
    assert len(html) > 1_000_000  # plotly.js is inside


def test_estimated_joules_are_called_so_at_every_place(html):
    page = Page(html)
    assert "All joules here are estimated" in page.text
    assert "from 0.333 to 3 times the value" in page.text
    assert "energy per image (estimated) of the knee" in page.text
    data = data_of(html)
    assert data["front"]["axes"]["energy_per_image"]["layout"]["title"]["text"] == "energy per image (estimated)"


def test_a_measured_run_is_not_called_estimated(measured_run):
    assert "estimated" not in Page(render_report(measured_run)).text


def test_the_page_says_what_was_found_what_it_cost_and_what_to_doubt(html, run):
    text = Page(html).text
    assert f"The front holds {len(run.front_trials())} of 16 feasible networks." in text
    assert "The search took" in text
    assert "picked, so they are optimistic. The search did not see the 360 images of the test split." in text
    assert "1077 for train, 360 for validation, 360 for test" in text
    assert "torch 2.15.0" in text
    assert "params <= 60e3; macs <= 1.5e6" in text
    for word in ("16 trained and scored in full", "3 broke a bound", "1 ran out of memory or diverged"):
        assert word in text


def test_each_plot_has_its_place_in_the_page(html):
    assert set(data_of(html)["figures"]) == {"front", "hypervolume", "spending"} <= set(Page(html).ids)


def test_all_axes_can_be_chosen_and_their_lines_are_there(html, run):
    front = data_of(html)["front"]
    assert {"accuracy", "energy_per_image", "flops", "params", "macs", "training_energy"} <= set(front["axes"])
    assert set(front["lines"]) == set(front["lines"]["macs"]) == set(front["axes"])
    assert len(front["groups"]["front"]) + len(front["groups"]["knee"]) == len(run.front_trials())


@pytest.mark.parametrize("which", ["running_run", "empty_run"])
def test_a_run_that_goes_on_or_died_has_a_report_too(which, request):
    text = Page(render_report(request.getfixturevalue(which))).text
    assert "It stopped without a word" in text
    assert "The hypervolume has no scale yet" in text


def test_text_of_users_is_escaped(make_run, tmp_path):
    path = make_run(tmp_path / "a <b>&<script>alert(1)<", trials=8)
    experiment = path / "experiment.yaml"
    experiment.write_text(experiment.read_text().replace("name: digits", "name: '</script><img src=x>'"))
    page = Page(render_report(load_run(path)))
    assert page.scripts == 3
    assert page.links == []
    assert "</script><img src=x>" in page.text
    assert "a <b>&<script>alert(1)<" in page.text


def test_the_report_is_written_into_the_run_folder_or_elsewhere(run, tmp_path):
    assert write_report(run) == run.folder / "report.html"
    assert write_report(run, tmp_path / "x.html").stat().st_size > 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_report(run, tmp_path / "missing" / "x.html")
