"""What quantities and scenarios of a map are called on pages and pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_TITLES: Mapping[str, str] = {
    "soc": "Soil organic carbon",
    "stock": "Soil carbon stock",
    "clay": "Clay",
    "dpm": "Decomposable plant material",
    "rpm": "Resistant plant material",
    "bio": "Microbial biomass",
    "hum": "Humified organic matter",
    "iom": "Inert organic matter",
    "co2": "Carbon respired",
    "input": "Carbon input",
    "change": "Change of the stock",
    "beta": "Beta, the fall of carbon with depth",
    "dissimilarity": "Dissimilarity to the training places",
}
#: What comes out of different models rather than of different scenarios, in the order of pictures.
ARMS: Mapping[str, str] = {
    "ml": "forest alone (ML)",
    "po": "process alone (PO)",
    "poml": "hybrid (POML)",
}
#: Families of differences between years, which are neither summed nor mapped as amounts.
DIFFERENCES = ("change",)
#: Families that a report opens with, where a map holds them.
MAIN = ("soc", "stock")


def family(quantity: str) -> str:
    """Return what a quantity is of, whatever its scenario.

    >>> family("stock_plus05"), family("soc")
    ('stock', 'soc')
    """
    return quantity.partition("_")[0]


def family_title(quantity: str) -> str:
    """Return what a quantity is of as people call it, or its own name."""
    return _TITLES.get(family(quantity), quantity)


def scenario_words(quantity: str) -> str:
    """Return a quantity's scenario as people call it, "" where it has none.

    >>> scenario_words("stock_bau"), scenario_words("co2_plus05"), scenario_words("soc")
    ('business as usual', 'input +5 %', '')
    >>> scenario_words("stock_poml")
    'hybrid (POML)'
    """
    name = quantity.partition("_")[2]
    if name in ARMS:
        return ARMS[name]
    factor = re.fullmatch(r"(plus|minus)(\d+)", name)
    if factor:
        return f"input {'+' if factor[1] == 'plus' else '−'}{int(factor[2])} %"
    return "business as usual" if name == "bau" else name.replace("_", " ")


def arm_of(quantity: str) -> str:
    """Return the model that a quantity comes from, "" where it is none of several.

    >>> arm_of("stock_poml"), arm_of("stock_bau")
    ('poml', '')
    """
    name = quantity.partition("_")[2]
    return name if name in ARMS else ""


def series_word(quantities: Iterable[str]) -> str:
    """Return what quantities differ in: ``model``, ``scenario``, or ``quantity`` itself.

    >>> series_word(["stock_ml", "stock_po"]), series_word(["stock_bau", "co2_bau"])
    ('model', 'scenario')
    >>> series_word(["stock", "beta"])
    'quantity'
    """
    found = set(quantities)
    if any(arm_of(quantity) for quantity in found):
        return "model"
    several = len(found) > 1 and all("_" not in quantity for quantity in found)
    return "quantity" if several else "scenario"


def quantity_title(quantity: str) -> str:
    """Return a quantity and its scenario as people call them.

    >>> quantity_title("stock_bau"), quantity_title("soc"), quantity_title("ph_h2o")
    ('Soil carbon stock, business as usual', 'Soil organic carbon', 'ph_h2o')
    """
    if family(quantity) not in _TITLES:
        return quantity
    return ", ".join(part for part in (family_title(quantity), scenario_words(quantity)) if part)


def capital(words: str) -> str:
    """Return words with a capital at the beginning, and as they are from there on.

    >>> capital("hybrid (POML)")
    'Hybrid (POML)'
    """
    return words[:1].upper() + words[1:]


def listed(words: list[str]) -> str:
    """Return words as people list them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
