"""Tuning: forests grown with several settings, of which the best on validation are averaged.

An average of the best few is steadier than the best one, which is partly the luckiest (Caruana et
al., 2004, doi:10.1145/1015330.1015432, average what is chosen greedily; on the few validation rows
of a small table that was worse than simply the best three).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fathom.baselines.growth import MOST_ROUNDS, Table, Watch, grow
from fathom.baselines.recipe import DEFAULT, SETTINGS, Extent, Member, Recipe
from fathom.baselines.trees import Trees, from_sklearn
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array

AVERAGED = 3
# A fit that has less than this share of the longest one's time is not begun.
LEAST_TIME = 0.7
HURRIED = replace(DEFAULT, learning_rate=0.24)


@dataclass(frozen=True)
class Menu:
    """The settings that are tried in their order, and what notes call the method.

    `hurried` is tried where the first did not come to its end in half of the time; without it the
    first may take all. None grows more than `most_rounds`.
    """

    title: str
    settings: tuple[Member, ...]
    hurried: Member | None = None
    most_rounds: int = MOST_ROUNDS


@dataclass(frozen=True)
class Kept:
    """A forest, what is said before any tree, (outputs,), and the class codes that occurred."""

    member: Member
    trees: Trees
    start: Array
    classes: Array


@dataclass(frozen=True)
class _Tried:
    loss: float
    forest: Kept
    settled: bool
    seconds: float


@dataclass(frozen=True)
class Found:
    """The forests to average, the best first; `settled` as in Recipe."""

    forests: tuple[Kept, ...]
    menu: Menu
    settled: bool = True

    @property
    def recipe(self) -> Recipe:
        """What repeats them."""
        return Recipe(tuple(forest.member for forest in self.forests), self.settled)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know; the same after a search and after its repeat."""
        return () if self.settled else (_stopped(self.recipe, self.menu),)


def tables() -> Menu:
    """The settings for tables."""
    return Menu("Gradient boosting", SETTINGS, HURRIED)


def repeat(table: Table, limit: Extent, menu: Menu | None = None) -> Found:
    """Exactly the forests of a recipe; a number is the first settings for so many rounds."""
    menu = menu or tables()
    first = menu.settings[0]
    recipe = limit if isinstance(limit, Recipe) else Recipe((replace(first, rounds=limit),))
    forests = tuple(_grown(table, member, None) for member in recipe.members)
    return Found(forests, menu, recipe.settled)


def search(
    table: Table, budget: Budget, validation: Examples | None, menu: Menu | None = None
) -> Found:
    """Try the settings in their order until the budget is spent, and keep the best few.

    The first may take half of the time. Where that does not suffice, the other half goes to larger
    steps, which come farther in as many rounds. Without validation there is nothing to choose by:
    the first settings alone.
    """
    menu = menu or tables()
    chosen = validation is not None and validation.targets is not None and len(validation) > 0
    left, tried = list(menu.settings if chosen else menu.settings[:1]), list[_Tried]()
    while left and (not tried or budget.remaining > LEAST_TIME * max(t.seconds for t in tried)):
        share = budget.share(budget.remaining / (2 if chosen and menu.hurried and not tried else 1))
        watch = Watch(share, table.codes, table.labels, validation, table.seed)
        watch.most = min(watch.most, menu.most_rounds)
        forest = _grown(table, left.pop(0), watch)
        tried.append(_Tried(watch.loss, forest, watch.settled, share.elapsed))
        if not watch.settled:
            left = [menu.hurried] if chosen and menu.hurried and len(tried) == 1 else []
    return Found(_best(tried), menu, settled=all(t.settled for t in tried) and not left)


def _best(tried: Sequence[_Tried]) -> tuple[Kept, ...]:
    """Half of the forests, three at most, the best first.

    One that was cut short would spoil an average: it counts only as the best of all.
    """
    ranked = sorted(tried, key=lambda t: t.loss)
    whole = [t for t in ranked if t.settled or t is ranked[0]]
    count = min(AVERAGED, (len(whole) + 1) // 2)
    return tuple(t.forest for t in whole[:count])


def _grown(table: Table, member: Member, watch: Watch | None) -> Kept:
    grown = grow(table, member, watch)
    kept = member.rounds if watch is None else watch.best
    trees = from_sklearn(grown.predictors[:kept])
    return Kept(replace(member, rounds=kept), trees, grown.start, grown.classes)


def _stopped(recipe: Recipe, menu: Menu) -> str:
    kept = f"{len(recipe.members)} forests" if len(recipe.members) > 1 else "one forest"
    return (
        f"{menu.title} was stopped by the time budget before it had tried all of its "
        f"{len(menu.settings)} settings to the end, and kept {kept} of {recipe.rounds} rounds in "
        "all; with more time it could be better."
    )
