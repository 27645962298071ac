"""The gateway as a service: declarations, metrics, reflection, draining, its own process."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import urllib.request

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

from leadline.gateway.models import PolledModels
from leadline.gateway.service import serve_metrics
from leadline.gateway.settings import GatewaySettings
from leadline.records.errors import UsageError
from leadline.records.models import ModelSpec
from leadline.testing.servers.process import free_ports
from leadline.testing.servers.prometheus import promtool_check
from leadline.v1 import models_pb2, models_pb2_grpc
from leadline.wire.models import model_to_proto


class Models(models_pb2_grpc.ModelServiceServicer):
    """Declarations, one a page."""

    def __init__(self, *specs: ModelSpec) -> None:
        self.specs = list(specs)

    async def ListModels(self, request, context):
        at = int(request.page_token or 0)
        more = at + 1 < len(self.specs)
        return models_pb2.ListModelsResponse(
            models=[model_to_proto(spec) for spec in self.specs[at : at + 1]],
            next_page_token=str(at + 1) if more else "",
        )


async def serve(servicer: Models) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    models_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


def test_declarations_are_read_and_read_again(until):
    async def test():
        servicer = Models(ModelSpec("a"), ModelSpec("b", task="t", classes=("x",)))
        server, address = await serve(servicer)
        models = PolledModels(address, 0.01)
        assert await models.start(10.0)
        known = models.get("a")
        assert known == ModelSpec("a")
        assert models.for_task("t").name == "b"
        assert models.get("c") is None
        servicer.specs[1] = ModelSpec("b", task="t", classes=("x", "y"))
        await until(lambda: models.get("b").classes == ("x", "y"))
        assert models.get("a") is known
        await server.stop(0)
        await until(lambda: models._failing)
        assert models.get("a") is known
        await models.close()

    asyncio.run(test())


def test_a_model_service_that_is_not_there_does_not_hold_up_the_start(caplog):
    async def test():
        models = PolledModels(f"127.0.0.1:{free_ports(1)[0]}", 0.01)
        assert not await models.start(0.2)
        await models.close()

    asyncio.run(test())
    assert len([text for text in caplog.messages if "models_address" in text]) == 1


def test_metrics_are_scraped_and_clean(run):
    async def test(start):
        world = await start()
        await world.stub.ModelInfer(pb.ModelInferRequest(model_name="m"))
        await world.logged(2)
        port = free_ports(1)[0]
        server, thread = serve_metrics(f"127.0.0.1:{port}", world.registry)

        def scrape() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                return answer.read().decode()

        text = await asyncio.to_thread(scrape)
        server.shutdown()
        server.server_close()
        thread.join()
        for name in ("queue_depth", "queue_bytes", "dropped_total", "added_seconds_bucket"):
            assert f"leadline_gateway_{name}" in text
        assert promtool_check(text) == []

    run(test)


def test_a_taken_address_is_told_with_its_setting(run):
    async def test(start):
        world = await start()
        for setting in ("listen_address", "metrics_address"):
            with pytest.raises(UsageError, match=setting):
                await start(**{setting: world.gateway.address})

    run(test)


def test_reflection_names_the_services_and_the_protocol(run, stream_of):
    async def test(start):
        world = await start()
        stub = reflection_pb2_grpc.ServerReflectionStub(world.channel)
        symbol = "inference.GRPCInferenceService"
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol),
        ]
        listed, described = [answer async for answer in stub.ServerReflectionInfo(stream_of(asked))]
        names = {service.name for service in listed.list_services_response.service}
        assert {symbol, "leadline.v1.IngestService", "grpc.health.v1.Health"} <= names
        files = described.file_descriptor_response.file_descriptor_proto
        found = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in files]
        methods = [
            method.name for file in found for service in file.service for method in service.method
        ]
        assert "ModelInfer" in methods

    run(test)


def test_draining_answers_what_is_in_flight_and_ends_streams(run):
    async def test(start):
        world = await start()
        health = health_pb2_grpc.HealthStub(world.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stream = world.stub.ModelStreamInfer()
        await stream.write(pb.ModelInferRequest(model_name="m", id="1"))
        await stream.read()
        infer = world.stub.ModelInfer(pb.ModelInferRequest(model_name="hangs"))
        assert await asyncio.to_thread(world.inference.started.wait, 10)
        closing = asyncio.create_task(world.gateway.close(4.0))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        world.inference.cancelled.set()
        assert (await infer).model_name == "hangs"
        await stream.read()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stream.read()
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
        await asyncio.wait_for(closing, 4.0)

    run(test)


def test_it_runs_as_a_process_and_ends_on_sigterm(inference, tmp_path):
    settings = GatewaySettings(
        listen_address="127.0.0.1:0",
        triton_address=inference[1],
        metrics_address="",
        log_url=f"local:{tmp_path / 'log.sqlite'}",
        blob_url=str(tmp_path / "blobs"),
    )
    config = tmp_path / "leadline.yaml"
    config.write_text(json.dumps({"gateway": settings.model_dump()}))
    command = [sys.executable, "-m", "leadline", "serve", "gateway", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        (address,) = re.findall(r"127\.0\.0\.1:\d+", process.stdout.readline())[:1]
        with grpc.insecure_channel(address) as channel:
            stub = stubs.GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(pb.ServerLiveRequest(), timeout=20).live
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
