"""What quantities and scenarios of a map are called on pages and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
}
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
    """
    name = quantity.partition("_")[2]
    factor = re.fullmatch(r"(plus|minus)(\d+)", name)
    if factor:
        return f"input {'+' if factor[1] == 'plus' else '−'}{int(factor[2])} %"
    return "business as usual" if name == "bau" else name.replace("_", " ")


def quantity_title(quantity: str) -> str:
    """Return a quantity and its scenario as people call them.

    >>> quantity_title("stock_bau"), quantity_title("soc"), quantity_title("ph_h2o")
    ('Soil carbon stock, business as usual', 'Soil organic carbon', 'ph_h2o')
    """
    if family(quantity) not in _TITLES:
        return quantity
    return ", ".join(part for part in (family_title(quantity), scenario_words(quantity)) if part)


def listed(words: list[str]) -> str:
    """Return words as people list them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
