"""The smallest Flask app that is still one."""

import os

from flask import Flask, jsonify

app = Flask(__name__)
MESSAGE = "Hello from Flask"


@app.get("/")
def index() -> str:
    return f"{MESSAGE}\n"


@app.get("/whoami")
def whoami():
    return jsonify(
        service=os.environ.get("LIGHTRAIL_SERVICE_NAME", ""),
        environment=os.environ.get("LIGHTRAIL_ENVIRONMENT_NAME", ""),
        upstream=os.environ.get("UPSTREAM", ""),
    )
