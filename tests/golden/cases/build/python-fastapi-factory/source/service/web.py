import fastapi


def create_app():
    return fastapi.FastAPI()
