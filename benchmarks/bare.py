"""A Flask application with one route that returns a short JSON object. Its cost is the unit of the table."""

from __future__ import annotations

from flask import Flask, Response, jsonify

app = Flask(__name__, static_folder=None)


@app.post("/bare")
def bare() -> Response:
    """A short JSON object."""
    return jsonify(status="ok")


@app.get("/healthz")
def healthz() -> Response:
    """The server waits for this answer at start."""
    return jsonify(status="ok")
