#!/usr/bin/env bash
# Start-up: `fathom --help` and `import fathom`, beside Python's own start. Medians of 11.
#   benchmarks/startup.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
unset PYTHONDONTWRITEBYTECODE
"$python" -m compileall -q src "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" >/dev/null 2>&1 || true
"$python" - <<'P'
import statistics, subprocess, sys, time

def median(*arguments: str) -> float:
    times = []
    for _ in range(11):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)

bare = median("-c", "pass")
imported = median("-c", "import fathom")
helped = median("-m", "fathom", "--help")
print(f"python -c pass        {bare:.3f} s")
print(f"import fathom         {imported:.3f} s  ({imported - bare:+.3f} s; must be within 0.1)")
print(f"fathom --help         {helped:.3f} s  (must be within 0.2)")
code = "import sys, fathom, fathom.cli.command; sys.exit(any(m in sys.modules for m in ('torch', 'pandas')))"
subprocess.run([sys.executable, "-c", code], check=True)
print("neither loads torch or pandas")
P
