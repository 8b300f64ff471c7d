"""Watching a function at work."""

from types import SimpleNamespace

import pytest


def spy(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[SimpleNamespace]:
    """Record the calls of a function."""
    calls, original = [], getattr(owner, name)

    def recorder(*args, **kwargs):
        result = original(*args, **kwargs)
        calls.append(SimpleNamespace(args=args, kwargs=kwargs, result=result))
        return result

    monkeypatch.setattr(owner, name, recorder)
    return calls
