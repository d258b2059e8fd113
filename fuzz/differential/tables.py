"""Random tables as streams have them, to learn from and to be asked about, and targets that depend on them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

NAMES = "age dose rate weight x1 x2 AGE_n Größe last.visit price_eur n°5 count".split()
WORDS = ["brain", "knee", "spine", "heart ♥", "Süd-Ost", "हिन्दी", "a b", "3", "yes", "no"]
STRANGE = ["elbow", "", " ", "Brain", "🙂", "nan", "None", "हिन्दि"]
ODD = [np.nan, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-320, -0.0, 0.0, 1e39, 3e38, -1.0, 0.5, 1e7, -1e-9]
NOTES = (
    "brain knee spine scan of the with left right and without contrast MRI urgent follow-up pain patient's 3T T2 naïve café "
    "STRASSE straße İstanbul हिन्दी मरीज ปวด หัว 脳 🙂 x_y a² 12 7.5 don't over_"
).split()
TRAIN, ASKED = 140, 40


@dataclass
class Table:
    """What a model learns from, and the rows that it is asked about (`asked`: as they are written down)."""

    train: pd.DataFrame
    asked: pd.DataFrame
    numbers: list = field(default_factory=list)
    words: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    bare: bool = False  # the library is given an array, without names
    absent: object = np.nan  # what a missing word is: one thing in all of a table
    levels: dict = field(default_factory=dict)  # columns that are given as pandas' categories

    def given(self, frame):
        """What the library is handed."""
        if self.bare:
            # As scikit-learn makes an array of such columns.
            kind = np.result_type(*frame.dtypes)
            return frame.to_numpy(dtype=kind if kind == np.float32 else float)

        def category(name, known):
            unseen = sorted(set(frame[name].dropna()) - set(known))
            return pd.Categorical(frame[name], categories=[*known, *unseen])

        return frame.assign(**{name: category(name, known) for name, known in self.levels.items()})

    @property
    def narrow(self):
        """Whether the library may answer in float32 because of what it is handed."""
        return any("float32" in map(str, frame.dtypes) for frame in (self.train, self.asked))

    @property
    def may_be_narrow(self):
        """The same, also where a step makes float32 columns beside bools, which become float32 there, and floats do not."""
        return self.narrow or (self.train.dtypes == bool).any()

    @property
    def holes(self):
        return bool(self.train[self.numbers].isna().any().any())


@dataclass
class Made:
    """A model with the table that it has learned from."""

    model: object
    data: Table
    given: object = None  # what the library is handed of some rows; `data.given` where it is not said
    raw: bool = False  # something that does not show itself in a line
    samples: bool = False  # whether it is asked for `score_samples` alone
    told: list = None  # the names of the inputs, where no file tells them

    def hand(self, frame):
        return (self.given or self.data.given)(frame)


def number(dice):
    """How one column of numbers is drawn."""
    scale = dice.one([1, 1, 1, 1e-3, 1e3, 1e6])
    return dice.one([
        lambda _: lambda r, n: r.normal(0, scale, n),
        lambda _: lambda r, n: (r.lognormal(0, 0.7, n) * scale).round(4),
        lambda _: lambda r, n: r.uniform(-scale, scale, n).round(5),
        lambda _: lambda r, n: r.randint(0, 95, n),
        lambda _: lambda r, n: r.randint(-3, 4, n),
        lambda _: lambda r, n: r.choice([0.0, 0.0, 1.0, 2.5], n),
        lambda _: lambda r, n: r.randint(0, 2, n),
        lambda _: lambda r, n: r.rand(n) < 0.4,
        lambda _: lambda r, n: np.full(n, r.choice([0.0, 2.5])),
        lambda _: lambda r, n: 1_600_000_000 + r.randint(0, 10**8, n),
    ])


def note(dice):
    weights = 1 / (1 + np.arange(len(NOTES)))
    words = dice.choice(NOTES, dice.whole(1, 12), p=weights / weights.sum())
    return "".join(word + dice.one([" ", " ", "  ", ", ", "\t", "\u00a0"]) for word in words)


def table(dice, numbers=0, words=0, notes=0, holes=0.0, bare=False, positive=False):
    names = dice.some(NAMES, numbers + words + notes)
    kinds = ["numbers"] * numbers + ["words"] * words + ["notes"] * notes
    if not bare:
        kinds = dice.some(kinds, len(kinds))
    absent = None if words and holes and dice.flip(0.3) else np.nan
    train, asked, by = {}, {}, {"numbers": [], "words": [], "notes": []}
    for name, kind in zip(names, kinds):
        by[kind].append(name)
        draw = {"numbers": number, "words": lambda dice: word(dice, absent), "notes": lambda dice: lambda r, n: [note(r) for _ in range(n)]}[kind](dice)
        train[name], asked[name] = pd.Series(draw(dice, TRAIN)), pd.Series(draw(dice, ASKED))
        if positive and kind == "numbers":
            train[name], asked[name] = train[name].abs() + 0.25, asked[name].abs() + 0.25
        if holes and train[name].dtype != bool and dice.flip(0.8) and kind != "notes":
            rows = np.flatnonzero(dice.rand(TRAIN) < holes)
            train[name] = train[name].astype(float) if kind == "numbers" else train[name]
            train[name].iloc[rows] = np.nan if kind == "numbers" else absent
        odd(dice, name, kind, asked, absent)
    train, asked = typed(dice, pd.DataFrame(train), pd.DataFrame(asked), by["numbers"], bare)
    return Table(train, asked, by["numbers"], by["words"], by["notes"], bare, absent)


def typed(dice, train, asked, numbers, bare):
    """The numbers in the types that Parquet files have: float32 everywhere or only in what is asked, or any."""
    how = dice.one(["wide"] * 3 + ["float32", "float32", "float32 asked", "float32 asked", *([] if bare else ["any", "any"])])
    with np.errstate(over="ignore"):
        for name in numbers if how != "wide" else []:
            columns = [frame[name] for frame in (train, asked)]
            if columns[0].dtype == bool:
                continue
            whole = all(column.dtype.kind == "i" for column in columns)
            kinds = ["float32"]
            if how == "any":
                fits = [kind for kind in ("int8", "uint8", "int16", "int32") if whole and all(
                    np.iinfo(kind).min <= column.min() and column.max() <= np.iinfo(kind).max for column in columns)]
                kinds = fits or ["float32", None]
            kind = dice.one(kinds)
            if kind and how != "float32 asked":
                train[name] = columns[0].astype(kind)
            if kind:
                asked[name] = columns[1].astype(kind)
    return train, asked


def word(dice, absent):
    levels = np.array(dice.some(WORDS, dice.whole(2, 7)), dtype=object)
    weights = 1 / (1 + np.arange(len(levels)))
    text = "object" if absent is None else dice.one(["object", "str"])
    return lambda r, n: pd.Series(levels[r.choice(len(levels), n, p=weights / weights.sum())], dtype=text)


def odd(dice, name, kind, asked, absent):
    """Missing, unseen, infinite, huge and tiny values, in some rows of what is asked."""
    column = asked[name]
    if column.dtype == bool or (kind == "numbers" and dice.flip(0.2)):
        return
    if kind == "numbers":
        column = column.astype(float)
        rows = dice.permutation(ASKED)[:dice.whole(1, 8)]
        values = [dice.one(ODD) for _ in rows]
    else:
        rows = dice.permutation(ASKED)[:dice.whole(1, 5)]
        values = [dice.one([*STRANGE, absent if kind == "words" else None]) for _ in rows]
    column.iloc[rows] = values
    asked[name] = column


def signal(dice, data):
    """A number for each row of the training data that its columns have to do with."""
    total = dice.normal(0, 0.4, TRAIN)
    for name in data.numbers:
        values = data.train[name].astype(float)
        values = values.fillna(values.mean())
        total = total + dice.between(-1, 1) * np.asarray((values - values.mean()) / (values.std() or 1))
    for name in data.words + data.notes:
        first = data.train[name].dropna().iloc[0]
        total = total + dice.between(-1, 1) * data.train[name].fillna("").str.startswith(first[:3]).to_numpy(dtype=float)
    return total


LABELS = {2: [["no", "yes"], [0, 1], [False, True], [-1, 1], ["हाँ", "Nein"], [1.0, 2.0]],
          3: [["low", "mid", "top"], [0, 1, 2], [30, 10, 20], ["a", "B", "ü"]],
          4: [["n", "e", "s", "w"], [0, 1, 2, 3], [7, 5, 1, 100]]}


def classes(dice, score, count):
    labels = np.array(dice.one(LABELS[count]))
    if dice.flip(0.06):
        # A single class, or one that is there once.
        lone = np.full(len(score), labels[0])
        lone[0] = labels[-1] if dice.flip() else labels[0]
        return lone
    return labels[np.digitize(score, np.quantile(score, np.arange(1, count) / count))]


TASKS = ["number", "number", "number", "positive", "two", "two", "two", "many", "many", "numbers", "flags"]


def target(dice, data, task):
    score = signal(dice, data)
    if task in ("number", "positive") and dice.flip(0.05):
        return np.full(len(score), dice.one([0.0, 1.0, 7.25]))
    if task == "number":
        return score * dice.one([1, 1, 100, 1e-3])
    if task == "positive":
        return np.exp(score / 2)
    if task == "two":
        return classes(dice, score, 2)
    if task == "many":
        return classes(dice, score, dice.whole(3, 4))
    several = [score, *(signal(dice, data) for _ in range(dice.whole(1, 2)))]
    if task == "numbers" and dice.flip(0.1):
        several[-1] = np.full(len(score), dice.one([-1.0, 2.0]))
    if task == "numbers":
        return np.column_stack(several)
    return np.column_stack([one > np.quantile(one, 0.4) for one in several]).astype(int)
