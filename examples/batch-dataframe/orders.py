"""Made-up past orders of a radiology department, as a hospital's export has them: encoded categories, ages as pandas
writes them where some are missing, holes, and a few lines that are not orders. No real patient is in them."""

import numpy as np

FEATURES = ["AGE", "TURN", "bhour", "ITEM_n", "ORDERDR_n", "MODEL_NAME_n", "IO_n", "DEPT_n", "SEX_n", "POS_n", "MD_NO_n"]

BROKEN = ["#REF!", "64.0,1,9,2", "64.0,1,9,2,11,0,1,4,0,3,7,99", '64.0,1,9,2,11,0,1,4,0,"3,7']
TYPOS = ["sixty,1,9,2,11,0,1,4,0,3,7"]


def generate(rows: int, seed: int) -> dict[str, np.ndarray]:
    """`rows` orders, all int64. The same seed gives the same."""
    rng = np.random.default_rng(seed)
    return {
        "AGE": np.clip(rng.normal(56, 18, rows), 1, 99).astype(np.int64),
        "TURN": rng.integers(1, 60, rows),             # place in the queue of the day
        "bhour": rng.integers(7, 22, rows),            # hour of the day
        "ITEM_n": rng.choice(5, rows, p=[0.62, 0.25, 0.07, 0.04, 0.02]),
        "ORDERDR_n": np.minimum(rng.exponential(80, rows), 279).astype(np.int64),
        "MODEL_NAME_n": rng.integers(0, 4, rows),      # which scanner
        "IO_n": (rng.random(rows) < 0.7).astype(np.int64),
        "DEPT_n": rng.integers(0, 30, rows),
        "SEX_n": rng.integers(0, 2, rows),
        "POS_n": np.minimum(rng.exponential(6, rows), 22).astype(np.int64),
        "MD_NO_n": rng.integers(0, 12, rows),          # who operates it
    }


def seconds(orders: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """How long each exam took, with a share of luck that no model can know."""
    rng = np.random.default_rng(seed)
    by_item = np.array([0, 540, 780, 1260, 960])
    by_position = np.random.default_rng(7).integers(-240, 540, 23)
    by_scanner = np.array([0, -120, 90, 240])
    expected = (
        1260
        + by_item[orders["ITEM_n"]]
        + by_position[orders["POS_n"]]
        + by_scanner[orders["MODEL_NAME_n"]]
        + np.maximum(orders["AGE"] - 65, 0) * 9
        + np.where(orders["IO_n"] == 0, 180, 0)
        + np.where(orders["bhour"] > 17, -60, 0)
    )
    return np.maximum(expected * rng.lognormal(0, 0.15, len(expected)), 240).round().astype(np.int64)


def lines(rows: int, seed: int, broken: list[str] = BROKEN) -> list[str]:
    """A file's lines: the header, `rows` orders, and now and then a hole, an impossible age or a broken line."""
    orders = generate(rows, seed)
    rng = np.random.default_rng(seed + 1)
    out = [",".join(FEATURES)]
    for row in range(rows):
        fields = [str(orders[name][row]) for name in FEATURES]
        fields[0] += ".0"
        if rng.random() < 0.02:
            fields[rng.integers(0, len(fields))] = ""
        elif rng.random() < 0.01:
            fields[0] = "999.0"
        out.append(",".join(fields))
        if row % 400 == 200:
            out.append(broken[row // 400 % len(broken)])
    return out
