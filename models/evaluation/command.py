"""`coreface-evaluate`: every measurement by its name."""

from __future__ import annotations

import argparse

from models.evaluation import calibrate, clip, consistency_command, cost, discard, ijb, lfw_pairs, measure, sets
from models.evaluation.report import command as report

COMMANDS = {
    "sets": (sets.main, "a pack and its rivals on sample sets of the people in a folder"),
    "splits": (measure.main, "an aggregator on sample sets of the people of an LFW split"),
    "lfw-pairs": (lfw_pairs.main, "an embedder on the 6,000 pairs of LFW"),
    "ijb": (ijb.main, "1:1 verification on IJB-B or IJB-C"),
    "cost": (cost.main, "parameters, multiply-adds and time of an aggregator by set size"),
    "report": (report.main, "all of it on the LFW test people, written to docs/evaluation"),
    "consistency": (consistency_command.main, "how well a pack tells sets of one person from sets of several"),
    "discard": (discard.main, "how FNMR falls as the poorest samples and templates are left out"),
    "clip": (clip.main, "people with a portrait among the tracks of a clip"),
    "calibrate": (calibrate.main, "thresholds at the operating points"),
}


def main(arguments: list[str] | None = None) -> None:
    """`coreface-evaluate MEASUREMENT ...`."""
    parser = argparse.ArgumentParser(
        prog="coreface-evaluate",
        description="Measure packs and aggregators.",
        epilog="\n".join(f"  {name:12}{text}" for name, (_, text) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("measurement", choices=COMMANDS)
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the measurement; see MEASUREMENT --help")
    options = parser.parse_args(arguments)
    COMMANDS[options.measurement][0](options.options)


if __name__ == "__main__":
    main()
