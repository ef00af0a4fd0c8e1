"""Whether a request has arrived completely. Only then does a thread get it, so a slow client holds none."""

from __future__ import annotations

import re

from gunicorn.http.errors import LimitRequestHeaders, ParseException

from otp_gateway.api.body import MAX_BODY

# Four times the size of a token of 8 KiB and of all our cookies.
MAX_HEAD = 32 * 1024
# Flask reads one byte more than MAX_BODY, to see that a body is too large.
ENOUGH_BODY = MAX_BODY + 1
# Each byte of the body can be its own chunk, which has six bytes.
MAX_CHUNKED = 8 * ENOUGH_BODY
MAX_CHUNK_LINE = 1024
MAX_TRAILERS = 8 * 1024
HEAD_END = b"\r\n\r\n"
BARE_LINE_END = re.compile(rb"(?<!\r)\n")
LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
CODING = re.compile(rb"\r\nTransfer-Encoding:", re.IGNORECASE)
# The parser refuses a body whose last coding is another one.
CHUNKED = re.compile(rb"\r\nTransfer-Encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
EXPECTATION = re.compile(rb"\r\nExpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
REQUEST_LINE_1_1 = re.compile(rb"[^\r\n]* HTTP/1\.1\r\n")


class TooMuchFraming(ParseException):  # type: ignore[misc]  # gunicorn has no types
    """A small body with so many bytes of chunk lines that no honest client sends it."""


class Arrival:
    """The bytes of the next request of a connection.

    This class decides only when a request goes to a thread. gunicorn's parser reads the request, and refuses
    a broken one.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._start()

    def _start(self) -> None:
        self._searched = 0
        self._body = 0
        self._length = 0
        self._chunked = False
        self._chunk = 0
        self._decoded = 0
        self._wants_continue = False

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Append bytes that the client has sent."""
        self._data += data

    def take(self) -> bytes:
        """Return all bytes, for the parser. The next request begins then."""
        data = bytes(self._data)
        self._data.clear()
        self._start()
        return data

    def wants_continue(self) -> bool:
        """Whether the client waits for "100 Continue".

        It is true only once, because the caller then sends it.
        """
        wanted, self._wants_continue = self._wants_continue, False
        return wanted

    def is_complete(self) -> bool:
        """Whether the parser can read the request without waiting.

        Raises ``ParseException`` if it is too large.
        """
        if not self._body and not self._read_head():
            return False
        if not self._body:
            return True  # the parser refuses the head as it is
        if not self._chunked:
            return len(self._data) - self._body >= self._length
        if self._read_chunks():
            return True
        if len(self._data) - self._body > MAX_CHUNKED:
            raise TooMuchFraming
        return False

    def _read_head(self) -> bool:
        """Look for the end of the head. True: it has arrived, or the parser will refuse the head at once."""
        data, begin = self._data, max(self._searched - len(HEAD_END) + 1, 0)
        end = data.find(HEAD_END, begin)
        stop = end if end >= 0 else len(data)
        if BARE_LINE_END.search(data, begin, stop):
            return True
        self._searched = len(data)
        if stop > MAX_HEAD:
            if data.find(b"\r\n", 0, MAX_HEAD) < 0:
                return True  # the parser refuses the request line
            raise LimitRequestHeaders("the head is too large")
        if end < 0:
            return False
        self._body = end + len(HEAD_END)
        self._read_framing(bytes(data[: end + 2]))
        return True

    def _read_framing(self, head: bytes) -> None:
        length = LENGTH.search(head)
        self._chunked = CHUNKED.search(head) is not None and length is None
        self._chunk = self._body
        if length and int(length[1]) <= ENOUGH_BODY and not CODING.search(head):
            # A larger body is refused without being read. A request with both headers is also refused.
            self._length = int(length[1])
        missing = self._chunked or len(self._data) - self._body < self._length
        if missing and REQUEST_LINE_1_1.match(head) and (found := EXPECTATION.search(head)):
            # gunicorn would send "100 Continue" in the thread, which would then wait for the body.
            del self._data[found.start() : found.end()]
            self._body -= found.end() - found.start()
            self._chunk = self._body
            self._wants_continue = True

    def _read_chunks(self) -> bool:
        """Go to the next missing chunk. True: all chunks have arrived, or the body will be refused."""
        data = self._data
        while (line := data.find(b"\r\n", self._chunk)) >= 0:
            size = _size(bytes(data[self._chunk : line]))
            if size <= 0:
                is_complete = size < 0 or data.find(HEAD_END, line) >= 0
                if not is_complete and len(data) - line > MAX_TRAILERS:
                    raise TooMuchFraming
                return is_complete
            following = line + 2 + size + 2
            is_too_large = self._decoded + min(size, len(data) - line - 2) >= ENOUGH_BODY
            is_broken = len(data) >= following and data[following - 2 : following] != b"\r\n"
            if is_too_large or is_broken:
                return True
            if len(data) < following:
                return False
            self._chunk, self._decoded = following, self._decoded + size
        if len(data) - self._chunk > MAX_CHUNK_LINE:
            raise TooMuchFraming
        return False


def _size(line: bytes) -> int:
    """The size of a chunk. It is negative if the line is not valid."""
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return -1
