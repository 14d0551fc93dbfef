"""Plays the scenarios of tests/faults while system calls fail: see ci/faults and ci/lib/faults.table.

fault_matrix.py PROGRAM TABLE [--short | --only TEXT] [--jobs N]
"""

import argparse
import collections
import concurrent.futures
import errno
import fnmatch
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

REACTORS = ["mio", "poll"]
# Which of a call's times: the first, the second, the third and every seventh after that, every fifth; and where the
# result may be the same the first three as well, one after the other.
POSITIONS = ["1", "2", "3+7", "1+5"]
IN_A_ROW = "1..3"
TRACED = "%network,%desc,%process,access"
# Without faults a scenario takes a second at most; with pauses of accepting ten.
DEADLINE = 20
# More calls than this many times those without faults, and so many more, are a loop that spins; so is more time of
# the processor.
CALLS_FACTOR, CALLS_MORE = 3, 1000
CPU_FACTOR, CPU_MORE = 4, 3.0

BEGIN, END = "/tulipa-faults/begin", "/tulipa-faults/end/"
# What the other side of a connection sees of an error on this one.
BROKEN = re.compile("Connection reset by peer|Broken pipe|is not connected|Connection refused|ended the stream")
LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed>)(.*)$")


class Row:
    def __init__(self, calls, errors, scenarios, outcome, number):
        self.calls, self.number = calls.split(), number
        self.errors = [error.removesuffix("@1") for error in errors.split()]
        self.at_first = {error[:-2] for error in errors.split() if error.endswith("@1")}
        names = scenarios.split()
        self.out = [name[1:] for name in names if name.startswith("-")]
        self.names = [name for name in names if not name.startswith("-")]
        self.outcome = outcome
        self.is_never = outcome.startswith("never:")
        found = re.fullmatch(r"(same)?( or )?(?:(error|broken|says):(.*))?|never:.+", outcome)
        if not found:
            sys.exit(f"faults.table, line {number}: what is '{outcome}'?")
        if not self.is_never:
            self.may_be_same = found[1] is not None
            self.error_kind = found[3]
            self.pattern = re.compile((found[4] or "").strip())

    def is_for(self, scenario):
        return any(fnmatch.fnmatch(scenario, name) for name in self.names) and not any(
            fnmatch.fnmatch(scenario, name) for name in self.out
        )


def read_table(path):
    rows = []
    for number, line in enumerate(open(path), 1):
        if line.strip() and not line.startswith("#"):
            # At three bars: an outcome may have some itself.
            rows.append(Row(*[part.strip() for part in line.split("|", 3)], number))
    return rows


class Trace:
    """What strace has written."""

    def __init__(self, path):
        self.lines = self.injected = 0
        self.result = None
        # For each process or thread, how often it made a call: in all, and before its faults may begin.
        self.calls = collections.defaultdict(collections.Counter)
        self.before = {}
        first, ended = None, set()
        for line in open(path, errors="replace"):
            self.lines += 1
            self.injected += "(INJECTED)" in line
            match = LINE.match(line)
            if not match:
                continue
            pid, call, rest = match.groups()
            first = first or pid
            if "resumed>" in line.split("(")[0]:
                continue  # Counted when it began.
            if call == "access" and BEGIN in rest:
                self.before[pid] = self.calls[pid].copy()
            elif call == "access" and END in rest:
                ended.add(pid)
                if pid == first:
                    self.result = rest.split(END, 1)[1].rsplit('"', 1)[0]
            elif pid not in ended:
                self.calls[pid][call] += 1

    def made(self):
        """The calls made where faults may be."""
        made = set()
        for pid, calls in self.calls.items():
            before = self.before.get(pid, {})
            made.update(call for call, count in calls.items() if count > before.get(call, 0))
        return made

    def offset(self, call):
        """How many of the calls to leave alone: those that come before the scenario, in each of its processes."""
        return max((before[call] for before in self.before.values()), default=0)

    def reach(self, call):
        return max(calls[call] for calls in self.calls.values()) - self.offset(call)


