"""What a call through a macro and the local service costs, beside the same in Python.

    python benchmarks/frontends.py [--size 512] [--features tws]

The macros run in a headless ImageJ in this process; the service is a process of its own, with a folder of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from results import Results, add_json

# segment twice in a fresh Python: CPU seconds of the second time, and the wall seconds
PEER = """
import sys, time
from pathlib import Path
from fijibridge.jvm import start
from fijibridge.operations import operation
folder, features = Path(sys.argv[1]), sys.argv[2]
start()
for out in ("one", "two"):
    cpu, wall = time.process_time(), time.perf_counter()
    operation("segment")(folder / "image.tif", labels=folder / "labels.tif", out=folder / out, features=features)
print(time.process_time() - cpu, time.perf_counter() - wall)
"""

EXCHANGE = """
began = getTime();
id = fbBegin();
path = fbImage("", id);
half = getTime();
open(path);
close();
end = getTime();
fbRelease(id);
return "" + (half - began) + " " + (end - half);
"""


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="pixels of the segmented image's side")
    parser.add_argument("--features", default="tws,vit")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--stack", type=int, nargs=3, default=[64, 512, 512])
    parser.add_argument("--image", type=int, default=2048)
    add_json(parser)
    arguments = parser.parse_args()
    results = Results("frontends", arguments.json)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["FIJIBRIDGE_SERVICE"] = str(Path(scratch) / "service")
        from fijibridge.frontends.service import client as service

        try:
            measure(arguments, Path(scratch), results)
        finally:
            service.stop(service.service_folder())


def measure(arguments: argparse.Namespace, scratch: Path, results: Results) -> None:
    import tifffile

    from fijibridge.frontends.imagej.install import filled_in
    from fijibridge.frontends.imagej.macro_generator import LIBRARY, macros_folder
    from fijibridge.frontends.service import client as service
    from fijibridge.images.writing import write_labels
    from fijibridge.jvm import start
    from fijibridge.synthesis.demo import demo_image

    library = filled_in((macros_folder() / LIBRARY).read_text(encoding="utf-8"))
    gateway = start()
    Interpreter = gateway.jclass("ij.macro.Interpreter")

    def macro(code: str) -> str:
        return str(Interpreter().run(f"{code}\n{library}", ""))

    image, labels, _ = demo_image(arguments.size)
    tifffile.imwrite(scratch / "image.tif", image.data)
    write_labels(scratch / "labels.tif", labels.data, class_names=labels.class_names)
    folder = service.service_folder()
    running = service.start_in_background(folder)
    process, own = psutil.Process(running.pid), psutil.Process()
    rows = []

    # --- trivial calls
    macro('return "" + fbDoctor("");')  # torch and Java are in memory from here on
    trivial = 'result = fbCall("status", fbBegin(), "", "");'
    macro(f"for (i = 0; i < 100; i++) {{ {trivial} }}")
    before = process.memory_info().rss
    spent = float(
        macro(f"t = getTime(); for (i = 0; i < {arguments.calls}; i++) {{ {trivial} }} return '' + (getTime() - t);")
    )
    rows.append(("warm trivial call from a macro", f"{spent / arguments.calls:.1f} ms", "< 30 ms"))

    def crowd(k: int) -> str:
        key = f"bench-{k}"
        (folder / "requests" / f"{key}.json").write_text('{"operation": "status", "arguments": {}}', encoding="utf-8")
        return service.ask(running, f"run/{key}", timeout=60) or ""

    with ThreadPoolExecutor(50) as pool:
        failed = sum(not answer.startswith("done") for answer in pool.map(crowd, range(50)))
    grown = process.memory_info().rss / before - 1
    left = sum(1 for name in ("requests", "exchange") for _ in (folder / name).iterdir())
    rows.append((f"{arguments.calls} calls in a row, 50 at once: errors, files left", f"{failed}, {left}", "0, 0"))
    rows.append(("the service's memory over them", f"{100 * grown:+.1f} %", "within 10 %"))

    # --- images to the service and back
    depth, height, width = arguments.stack
    kinds = [
        (f"{arguments.image} x {arguments.image} 16-bit", f'"16-bit ramp", {arguments.image}, {arguments.image}, 1'),
        (f"{width} x {height} x {depth} float", f'"32-bit ramp", {width}, {height}, {depth}'),
    ]
    sizes = [2 * arguments.image**2 / 2**20, 4 * depth * height * width / 2**20]
    for (name, kind), size in zip(kinds, sizes, strict=True):
        macro(f'newImage("exchanged", {kind}); return "";')
        times = [[float(part) / 1000 for part in macro(EXCHANGE).split()] for _ in range(5)]
        out, back = (statistics.median(column) for column in zip(*times, strict=True))
        text = (
            f"{out:.2f} s out ({size / max(out, 1e-3):.0f} MB/s), {back:.2f} s back ({size / max(back, 1e-3):.0f} MB/s)"
        )
        rows.append((f"{name}, {size:.0f} MB, through a file", text, "reported"))
        macro('close("*"); return "";')

    # --- segment, in Python and through a macro
    done = subprocess.run(
        [sys.executable, "-c", PEER, str(scratch), arguments.features], capture_output=True, text=True, check=True
    )
    peer, peer_wall = map(float, done.stdout.split())
    macro(f'open("{(scratch / "image.tif").as_posix()}"); open("{(scratch / "labels.tif").as_posix()}"); return "";')
    call = f'return "" + fbSegment("image.tif", "labels.tif", "", "features={arguments.features}");'
    macro(call)
    began, wall = cpu_of(process) + cpu_of(own), time.perf_counter()
    macro(call)
    cpu, wall = cpu_of(process) + cpu_of(own) - began, time.perf_counter() - wall
    goal = 1.1 * peer + 0.3
    side = arguments.size
    rows.append((f"segment {side} x {side} in Python, second call", f"{peer:.1f} CPU s, {peer_wall:.1f} s", "peer"))
    rows.append(
        ("the same through a macro, ImageJ's CPU counted", f"{cpu:.1f} CPU s, {wall:.1f} s", f"<= {goal:.1f} CPU s")
    )

    title = "Macros through the local service, beside the same in Python"
    table = results.table("service", title, {"what": "", "measured": "", "goal": ""})
    for row in rows:
        table.add(*row)


if __name__ == "__main__":
    main()
