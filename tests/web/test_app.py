"""What is answered over HTTP is what `predict` says."""

import base64
import io
import shutil

import httpx
import pytest
from PIL import Image

from noonchi import classifier
from noonchi.export import to_onnx
from web_answers import same


@pytest.fixture(scope="module")
def loaded(run):
    return classifier.load(run)


def forms(pictures):
    return [("files", (f"{number}.png", picture, "image/png")) for number, picture in enumerate(pictures)]


def test_files_of_a_form_are_answered_in_their_order(server, loaded, pictures):
    told = httpx.post(f"{server.url}/v1/predict", files=forms(pictures)).json()
    assert told["model"] == "digits-1"
    assert [one["picture"] for one in told["predictions"]] == [f"{number}.png" for number in range(64)]
    for found, expected in zip(told["predictions"], loaded.predict(pictures), strict=True):
        same(found, expected)


def test_a_picture_as_the_body_is_answered_with_as_many_classes_as_asked_for(server, loaded, pictures):
    told = httpx.post(f"{server.url}/v1/predict?top=2", content=pictures[0], headers={"content-type": "image/png"})
    [found], [expected] = told.json()["predictions"], loaded.predict(pictures[:1])
    assert list(found["digit"]["probabilities"]) == [name for name, _ in expected.top("digit", 2)]
    assert found["digit"]["answer"] == expected.answer("digit")


@pytest.mark.parametrize("invert", ["yes", "auto"])
def test_light_and_dark_are_exchanged_where_that_is_asked(server, loaded, pictures, invert):
    told = httpx.post(f"{server.url}/v1/predict?invert={invert}", files=forms(pictures[:3])).json()
    for found, expected in zip(told["predictions"], loaded.predict(pictures[:3], invert), strict=True):
        same(found, expected)


def test_a_picture_that_cannot_be_read_has_its_reason_beside_the_others_answers(server, loaded, pictures):
    sent = forms([pictures[0], b"no picture", pictures[1]])
    told = httpx.post(f"{server.url}/v1/predict", files=sent)
    first, bad, last = told.json()["predictions"]
    assert told.status_code == 200
    assert bad == {"picture": "1.png", "error": bad["error"]}
    assert bad["error"].startswith("'1.png' cannot be used: not a whole JPEG")
    for found, expected in zip((first, last), loaded.predict(pictures[:2]), strict=True):
        same(found, expected)


def test_where_no_picture_can_be_read_the_status_says_so(server):
    told = httpx.post(f"{server.url}/v1/predict", files=forms([b"no", b"none"]))
    assert told.status_code == 422
    assert ["error" in one for one in told.json()["predictions"]] == [True, True]


def test_the_classifiers_are_told_of(server, run):
    [model] = httpx.get(f"{server.url}/v1/models").json()["models"]
    recorded = classifier._read_description(run / "classifier.json").weights_sha256
    assert model["version"] == recorded[:12]
    assert model["heads"][1] == {"name": "odd", "kind": "binary", "classes": ["even", "odd"]}
    assert (model["name"], model["kind"], model["size"], model["channels"]) == ("digits-1", "run", [28, 28], 1)


def test_a_heat_map_comes_with_the_picture_and_its_checks(server, pictures):
    asked = {"head": "digit", "class": "7"}
    told = httpx.post(f"{server.url}/v1/explain", params=asked, files=forms(pictures[:1])).json()
    assert (told["head"], told["class"], told["method"]) == ("digit", "7", "grad-cam")
    for key in ("picture", "overlay"):
        kind, _, content = told[key].partition(",")
        assert kind == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(content))).size[0] >= 28
    assert set(told["checks"]["says"]) == {"en", "ko"}


def test_what_layers_give_comes_layer_by_layer(server, pictures):
    told = httpx.post(f"{server.url}/v1/explain", params={"what": "activations"}, files=forms(pictures[:1])).json()
    assert len(told["layers"]) > 1
    assert all(one["picture"].startswith("data:image/png;base64,") for one in told["layers"])