class Run:
    def __init__(self, program, scenario, reactor, inject, directory, data):
        log = tempfile.NamedTemporaryFile(dir=directory, suffix=".log", delete=False).name
        command = ["strace", "-f", "--seccomp-bpf", "-qq", "-s", "400", "-o", log, "-e", f"trace={TRACED}"]
        if inject:
            command += ["-e", f"inject={inject}"]
        environment = dict(os.environ, TULIPA_REACTOR=reactor, TMPDIR=directory, RUST_BACKTRACE="0")
        with open(data, "rb") as stdin, open(log + ".out", "wb") as out, open(log + ".err", "wb") as err:
            # A group of its own: strace would leave what it traces running when it is killed.
            child = subprocess.Popen(
                command + [program, "--play", scenario],
                stdin=stdin, stdout=out, stderr=err, env=environment, start_new_session=True,
            )
            self.is_hung = False

            def give_up():
                self.is_hung = True
                os.killpg(child.pid, signal.SIGKILL)

            timer = threading.Timer(DEADLINE, give_up)
            timer.start()
            _, status, usage = os.wait4(child.pid, 0)
            timer.cancel()
            child.returncode = os.waitstatus_to_exitcode(status)
        self.code = child.returncode
        self.cpu = usage.ru_utime + usage.ru_stime
        self.out = open(log + ".out", "rb").read()
        self.err = open(log + ".err", errors="replace").read()
        self.trace = Trace(log)
        self.log = log

    def forget(self):
        for suffix in ["", ".out", ".err"]:
            os.unlink(self.log + suffix)


class Cell:
    def __init__(self, scenario, reactor, call, error, position, row, base):
        self.scenario, self.reactor, self.call, self.error = scenario, reactor, call, error
        self.row, self.base = row, base
        self.when = position
        offset = base.trace.offset(call)
        # What stands behind the plus is a step, and the rest are numbers of calls.
        numbers = re.sub(r"(?<!\+)\d+", lambda number: str(int(number[0]) + offset), position)
        self.inject = f"{call}:error={error}:when={numbers}"

    def __str__(self):
        return f"{self.scenario} on {self.reactor}, {self.call} {self.error} when={self.when}"

    def judge(self, run):
        """What is wrong with a run, or None."""
        trace, base, row = run.trace, self.base, self.row
        if run.is_hung:
            return f"hangs: nothing came of it in {DEADLINE} s"
        if trace.injected == 0:
            return "no fault was injected"
        if trace.lines > CALLS_FACTOR * base.trace.lines + CALLS_MORE:
            return f"spins: {trace.lines} system calls, {base.trace.lines} without faults"
        if run.cpu > CPU_FACTOR * base.cpu + CPU_MORE:
            return f"spins: {run.cpu:.1f} s of processor time, {base.cpu:.1f} without faults"
        if trace.result is None:
            return f"ends with {run.code} and without a result: {run.err.strip()[-600:]}"
        is_ok = trace.result.startswith("ok: ")
        if is_ok:
            if trace.result != base.trace.result or run.out != base.out or run.code != 0:
                return f"another result: {trace.result} (and not {base.trace.result}), exit code {run.code}"
            return None if row.may_be_same else f"succeeds, where '{row.outcome}' is expected"
        text = trace.result.removeprefix("error: ")
        if not row.error_kind:
            return f"fails, where '{row.outcome}' is expected: {text}"
        said = os.strerror(getattr(errno, self.error))
        if row.error_kind == "error" and said not in text:
            return f"the error does not say '{said}': {text}"
        if row.error_kind == "broken" and said not in text and not BROKEN.search(text):
            return f"the error does not say '{said}', nor that the connection is broken: {text}"
        if not row.pattern.search(text):
            return f"the error does not name the operation (line {row.number} of the table): {text}"
        return None


def find(rows, scenario, call, error):
    for row in rows:
        if call in row.calls and row.is_for(scenario) and (error in row.errors or row.errors == ["-"]):
            return row
    return None


