"""A reader of documents or forms in JavaScript: asked by lines on its standard input."""

from __future__ import annotations

import json
import subprocess

from processes import ROOT


class NodeReader:
    """A script of tests/e2e/node that answers each line with one line of JSON."""

    def __init__(self, script: str):
        path = ROOT / "tests" / "e2e" / "node" / script
        self.child = subprocess.Popen(["node", str(path), str(ROOT / ".node")],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def stop(self):
        self.child.kill()
        self.child.wait()
