"""What comparisons with other software have in common: sides that are timed in turns, and how busy others keep the
machine meanwhile."""

import argparse
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = {"8M": [320, 6, 20], "35M": [480, 12, 20], "150M": [640, 30, 20], "650M": [1280, 33, 20]}  # hidden, layers, heads


class Side:
    """What has a name, measures itself for about that many seconds, and may hold something until it is closed."""

    def close(self):
        pass


class Waiting(Side):
    """A process that prints a line when it is ready, and then, for a number of seconds in a line, a line of JSON."""

    def __init__(self, name, command):
        self.name = name
        self.complaints = tempfile.TemporaryFile("w+")  # not a pipe, which nobody would empty
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints,
                                        text=True)
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.complaints.seek(0)
            sys.exit(f"{self.name}: {self.complaints.read()}")
        return line

    def measure(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return json.loads(self.read())

    def close(self):
        self.process.communicate()


def run_benchmark(program, pattern, seconds, environment):
    """The counters of the one benchmark that the pattern matches, and the processor's seconds as "cpu"."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([program, f"--benchmark_filter={pattern}", f"--benchmark_min_time={seconds}",
                             "--benchmark_format=json"], env=os.environ | environment,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not result.stdout:
        sys.exit(f"{program}: no benchmark matches {pattern}")
    found, = json.loads(result.stdout)["benchmarks"]
    return {**found, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def make_environment(venv):
    """A virtual environment of the pinned versions."""
    if not venv.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", "-r", ROOT / "tests/parity/requirements.txt"], check=True)


def words(text):
    return text.split(",")


def numbers(text):
    return [int(word) for word in words(text)]


class Parser(argparse.ArgumentParser):
    """Keeps the lines of its description, and tells the default of every option that has one."""

    def __init__(self, description):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add_argument(self, *names, help=None, **options):
        default = options.get("default", argparse.SUPPRESS)
        if default != argparse.SUPPRESS and help != argparse.SUPPRESS:
            shown = ",".join(map(str, default)) if isinstance(default, list) else default
            help = f"{help or ''} (default: {shown})".lstrip()
        return super().add_argument(*names, help=help, **options)


def add_options_of_sides(parser, program):
    """Adds what both sides need: threads, this project's `program`, and the other's environment."""
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/release/bin" / program)
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "build/hf")


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(": ")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def busy_seconds():
    """What all processors together have worked, or were kept from by a host, since they started."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(side, seconds):
    """One timing, with the number of processors that others kept busy meanwhile as "others"."""
    busy, start = busy_seconds(), time.perf_counter()
    result = side.measure(seconds)
    elapsed = time.perf_counter() - start
    return result | {"others": max(0.0, (busy_seconds() - busy - result["cpu"]) / elapsed)}


def in_turns(sides, repeats, seconds):
    """Timings of each side by its name: every repetition times every side once, so that a slower minute of the machine
    is one for all of them."""
    results = {side.name: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            results[side.name].append(measure(side, seconds))
    for side in sides:
        side.close()
    return results


def spread(values, form):
    """Median, and minimum and maximum in brackets."""
    return f"{form % statistics.median(values)} ({form % min(values)} to {form % max(values)})"


def say_load(others):
    """Given the processors that others kept busy during each timing."""
    print(f"\nOther processes kept {spread(others, '%.2f')} processors busy during the timings.")
    if max(others) > 0.1:
        print("THE MACHINE WAS NOT IDLE: take the ratios, not the speeds, and repeat the run on an idle one.")