def baselines(arguments, scenarios, directory, data, pool):
    jobs = {
        (scenario, reactor): pool.submit(Run, arguments.program, scenario, reactor, None, directory, data)
        for scenario in scenarios
        for reactor in REACTORS
    }
    runs = {key: job.result() for key, job in jobs.items()}
    for (scenario, reactor), run in runs.items():
        if run.code != 0 or not (run.trace.result or "").startswith("ok: ") or not run.trace.before:
            sys.exit(f"{scenario} on {reactor} fails without faults: {run.code}, {run.trace.result}\n{run.err}")
        run.forget()
    return runs


def cells_of(rows, runs):
    """Every cell of the matrix; ends the program if a scenario makes a call that the table does not know."""
    cells, unknown = [], []
    for (scenario, reactor), run in runs.items():
        for call in sorted(run.trace.made()):
            known = [row for row in rows if call in row.calls and row.is_for(scenario)]
            if not known:
                unknown.append(f"{scenario} on {reactor} calls {call}, which the table does not know")
            errors = dict.fromkeys(error for row in known if not row.is_never for error in row.errors)
            for error in errors:
                row = find(rows, scenario, call, error)
                if row.is_never:
                    continue
                positions = list(POSITIONS)
                if error in row.at_first:
                    positions = ["1"]
                elif row.may_be_same and error != "EAGAIN":
                    positions.append(IN_A_ROW)
                for position in positions:
                    if int(position[0]) <= run.trace.reach(call):
                        cells.append(Cell(scenario, reactor, call, error, position, row, run))
    if unknown:
        sys.exit("\n".join(unknown))
    return cells


def short(cells):
    """For each line of the table, call and error one cell, now on the one reactor, now on the other."""
    chosen = {}
    for cell in cells:
        chosen.setdefault((cell.row.number, cell.call, cell.error), []).append(cell)
    return [group[index * 7 % len(group)] for index, group in enumerate(chosen.values())]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("table")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default="", help="cells whose line contains this, and print them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    rows = read_table(arguments.table)
    listed = subprocess.run([arguments.program, "--list"], capture_output=True, text=True, check=True).stdout
    scenarios = [line.split(":")[0] for line in listed.splitlines()]
    directory = tempfile.mkdtemp(prefix="tulipa-faults-")
    data = os.path.join(directory, "stdin")
    subprocess.run([arguments.program, "--input"], stdout=open(data, "wb"), check=True)
    failures, injected, done = [], 0, 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        runs = baselines(arguments, scenarios, directory, data, pool)
        cells = cells_of(rows, runs)
        total = len(cells)
        if arguments.short:
            cells = short(cells)
        cells = [cell for cell in cells if arguments.only in str(cell)]

        def play(cell):
            for _ in range(3):
                run = Run(arguments.program, cell.scenario, cell.reactor, cell.inject, directory, data)
                wrong = cell.judge(run)
                # How often a scenario waits differs: then there may have been too few calls.
                if wrong != "no fault was injected":
                    break
                run.forget()
            return cell, run, wrong

        for job in concurrent.futures.as_completed([pool.submit(play, cell) for cell in cells]):
            cell, run, wrong = job.result()
            done += 1
            injected += run.trace.injected
            if arguments.only:
                print(f"{cell}: {wrong or 'as it must be'}: {run.trace.result}")
            if wrong:
                failures.append((cell, wrong))
                print(f"FAILED {cell}: {wrong}", flush=True)
            else:
                run.forget()
            if sys.stdout.isatty() and done % 20 == 0:
                print(f"{done} of {len(cells)}", end="\r", file=sys.stderr)
    calls = {(cell.call) for cell in cells}
    print(
        f"faults: {len(cells)} cells of {total} ({len(scenarios)} scenarios, {len(REACTORS)} reactors, "
        f"{len(calls)} system calls, {len({cell.error for cell in cells})} errors), "
        f"{injected} faults injected, {len(failures)} cells failed"
    )
    if failures:
        print(f"traces are in {directory}")
        sys.exit(1)
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
