// include FijiBridge.ijm
// Train a segmenting network further on sparse labels of a real image. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Fine Tune Network");
fbAddPath("Network", "", true);
fbAddPath("Se", "", false);
fbAddPath("Labels", fbDefaultLabels(), false);
fbAddPath("Out", "", true);
Dialog.addString("Classes", "", 16);
fbAddPath("Replay", "", false);
Dialog.addString("Steps", "200", 7);
Dialog.addToSameRow();
Dialog.addString("Rate", "0.0003", 7);
Dialog.addString("Databar", "auto", 16);
Dialog.addString("Seed", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Device", "auto", 16);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Fine Tune Network</h3>Train a segmenting network further on sparse labels of a real image.<br><br><b>network</b>: folder of a trained network<br><b>se</b>: secondary electron image<br><b>labels</b>: label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi)<br><b>out</b>: folder for the results; it appears when they are complete<br><b>classes</b>: names of the labels 1, 2, ..., separated by commas; empty: the file's, else the network's<br><b>replay</b>: data set of the first training, from which half the crops come, so that less is forgotten<br><b>steps</b>: number of steps, whatever their time: the result can be made again; 0: by the minutes (at least 0)<br><b>rate</b>: highest learning rate (1e-06 to 0.1)<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>seed</b>: of weights, crops and their changes (at least 0)<br><b>device</b>: auto, cpu, cuda or cuda:1; auto: a GPU where there is one<br><b>threads</b>: CPU threads; 0: all cores (at least 0)<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("network", Dialog.getString());
arguments = arguments + ", " + fbPair("se", Dialog.getString());
arguments = arguments + ", " + fbPair("bse", fbImage(fbOption(given, "bse"), id));
arguments = arguments + ", " + fbPair("labels", fbLabels(Dialog.getString(), id));
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("classes", Dialog.getString());
arguments = arguments + ", " + fbPair("replay", Dialog.getString());
arguments = arguments + ", " + fbPair("steps", Dialog.getString());
arguments = arguments + ", " + fbPair("rate", Dialog.getString());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("seed", Dialog.getString());
arguments = arguments + ", " + fbPair("device", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("fine_tune_network", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
