"""How long it takes to import foreworld and to see its help: the median of ten runs each, in fresh processes.

python benchmarks/startup.py [--json]
"""

import json
import statistics
import subprocess
import sys
import time

RUNS = 10
CASES = {
    "python (nothing imported)": ("-c", "pass", None),
    "import foreworld": ("-c", "import foreworld", 0.3),
    "foreworld --help": ("-m", "foreworld", 0.5),
}


def seconds(arguments: list[str]) -> float:
    """Wall-clock time of one run of this Python."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure() -> list[dict[str, float | str | None]]:
    """The median of each case, after one run that fills the disk cache."""
    rows = []
    for name, (flag, what, limit) in CASES.items():
        arguments = [flag, what, *(["--help"] if flag == "-m" else [])]
        times = [seconds(arguments) for _ in range(RUNS + 1)][1:]
        rows.append({"case": name, "median_s": round(statistics.median(times), 3), "limit_s": limit})
    return rows


if __name__ == "__main__":
    results = measure()
    if "--json" in sys.argv:
        print(json.dumps(results, indent=2))
    else:
        for row in results:
            bar = "" if row["limit_s"] is None else f"   (bar: {row['limit_s']} s)"
            print(f"{row['case']:<28}{row['median_s']:>8.3f} s{bar}")
