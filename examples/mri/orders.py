"""Made-up MRI exam orders: encoded categories in, seconds of scanner time out. No real patient is in them."""

import numpy as np

# The order of a record's fields and of the models' features.
FEATURES = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "AGE", "POS_n", "IO_n"]

ITEMS = 5        # what is scanned: plain, contrast, angiography, spectroscopy, breast
DOCTORS = 280    # who ordered it
DEPARTMENTS = 30
POSITIONS = 23   # part of the body
FIRST_PATIENT = 9_000_000


def generate(rows: int, seed: int) -> dict[str, np.ndarray]:
    """`rows` orders with distinct patient numbers (PNO) and the features; all int64. The same seed gives the same."""
    rng = np.random.default_rng(seed)
    doctor = np.minimum(rng.exponential(80, rows), DOCTORS - 1).astype(np.int64)
    # Most doctors order for one department, some for whoever calls.
    department = np.where(rng.random(rows) < 0.85, doctor * 7 % DEPARTMENTS, rng.integers(0, DEPARTMENTS, rows))
    position = np.minimum(rng.exponential(6, rows), POSITIONS - 1).astype(np.int64)
    return {
        "PNO": FIRST_PATIENT + rng.permutation(rows * 9)[:rows],
        "ITEM_n": rng.choice(ITEMS, rows, p=[0.62, 0.25, 0.07, 0.04, 0.02]),
        "ORDERDR_n": doctor,
        "DEPT_n": department,
        "SEX_n": rng.integers(0, 2, rows),
        "AGE": np.clip(rng.normal(56, 18, rows), 1, 99).astype(np.int64),
        "POS_n": position,
        "IO_n": (rng.random(rows) < 0.7).astype(np.int64),
    }


def seconds(orders: dict[str, np.ndarray], seed: int) -> np.ndarray:
    """How long each exam took. Sequences by item and part of the body, slower with age and for inpatients, and
    a share of luck (patients who move, a late porter) that no model can know."""
    rng = np.random.default_rng(seed)
    by_item = np.array([0, 540, 780, 1260, 960])
    by_position = np.random.default_rng(7).integers(-240, 540, POSITIONS)
    by_department = np.random.default_rng(8).integers(-90, 150, DEPARTMENTS)
    slow = np.maximum(orders["AGE"] - 65, 0) * 9 + np.maximum(12 - orders["AGE"], 0) * 60
    expected = (
        1260
        + by_item[orders["ITEM_n"]]
        + by_position[orders["POS_n"]]
        + by_department[orders["DEPT_n"]]
        + slow
        + np.where(orders["IO_n"] == 0, 180 + slow // 2, 0)
    )
    return np.maximum(expected * rng.lognormal(0, 0.18, len(expected)), 240).round().astype(np.int64)
