"""A variant: one generator architecture with the recipes that may train it. Pure data, free of torch."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from baselines.recipe import Recipe
from spade_core.label_spec import LabelSpec

if TYPE_CHECKING:
    from torch import nn

Provenance = Literal["paper", "reconstruction", "extension"]


class GeneratorSettings(Protocol):
    """A frozen dataclass of architecture fields that can build its network; ``build`` imports torch when called."""

    def build(self, spec: LabelSpec, size: tuple[int, int]) -> nn.Module:
        """The generator for label maps of ``spec`` and images of ``size`` = (height, width) px.

        The module maps ``(label_map: LabelMap, z: Tensor | None = None)`` to images (N, 3, H, W) in [-1, 1].
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row that a study can ask for."""

    name: str
    """What the command line calls it."""
    summary: str
    """One line for ``list variants``."""
    generator: GeneratorSettings
    recipes: tuple[Recipe, ...]
    """The first is the default."""
    table_rows: tuple[str, ...] = ()
    """The published rows that this variant stands for, such as ``"Table 3: pix2pixHD++"``."""
    paper_params_m: float | None = None
    """Generator parameters in millions as printed in the paper (on ADE20K, see facts), None where none is printed."""
    provenance: Provenance = "paper"
    provenance_note: str = ""
    """For a reconstruction: what is not known, what was chosen and why."""

    def __post_init__(self) -> None:
        if not self.recipes:
            raise ValueError(f"variant {self.name!r} has no recipe; give at least one in recipes=(...)")
        names = [recipe.name for recipe in self.recipes]
        if len(set(names)) != len(names):
            raise ValueError(f"variant {self.name!r} has two recipes of one name: {names}")
        if self.provenance != "paper" and not self.provenance_note:
            raise ValueError(
                f"variant {self.name!r} is a {self.provenance}; say in provenance_note what was chosen and why"
            )
        if not is_dataclass(self.generator):
            raise ValueError(f"variant {self.name!r}: generator must be a frozen dataclass of settings")

    def recipe(self, name: str | None = None) -> Recipe:
        """The recipe called ``name``, or the default one."""
        if name is None:
            return self.recipes[0]
        for recipe in self.recipes:
            if recipe.name == name:
                return recipe
        known = ", ".join(recipe.name for recipe in self.recipes)
        raise ValueError(f"variant {self.name!r} has no recipe {name!r}; it has: {known}")

    def scaled(self, **changes: Any) -> Variant:
        """The same variant with some fields of its generator replaced, such as ``width=16``.

        Raises ValueError for a field that the generator's settings do not have.
        """
        settings: Any = self.generator
        known = sorted(item.name for item in fields(settings))
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise ValueError(f"variant {self.name!r} has no setting {', '.join(unknown)}; it has: {', '.join(known)}")
        return replace(self, generator=replace(settings, **changes))
