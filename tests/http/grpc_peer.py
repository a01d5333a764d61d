"""A server and a client of gRPC that need no generated code: messages are bytes.

serve           prints its port, and `cancelled` for each call that its client gave up; ends with its input
ask HOST:PORT   makes calls of each kind and prints a line for each that went as it should
silent HOST:PORT   has two streams that say nothing until the one that is not waited for is cut
"""

import sys
import threading
from concurrent import futures

import grpc

SERVICE = "test.Echo"


def unary(request, context):
    context.send_initial_metadata((("x-initial", "1"),))
    context.set_trailing_metadata((("x-trailing", dict(context.invocation_metadata()).get("x-asked", "")),))
    return b"echo:" + request


def down(request, context):
    count, size = map(int, request.split())
    for n in range(count):
        yield b"%d:" % n + b"x" * size


def up(requests, context):
    return b"%d" % sum(len(r) for r in requests)


def both(requests, context):
    for request in requests:
        yield b"echo:" + request


def fail(request, context):
    if request == b"late":
        yield b"one"
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: 100% sch\u00f6n")


def slow(request, context):
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(30)
    print("cancelled", flush=True)
    return b""


RELEASED = threading.Event()


def quiet(request, context):
    yield b"one"
    if RELEASED.wait(30):
        yield b"two"


def release(request, context):
    RELEASED.set()
    return b""


def serve():
    handlers = {
        "Quiet": grpc.unary_stream_rpc_method_handler(quiet),
        "Cut": grpc.unary_stream_rpc_method_handler(quiet),
        "Release": grpc.unary_unary_rpc_method_handler(release),
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Fail": grpc.unary_stream_rpc_method_handler(fail),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


def code_of(call):
    try:
        result = call()
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def ask(target):
    channel = grpc.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),))
    at = lambda name: "/%s/%s" % (SERVICE, name)
    limit = {"timeout": 20}

    answer, call = channel.unary_unary(at("Unary")).with_call(b"hello", metadata=(("x-asked", "yes"),), **limit)
    assert answer == b"echo:hello", answer
    assert ("x-initial", "1") in [tuple(m) for m in call.initial_metadata()], call.initial_metadata()
    assert ("x-trailing", "yes") in [tuple(m) for m in call.trailing_metadata()], call.trailing_metadata()
    large = b"x" * (1 << 20)
    assert channel.unary_unary(at("Unary"))(large, **limit) == b"echo:" + large
    assert channel.unary_unary(at("Unary"))(b"", **limit) == b"echo:"
    print("unary")

    answers = list(channel.unary_stream(at("Down"))(b"100 20000", **limit))
    assert [a.split(b":")[0] for a in answers] == [b"%d" % n for n in range(100)]
    assert all(len(a) > 20000 for a in answers)
    assert list(channel.unary_stream(at("Down"))(b"0 0", **limit)) == []
    print("down")

    answer = channel.stream_unary(at("Up"))((b"x" * 20000 for _ in range(100)), **limit)
    assert answer == b"2000000", answer
    print("up")

    # Each message is sent once the one before it has come back.
    turn = threading.Semaphore(1)

    def messages():
        for n in range(50):
            assert turn.acquire(timeout=10)
            yield b"%d" % n

    for n, answer in enumerate(channel.stream_stream(at("Both"))(messages(), **limit)):
        assert answer == b"echo:%d" % n, answer
        turn.release()
    assert n == 49
    print("both")

    calls = [channel.unary_unary(at("Unary")).future(b"%d" % n, **limit) for n in range(300)]
    assert [c.result() for c in calls] == [b"echo:%d" % n for n in range(300)]
    print("many")

    expected = (grpc.StatusCode.FAILED_PRECONDITION, "not now: 100% sch\u00f6n")
    for message in (b"late", b"at once"):
        got = code_of(lambda: channel.unary_stream(at("Fail"))(message, **limit))
        assert got == expected, got
    got = code_of(lambda: channel.unary_unary(at("None"))(b"", **limit))
    assert got[0] == grpc.StatusCode.UNIMPLEMENTED, got
    print("status")

    got = code_of(lambda: channel.unary_unary(at("Slow"))(b"", timeout=0.3))
    assert got[0] == grpc.StatusCode.DEADLINE_EXCEEDED, got
    assert channel.unary_unary(at("Unary"))(b"after", **limit) == b"echo:after"
    print("deadline")


def silent(target):
    channel = grpc.insecure_channel(target, options=(("grpc.enable_http_proxy", 0),))
    at = lambda name: "/%s/%s" % (SERVICE, name)
    patient, cut = (channel.unary_stream(at(name))(b"", timeout=30) for name in ("Quiet", "Cut"))
    assert (next(patient), next(cut)) == (b"one", b"one")
    got = code_of(lambda: cut)
    assert got[0] not in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED), got
    channel.unary_unary(at("Release"))(b"", timeout=20)
    assert list(patient) == [b"two"]
    print("silent")


{"serve": lambda: serve(), "ask": lambda: ask(sys.argv[2]), "silent": lambda: silent(sys.argv[2])}[sys.argv[1]]()
