from tests.api.conftest import served

__all__ = ["served"]
