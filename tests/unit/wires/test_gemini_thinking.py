"""How much a model is to think: in tokens or in words, each model in its own way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from synapse.domain.request import Reasoning, prompt_request
from synapse.providers.wires import gemini

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def _config(reasoning: Reasoning | None, model: str) -> dict[str, Any] | None:
    request = msgspec.structs.replace(prompt_request("code", "Hi"), reasoning=reasoning)
    body: dict[str, Any] = msgspec.json.decode(gemini.WIRE.encode(request, model, None).body)
    config: dict[str, Any] | None = body.get("generationConfig", {}).get("thinkingConfig")
    return config


def _budgets(model: str) -> list[object]:
    return [(_config(Reasoning(effort), model) or {}).get("thinkingBudget") for effort in EFFORTS]


def _levels(model: str) -> list[object]:
    return [(_config(Reasoning(effort), model) or {}).get("thinkingLevel") for effort in EFFORTS]


@pytest.mark.parametrize(
    ("model", "budgets"),
    [
        ("gemini-2.5-flash", [0, 1024, 1024, 8192, 24576, 24576, 24576]),
        ("models/gemini-2.5-flash-lite", [0, 1024, 1024, 8192, 24576, 24576, 24576]),
        ("gemini-2.5-pro", [128, 1024, 1024, 8192, 24576, 32768, 32768]),
        ("gemini-2.5-pro-preview-06-05", [128, 1024, 1024, 8192, 24576, 32768, 32768]),
    ],
)
def test_gemini_2_5_thinks_within_a_budget(model: str, budgets: list[int]) -> None:
    """Pro cannot be kept from thinking: it gets the least that it takes."""
    assert _budgets(model) == budgets
    assert _levels(model) == [None] * len(EFFORTS)


@pytest.mark.parametrize(
    ("model", "levels"),
    [
        ("gemini-3-pro-preview", "LOW LOW LOW HIGH HIGH HIGH HIGH"),
        ("gemini-3.1-pro-preview", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3-flash-preview", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("models/gemini-3.1-flash-lite", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.5-flash", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.6-flash", "MINIMAL MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.7-flash", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.8-flash", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-flash-latest", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-4-ultra", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("somebody/else-1", "LOW LOW LOW MEDIUM HIGH HIGH HIGH"),
        ("gemini-3.1-flash-image-preview", "MINIMAL MINIMAL MINIMAL HIGH HIGH HIGH HIGH"),
        ("gemma-4-31b-it", "MINIMAL MINIMAL MINIMAL HIGH HIGH HIGH HIGH"),
    ],
)
def test_gemini_3_thinks_on_a_level_that_the_model_knows(model: str, levels: str) -> None:
    """One that it does not know is refused, and none of them can be kept from thinking: the nearest is sent."""
    assert _levels(model) == levels.split()
    assert _budgets(model) == [None] * len(EFFORTS)


@pytest.mark.parametrize("model", ["gemini-2.0-flash", "gemini-1.5-pro", "gemini-2.5-flash-image", "gemma-3-27b-it"])
def test_models_that_do_not_think_are_told_nothing(model: str) -> None:
    """Any thinking config is refused."""
    for reasoning in (Reasoning("high"), Reasoning("none"), Reasoning(budget=0), Reasoning(show=True)):
        assert _config(reasoning, model) is None


@pytest.mark.parametrize(
    ("model", "budget", "sent"),
    [
        ("gemini-2.5-flash", 0, 0),
        ("gemini-2.5-flash", 1, 1),
        ("gemini-2.5-flash", 31999, 24576),
        ("gemini-2.5-flash", -1, -1),
        ("gemini-2.5-flash-lite", 0, 0),
        ("gemini-2.5-flash-lite", 100, 512),
        ("gemini-2.5-pro", 0, 128),
        ("gemini-2.5-pro", 31999, 31999),
        ("gemini-2.5-pro", 64000, 32768),
        ("gemini-2.5-pro", -1, -1),
    ],
)
def test_a_budget_is_kept_within_what_the_model_takes(model: str, budget: int, sent: int) -> None:
    """One outside of that is refused."""
    assert _config(Reasoning(budget=budget), model) == {"thinkingBudget": sent}


@pytest.mark.parametrize(
    ("budget", "level"), [(0, "MINIMAL"), (512, "LOW"), (1024, "LOW"), (4000, "MEDIUM"), (8193, "HIGH"), (-1, None)]
)
def test_a_budget_for_gemini_3_becomes_a_level(budget: int, level: str | None) -> None:
    """Budgets are not what these models are made for; with as much as it likes the model is left alone."""
    expected = None if level is None else {"thinkingLevel": level}

    assert _config(Reasoning(budget=budget), "gemini-3-flash-preview") == expected


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash-preview"])
def test_budget_and_level_are_never_sent_together(model: str) -> None:
    """Gemini refuses both at once; each model gets the one that is its own."""
    config = _config(Reasoning("low", 5000, show=True), model)

    assert config in (
        {"includeThoughts": True, "thinkingBudget": 5000},
        {"includeThoughts": True, "thinkingLevel": "LOW"},
    )


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-flash-preview"])
def test_thoughts_are_shown_where_they_are_wanted(model: str) -> None:
    """That can be asked for alone; not showing them is what Gemini does by itself."""
    assert _config(Reasoning(show=True), model) == {"includeThoughts": True}
    assert _config(Reasoning(show=False), model) is None
    assert _config(Reasoning(), model) is None
    assert _config(None, model) is None


def test_no_thoughts_are_asked_for_where_there_are_none() -> None:
    """Gemini refuses to show thoughts while thinking is turned off."""
    assert _config(Reasoning("none", show=True), "gemini-2.5-flash") == {"thinkingBudget": 0}


def test_an_effort_of_another_name_is_left_to_gemini() -> None:
    """It says nothing that could be translated."""
    assert _config(Reasoning("frantic"), "gemini-2.5-flash") is None
    assert _config(Reasoning("frantic"), "gemini-3.5-flash") is None
