"""Program A on Dask, on Ray, on Flink and on DataFusion gives what its pipeline's example expects."""

import subprocess
import sys

import pytest
from conftest import ROOT

EXAMPLE = ROOT / "examples/batch-dataframe"


def table(part):
    """A file that was written; Flink writes no header."""
    import pandas

    names = (EXAMPLE / "orders.csv").read_text().splitlines()[0].split(",")
    has_header = part.read_text().lstrip('"').startswith(names[0])
    return pandas.read_csv(part) if has_header else pandas.read_csv(part, names=[*names, "PRETIME"])


PROGRAMS = {
    "dask.dataframe": "dask_dataframe.py",
    "datafusion": "datafusion_sql.py",
    "pyflink": "flink_table.py",
    "ray": "ray_data.py",
}


@pytest.mark.parametrize("module, program", PROGRAMS.items())
def test_the_same_rows(module, program, tmp_path):
    pytest.importorskip(module)
    import pandas

    command = [sys.executable, str(ROOT / "examples/clusters" / program), str(EXAMPLE / "orders.csv"), str(tmp_path / "out")]
    done = subprocess.run([*command, str(EXAMPLE / "models/duration.joblib")], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    got = pandas.concat(map(table, (part for part in (tmp_path / "out").iterdir() if part.stat().st_size)))
    expected = pandas.read_csv(EXAMPLE / "expected.csv")
    columns = [name for name in got.columns if name in expected.columns]
    assert "PRETIME" in columns and len(columns) == 12
    got, expected = (one[columns].astype("int64").sort_values(columns).reset_index(drop=True) for one in (got, expected))
    pandas.testing.assert_frame_equal(got, expected)
