"""A request is complete at the same byte, however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from gunicorn.http.errors import ParseException
from hypothesis import given
from hypothesis import strategies as st

from otp_gateway.gunicorn_worker.arrival import Arrival

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
COMPLETE = [
    b"GET / HTTP/1.1\r\n\r\n",
    POST + b"\r\n",
    POST + b"Content-Length: 0\r\n\r\n",
    POST + b"Content-Length: 5\r\n\r\n12345",
    POST + b"content-length:5 \r\n\r\n\r\n\r\n1",
    POST + b"Transfer-Encoding: gzip, Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: cow\r\n\r\n",
    POST + b"Content-Length: 99999\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n\r\n0\r\n\r\n0\r\nX: y\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"7;x=y\r\n\r\n0\r\n\r\n\r\n" * 3 + b"00\r\n\r\n",
    POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
]


def completes_at(pieces: list[bytes]) -> int | None:
    """The number of bytes after which the request is complete."""
    arrival, total = Arrival(), 0
    for piece in pieces:
        arrival.add(piece)
        total += len(piece)
        if arrival.is_complete():
            return total
    return None


@pytest.mark.parametrize("data", COMPLETE)
def test_a_request_is_complete_at_its_last_byte(data: bytes) -> None:
    assert completes_at([data]) == len(data)
    assert completes_at([data[i : i + 1] for i in range(len(data))]) == len(data)
    assert completes_at([data[:-1]]) is None


def test_what_follows_a_request_does_not_matter() -> None:
    for data in COMPLETE:
        assert completes_at([data + b"GET / HTTP/1.1\r\n" * 5000]) is not None


@given(data=st.sampled_from(COMPLETE), cuts=st.sets(st.integers(1, 150)))
def test_the_pieces_do_not_matter(data: bytes, cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    assert completes_at([data[a:b] for a, b in pairwise(edges)]) == len(data)


@given(
    data=st.lists(st.sampled_from([b"\r\n", b"\n", b"0", b"f", b";", b":", b"Content-Length: 7\r\n", POST]))
)
def test_whatever_comes_the_answer_is_yes_no_or_a_refusal(data: list[bytes]) -> None:
    arrival, sent = Arrival(), b""
    for piece in [POST, b"Transfer-Encoding: chunked\r\n", *data]:
        arrival.add(piece)
        sent += piece
        try:
            if arrival.is_complete():
                break
        except ParseException:
            break
    assert arrival.take() == sent
    assert not arrival


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        pytest.param(POST, b"X: y\r\n", id="head"),
        pytest.param(CHUNKED, b"1", id="chunk line"),
        pytest.param(CHUNKED, b"1;" + b"x" * 900 + b"\r\n1\r\n", id="extensions"),
        pytest.param(CHUNKED + b"0\r\n", b"X: y\r\n", id="trailers"),
    ],
)
def test_an_endless_request_is_refused(begin: bytes, more: bytes) -> None:
    arrival = Arrival()
    arrival.add(begin)

    def go_on() -> None:
        for _ in range(100_000):
            arrival.add(more)
            assert not arrival.is_complete()

    with pytest.raises(ParseException):
        go_on()
    assert len(arrival) < 100_000
