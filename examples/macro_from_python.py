"""A macro in an ImageJ that Python hosts: it calls the operations by Ext functions, and gives its value back.

python examples/macro_from_python.py
"""

import tempfile
from pathlib import Path

import fijibridge as fb
from fijibridge.core.errors import MacroError

fiji = fb.start(heap="1g")  # or fb.start(fiji="Fiji.app")
out = Path(tempfile.mkdtemp()) / "demo"

MACRO = """
run("fijibridge");
result = Ext.demo(getArgument(), "features=tws size=128");
open(getArgument() + "/segmentation/labels.tif");
return "" + fbValue(result, "mean_iou") + " " + getTitle();
"""
print("mean IoU and title:", fiji.run_macro(MACRO, out.as_posix()))

try:
    fiji.run_macro('run("fijibridge");\nresult = Ext.demo("x", "size=10");')
except MacroError as error:
    print(error)
