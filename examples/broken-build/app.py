"""Never runs: its requirements cannot be installed."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return "You should never see this.\n"
