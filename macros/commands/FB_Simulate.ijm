// include FijiBridge.ijm
// Simulate SE + BSE micrographs of composite electrodes, with labels. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Simulate");
Dialog.addString("Preset", "generic", 16);
fbAddPath("Config", "", false);
fbAddPath("Out", "", true);
Dialog.addString("Count", "100", 7);
Dialog.addToSameRow();
Dialog.addString("Size (px)", "0", 7);
fbAddPath("Preview", "", false);
Dialog.addString("Seed", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Workers", "0", 7);
Dialog.addString("Dask", "", 16);
Dialog.addCheckbox("Resume", false);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Simulate</h3>Simulate SE + BSE micrographs of composite electrodes, with labels.<br><br><b>preset</b>: generic, si-li6ps5cl-vgcf, ncm-li3ps4 or licoo2: materials, structure and imaging<br><b>config</b>: TOML file with own materials and ranges, instead of the preset<br><b>out</b>: folder of the data set; kept as far as it got when stopped<br><b>count</b>: SE + BSE pairs (1 to 1e+07)<br><b>size</b>: height and width; 0: as in preset or config (0 to 4096 px)<br><b>preview</b>: PNG of the first pairs; without a folder for the data set only this is made<br><b>seed</b>: same seed and versions, same data, whatever the number of workers (at least 0)<br><b>workers</b>: processes; 0: one a core (0 to 1024)<br><b>dask</b>: address of a Dask scheduler, such as tcp://host:8786; empty: this machine<br><b>resume</b>: write what is missing of a data set that was stopped, or is to grow to a larger count<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("preset", Dialog.getString());
arguments = arguments + ", " + fbPair("config", Dialog.getString());
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("count", Dialog.getString());
arguments = arguments + ", " + fbPair("size", Dialog.getString());
arguments = arguments + ", " + fbPair("preview", Dialog.getString());
arguments = arguments + ", " + fbPair("seed", Dialog.getString());
arguments = arguments + ", " + fbPair("workers", Dialog.getString());
arguments = arguments + ", " + fbPair("dask", Dialog.getString());
arguments = arguments + ", " + fbPair("resume", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("simulate", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
