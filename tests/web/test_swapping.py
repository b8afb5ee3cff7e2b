"""A classifier that changes on disk is served from then on, without a request refused."""

import shutil
import threading

import httpx
import numpy as np

from noonchi import classifier, files
from noonchi.export import to_onnx
from web_answers import same


def version(server):
    return httpx.get(f"{server.url}/v1/models").json()["models"][0]["version"]


def predicted(server, picture):
    return httpx.post(f"{server.url}/v1/predict", content=picture, headers={"content-type": "image/png"})


def test_a_runs_new_best_classifier_takes_the_place_of_the_one_served(serving, draw_run, pictures, tmp_path):
    best = tmp_path / "run" / "best"
    draw_run(best)
    with serving(tmp_path / "run") as server:
        before, statuses, stop = version(server), [], threading.Event()

        def go_on():
            while not stop.is_set():
                statuses.append(predicted(server, pictures[0]).status_code)

        asking = threading.Thread(target=go_on)
        asking.start()
        with files.replaced_folder(best) as new:
            draw_run(new, seed=1)
        server.says("'run' changed: version")
        stop.set()
        asking.join()
        assert set(statuses) == {200}
        [expected] = classifier.load(best).predict(pictures[:1])
        told = predicted(server, pictures[0]).json()
        same(told["predictions"][0], expected)
        assert told["version"] == version(server) != before


def test_one_that_cannot_be_loaded_leaves_the_one_before_and_says_why(serving, draw_run, pictures, tmp_path):
    run = draw_run(tmp_path / "run")
    with serving(run) as server:
        before = version(server)
        shutil.copy(run / "classifier.json", tmp_path / "kept.json")
        files.write(run / "classifier.json", "{}")
        assert "the one before is served on" in server.says("'run' changed, and cannot be loaded")
        assert version(server) == before
        assert predicted(server, pictures[0]).json()["version"] == before
        draw_run(run, seed=2)
        server.says("'run' changed: version")
        assert predicted(server, pictures[0]).json()["version"] == version(server) != before


def test_an_exported_file_that_is_written_anew_is_served(serving, draw_run, pictures, tmp_path):
    exported = tmp_path / "a.onnx"
    to_onnx(classifier.load(draw_run(tmp_path / "first")), exported)
    with serving(exported) as server:
        before = predicted(server, pictures[0]).json()
        to_onnx(classifier.load(draw_run(tmp_path / "second", seed=5)), exported)
        server.says("'a' changed: version")
        after = predicted(server, pictures[0]).json()
    assert after["version"] != before["version"]
    first, second = (list(one["predictions"][0]["digit"]["probabilities"].values()) for one in (before, after))
    assert not np.allclose(first, second)
