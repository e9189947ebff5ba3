"""`spikeva report`: the page and the tables of one or several finished runs."""

import argparse
from pathlib import Path

from spikeva.cli._out import check_file

SUMMARY = "Build the report of one or several runs: an HTML page that opens offline, or the tables alone."
EXAMPLES = """\
  spikeva report runs/quick                                 write runs/quick/report.html anew
  spikeva report runs/a runs/b --out both.html              two studies on one page
  spikeva report runs/quick --format latex > table.tex      the tables for a paper
  spikeva report runs/a runs/b --format csv --out all.csv   every number, one row a model and encoding"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder that `spikeva compare` wrote")
    parser.add_argument(
        "--format",
        choices=("html", "md", "csv", "latex"),
        default="html",
        help="the page (html, default), or the tables as text",
    )
    parser.add_argument(
        "--out", type=Path, help="file to write (default: report.html in the first run; tables go to the terminal)"
    )


def run(args: argparse.Namespace) -> int:
    if args.out is not None:
        check_file(args.out)
    if args.format == "html":
        from spikeva.report import write_report

        print(write_report(*args.runs, out=args.out))
        return 0
    from spikeva._atomic import write_bytes
    from spikeva.report import table_text

    text = table_text(*args.runs, form=args.format)
    if args.out is None:
        print(text, end="")
    else:
        write_bytes(args.out, text.encode(errors="backslashreplace"))
        print(args.out)
    return 0
