"""Writes the suite's configuration and reads its report.

    report.py config ADDRESS REPORTS [CASE...]    prints the configuration
    report.py table INDEX [CASE...]               prints the table; fails when a case failed or is missing
"""

import collections
import json
import sys

SECTIONS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]

# How many cases version 0.8.2 has in these sections: a run that lost some must not pass.
CASES = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1}

PASSES = ["OK", "INFORMATIONAL", "NON-STRICT"]


def config(address, reports, cases):
    return {
        "outdir": reports,
        "servers": [{"agent": "portcullis", "url": "ws://" + address}],
        "cases": cases or SECTIONS,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


def outcome(case):
    """The worse of what the case says of the messages and of the close; an informational case has no fault."""
    behavior, close = case["behavior"], case["behaviorClose"]
    if behavior in ("OK", "NON-STRICT") and close not in ("OK", "INFORMATIONAL"):
        return "close: " + close
    return behavior


def natural(name):
    return [int(part) for part in name.split(".")]


def table(index, whole):
    with open(index, encoding="utf-8") as file:
        cases = json.load(file)["portcullis"]
    sections = collections.defaultdict(collections.Counter)
    bad = []
    for name in sorted(cases, key=natural):
        found = outcome(cases[name])
        if found == "OK":
            pass
        elif found not in PASSES:
            bad.append(f"{name}: {found}")
        elif found == "NON-STRICT":
            print(f"{name}: {found}")
        sections[name.split(".")[0]][found if found in PASSES else "FAILED"] += 1
    missing = 0
    if whole:
        for section, want in CASES.items():
            have = sum(sections[section].values())
            if have != want:
                bad.append(f"section {section}: {have} cases instead of {want}")
                missing += 1

    columns = [*PASSES, "FAILED"]
    print(f"{'section':>8}" + "".join(f"{column:>15}" for column in columns))
    for section in sorted(sections, key=int):
        print(f"{section:>8}" + "".join(f"{sections[section][column]:>15}" for column in columns))
    totals = collections.Counter()
    for counts in sections.values():
        totals.update(counts)
    print(f"{'all':>8}" + "".join(f"{totals[column]:>15}" for column in columns))
    for line in bad:
        print("failed: " + line)
    passed = sum(totals[column] for column in PASSES)
    print(f"{passed} passed, {totals['FAILED'] + missing} failed, 0 skipped")
    return 1 if bad or not cases else 0


def main(arguments):
    if arguments[:1] == ["config"] and len(arguments) >= 3:
        print(json.dumps(config(arguments[1], arguments[2], arguments[3:])))
        return 0
    if arguments[:1] == ["table"] and len(arguments) >= 2:
        return table(arguments[1], whole=len(arguments) == 2)
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