def test_a_picture_is_explained_inverted_where_that_is_asked(server, run, pictures):
    probabilities = []
    for invert in ("no", "yes"):
        asked = {"invert": invert, "class": "7"}
        told = httpx.post(f"{server.url}/v1/explain", params=asked, files=forms(pictures[:1])).json()
        [expected] = classifier.load(run).predict(pictures[:1], invert)
        assert told["probability"] == pytest.approx(expected.heads["digit"]["7"], abs=1e-4)
        probabilities.append(told["probability"])
    assert probabilities[0] != probabilities[1]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/predict?model=digit-1", 404, "Did you mean 'digits-1'?"),
        ("/v1/predict?top=0", 400, "top"),
        ("/v1/predict?top=x", 400, "top"),
        ("/v1/predict?invert=maybe", 400, "invert"),
        ("/v1/explain?head=x", 400, "'x' is not a head"),
        ("/v1/explain?class=x", 400, "'x' is not a class"),
        ("/v1/explain?what=x", 400, "what"),
        ("/nothing", 404, "nothing at '/nothing'"),
        ("/v1/models", 405, "POST is not for '/v1/models'"),
    ],
)
def test_what_is_not_there_is_named(server, pictures, path, status, said):
    told = httpx.post(server.url + path, files=forms(pictures[:1]))
    assert told.status_code == status
    assert said in told.json()["error"]


def test_one_picture_is_explained_at_a_time(server, pictures):
    told = httpx.post(f"{server.url}/v1/explain", files=forms(pictures[:2]))
    assert (told.status_code, told.json()["error"]) == (400, "2 pictures came; one is explained at a time.")


def test_a_picture_that_cannot_be_read_is_not_explained(server):
    told = httpx.post(f"{server.url}/v1/explain", files=forms([b"no"]))
    assert told.status_code == 422
    assert "cannot be used" in told.json()["error"]


def test_several_classifiers_answer_under_their_names_and_an_exported_one_says_what_it_cannot(
    serving, run, pictures, tmp_path
):
    other = tmp_path / "digits-1"
    shutil.copytree(run, other)
    to_onnx(classifier.load(run), tmp_path / "exported.onnx")
    with serving(run, other, tmp_path / "exported.onnx") as server:
        models = httpx.get(f"{server.url}/v1/models").json()["models"]
        assert [(one["name"], one["explains"]) for one in models] == [
            ("digits-1", True),
            ("digits-1-2", True),
            ("exported", False),
        ]
        [expected] = classifier.load(run).predict(pictures[:1])
        for name in ("digits-1", "digits-1-2", "exported"):
            told = httpx.post(f"{server.url}/v1/predict?model={name}", files=forms(pictures[:1])).json()
            same(told["predictions"][0], expected, 1e-3)
            assert told["model"] == name
        told = httpx.post(f"{server.url}/v1/explain?model=exported", files=forms(pictures[:1]))
    assert (told.status_code, told.json()["error"]) == (
        400,
        "'exported' is an exported file, which cannot be explained. Serve its run instead.",
    )


def test_what_was_done_is_counted(serving, run, pictures):
    with serving(run) as server:
        httpx.post(f"{server.url}/v1/predict", files=forms([*pictures[:5], b"no"]))
        httpx.get(f"{server.url}/a/path/of/somebody/else")
        told = httpx.get(f"{server.url}/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    for line in (
        'noonchi_requests_total{method="POST",route="/v1/predict",status="200"} 1.0',
        'noonchi_requests_total{method="GET",route="other",status="404"} 1.0',
        'noonchi_request_seconds_count{route="/v1/predict"} 1.0',
        'noonchi_pictures_total{model="digits-1",read="yes"} 5.0',
        'noonchi_pictures_total{model="digits-1",read="no"} 1.0',
        "noonchi_batch_pictures_sum 6.0",
        "noonchi_waiting_pictures 0.0",
        "noonchi_worker_ready 1.0",
        "noonchi_worker_restarts 0.0",
    ):
        assert line in told.text.splitlines()
