"""The in-process server, seen by the client that Triton's users have."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import onnxruntime
import pytest
from tritonclient.grpc import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    service_pb2,
    service_pb2_grpc,
)
from tritonclient.utils import InferenceServerException

from leadline.demo import assets
from leadline.demo.inprocess import InProcessServer


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for version in assets.VERSIONS:
        folder = root / "digits" / str(version)
        folder.mkdir(parents=True)
        shutil.copy(assets.model_path(version), folder / "model.onnx")
    (root / "digits" / "labels.txt").write_text("\n".join("0123456789") + "\n")
    return root


@pytest.fixture(scope="module")
def server(repository):
    with InProcessServer(repository) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with InferenceServerClient(server.grpc_address) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def images():
    return assets.load_heldout()[0]


def image_input(images):
    tensor = InferInput("image", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images)
    return tensor


def direct(version, images):
    session = onnxruntime.InferenceSession(
        assets.model_path(version), providers=["CPUExecutionProvider"]
    )
    return session.run(["scores", "features"], {"image": images})


def refusal(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_it_is_live_and_says_what_it_serves(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "leadline-inprocess"
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "3")
    assert not client.is_model_ready("letters")


def test_metadata_names_versions_and_tensors(client):
    metadata = client.get_model_metadata("digits", as_json=True)
    assert metadata["versions"] == ["1", "2"]
    assert metadata["inputs"] == [
        {"name": "image", "datatype": "UINT8", "shape": ["-1", "28", "28"]}
    ]
    outputs = {output["name"]: output for output in metadata["outputs"]}
    assert outputs["scores"] == {"name": "scores", "datatype": "FP32", "shape": ["-1", "10"]}
    assert outputs["features"]["shape"] == ["-1", "32", "7", "7"]


def test_config_is_told_from_the_model_or_read_from_its_file(client, repository, tmp_path):
    config = client.get_model_config("digits").config
    assert (config.name, config.input[0].name, list(config.input[0].dims)) == (
        "digits",
        "image",
        [-1, 28, 28],
    )
    assert config.output[0].label_filename == "labels.txt"
    shutil.copytree(repository / "digits", tmp_path / "digits")
    (tmp_path / "digits" / "config.pbtxt").write_text('name: "digits" max_batch_size: 64')
    with (
        InProcessServer(tmp_path) as server,
        InferenceServerClient(server.grpc_address) as other,
    ):
        assert other.get_model_config("digits").config.max_batch_size == 64


@pytest.mark.parametrize(("asked", "answers"), [("1", 1), ("2", 2), ("", 2)])
def test_answers_are_the_models_own(client, images, asked, answers):
    result = client.infer(
        "digits", [image_input(images[:5])], model_version=asked, request_id="r-7"
    )
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == (
        "r-7",
        "digits",
        str(answers),
    )
    scores, features = direct(answers, images[:5])
    assert np.allclose(result.as_numpy("scores"), scores, atol=1e-5)
    assert np.allclose(result.as_numpy("features"), features, atol=1e-4)


def test_only_requested_outputs_come_in_their_order(client, images):
    tensors = [image_input(images[:1])]
    result = client.infer("digits", tensors, outputs=[InferRequestedOutput("scores")])
    assert [output.name for output in result.get_response().outputs] == ["scores"]
    both = [InferRequestedOutput("features"), InferRequestedOutput("scores")]
    result = client.infer("digits", tensors, outputs=both)
    assert [output.name for output in result.get_response().outputs] == ["features", "scores"]
    assert result.as_numpy("scores").shape == (1, 10)


def test_typed_contents_mean_the_same_as_raw_ones(stub, client, images):
    request = service_pb2.ModelInferRequest(model_name="digits")
    tensor = request.inputs.add(name="image", datatype="UINT8", shape=[2, 28, 28])
    tensor.contents.uint_contents.extend(images[:2].ravel().tolist())
    scores = np.frombuffer(stub.ModelInfer(request).raw_output_contents[0], np.float32)
    raw = client.infer("digits", [image_input(images[:2])])
    assert np.allclose(scores.reshape(2, 10), raw.as_numpy("scores"), atol=1e-6)


def test_a_thousand_rows_and_no_rows(client, images):
    assert client.infer("digits", [image_input(images[:1000])]).as_numpy("scores").shape == (
        1000,
        10,
    )
    none = client.infer("digits", [image_input(images[:0])]).get_response()
    assert [list(output.shape) for output in none.outputs] == [[0, 10], [0, 32, 7, 7]]


def test_many_callers_get_their_own_answers(client, images):
    want = direct(2, images[:200])[0]

    def ask(row):
        return client.infer("digits", [image_input(images[row : row + 1])]).as_numpy("scores")[0]

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(ask, range(200)))
    assert np.allclose(got, want, atol=1e-5)


def infer_request(**changes):
    request = service_pb2.ModelInferRequest(model_name="digits")
    fields = {"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], **changes}
    request.inputs.add(**fields)
    request.raw_input_contents.append(bytes(784))
    return request


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "picture"}, "input 'picture' is unknown"),
        ({"datatype": "FP32"}, "input 'image' is UINT8, not FP32"),
        ({"shape": [1, 784]}, "has shape [-1, 28, 28], not [1, 784]"),
        ({"shape": [2, 28, 28]}, "needs 1568 bytes, has 784"),
        ({"shape": [-1, 28, 28]}, "not [-1, 28, 28]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_the_reason(stub, changes, says):
    code, details = refusal(lambda: stub.ModelInfer(infer_request(**changes)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in details


def test_missing_inputs_and_unknown_outputs_are_refused(stub):
    empty = service_pb2.ModelInferRequest(model_name="digits")
    assert refusal(lambda: stub.ModelInfer(empty)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "missing inputs: ['image']",
    )
    request = infer_request()
    request.outputs.add(name="logits")
    assert refusal(lambda: stub.ModelInfer(request))[0] == grpc.StatusCode.INVALID_ARGUMENT
    request = infer_request()
    request.raw_input_contents.append(b"")
    code, details = refusal(lambda: stub.ModelInfer(request))
    assert (code, details) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "1 inputs but 2 raw_input_contents",
    )


def test_values_outside_the_type_are_refused(stub):
    request = service_pb2.ModelInferRequest(model_name="digits")
    tensor = request.inputs.add(name="image", datatype="UINT8", shape=[1, 28, 28])
    tensor.contents.uint_contents.extend([300] * 784)
    assert refusal(lambda: stub.ModelInfer(request))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_not_served_is_said(client, stub, images):
    with pytest.raises(InferenceServerException, match="NOT_FOUND"):
        client.infer("letters", [image_input(images[:1])])
    with pytest.raises(InferenceServerException, match="NOT_FOUND"):
        client.infer("digits", [image_input(images[:1])], model_version="9")
    with pytest.raises(InferenceServerException, match="UNIMPLEMENTED"):
        client.infer(
            "digits",
            [image_input(images[:1])],
            outputs=[InferRequestedOutput("scores", class_count=3)],
        )
    index = service_pb2.RepositoryIndexRequest()
    assert refusal(lambda: stub.RepositoryIndex(index))[0] == grpc.StatusCode.UNIMPLEMENTED


def test_statistics_count_rows_requests_and_failures(repository, images):
    with (
        InProcessServer(repository) as server,
        InferenceServerClient(server.grpc_address) as client,
    ):
        client.infer("digits", [image_input(images[:5])], model_version="2")
        client.infer("digits", [image_input(images[:2])], model_version="2")
        with pytest.raises(InferenceServerException):
            client.infer("digits", [image_input(images[:, :14])], model_version="2")
        stats = client.get_inference_statistics("digits", "2").model_stats
        assert [(s.version, s.inference_count, s.execution_count) for s in stats] == [("2", 7, 2)]
        assert stats[0].inference_stats.success.ns > 0
        assert stats[0].inference_stats.fail.count == 1
        assert len(client.get_inference_statistics().model_stats) == 2


def test_it_stops_frees_its_port_and_starts_again(repository):
    server = InProcessServer(repository)
    server.start()
    port = int(server.grpc_address.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="started before"):
        server.start()
    with pytest.raises(RuntimeError):
        InProcessServer(repository, port).start()
    server.stop()
    server.stop()
    with (
        InProcessServer(repository, port) as again,
        InferenceServerClient(again.grpc_address) as client,
    ):
        assert client.is_server_live()


def test_a_repository_without_models_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.onnx"):
        InProcessServer(tmp_path).start()
