"""report.py PAGE...: opens reports in headless Chromium, in both themes and on screens of three widths, and fails where a
page scrolls sideways, a figure is empty, text of a figure lies on other text of it or outside, or a table lacks
headers. With --shots FOLDER it leaves a picture of each."""

import argparse
import html
import json
import pathlib
import re
import subprocess
import sys
import tempfile

WIDTHS = {390: 844, 800: 1200, 1280: 1000}

SCRIPT = """
const frame = document.querySelector("iframe");
frame.onload = () => {
  const page = frame.contentDocument, found = [];
  const complain = (what) => found.push(what);
  const root = page.documentElement;
  if (root.scrollWidth > root.clientWidth) complain(`scrolls sideways: ${root.scrollWidth} of ${root.clientWidth}`);
  const figures = [...page.querySelectorAll("figure > svg")];
  if (figures.length === 0) complain("no figure");
  for (const figure of figures) {
    const name = figure.getAttribute("aria-label");
    if (!name) complain("a figure without a text alternative");
    if (!figure.querySelector(".line, .dot, .whisker")) complain(`${name}: empty`);
    const frame = figure.getBoundingClientRect();
    const boxes = [...figure.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    boxes.forEach(([text, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
        complain(`${name}: "${text}" is cut`);
      for (const [other, b] of boxes.slice(i + 1))
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2)
          complain(`${name}: "${text}" lies on "${other}"`);
    });
    if (!figure.parentElement.querySelector("table")) complain(`${name}: no numbers`);
  }
  for (const table of page.querySelectorAll("table"))
    if (!table.querySelector("th[scope=col]")) complain("a table without headers");
  document.body.dataset.found = JSON.stringify(found);
};
frame.srcdoc = frame.dataset.page;
"""


def chromium(*arguments):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def check(page, width, dark, shots):
    text = page.read_text()
    if dark:  # as if the reader's system asked for it
        text = text.replace("@media(prefers-color-scheme:dark)", "@media all")
    with tempfile.TemporaryDirectory() as folder:
        wrapper = pathlib.Path(folder) / "wrapper.html"
        wrapper.write_text(
            f'<!doctype html><meta charset="utf-8"><body><iframe style="width:{width}px;height:{WIDTHS[width]}px;border:0"'
            f' data-page="{html.escape(text)}"></iframe><script>{SCRIPT}</script>'
        )
        dom = chromium("--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom", wrapper.as_uri())
        found = re.search(r'data-found="([^"]*)"', dom)
        if not found:
            sys.exit(f"{page}: the page did not load")
        if shots:
            copy = pathlib.Path(folder) / "page.html"
            copy.write_text(text)
            shot = shots / f"{page.stem}-{width}-{'dark' if dark else 'light'}.png"
            chromium(f"--window-size={max(width, 500)},{WIDTHS[width] * 4}", f"--screenshot={shot}", copy.as_uri())
    return json.loads(html.unescape(found[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument("--shots", type=pathlib.Path)
    options = parser.parse_args()
    if options.shots:
        options.shots.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for page in options.pages:
        for width in WIDTHS:
            for dark in [False, True]:
                for complaint in check(page, width, dark, options.shots):
                    print(f"{page}, {width} px{', dark' if dark else ''}: {complaint}")
                    wrong += 1
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
