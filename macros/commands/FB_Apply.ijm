// include FijiBridge.ijm
// Segment images and stacks with a saved classifier. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Apply");
fbAddPath("Classifier", "", true);
fbAddPath("Out", "", true);
Dialog.addString("Detectors", "", 16);
Dialog.addCheckbox("Align", true);
Dialog.addToSameRow();
Dialog.addString("Databar", "auto", 16);
Dialog.addCheckbox("Probabilities", true);
Dialog.addToSameRow();
Dialog.addCheckbox("Uncertainty", false);
fbAddPath("Weights", "", false);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Heap", "", 16);
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Apply</h3>Segment images and stacks with a saved classifier.<br><br><b>classifier</b>: folder of a saved classifier, or a TWS .model<br><b>out</b>: folder for the results; it appears when they are complete<br><b>detectors</b>: further detectors' images of the same field, NAME=FILE with commas between, such as SE=SE.tif, EDX-S=S.tif; a folder stands for the file in it that is named as the image<br><b>align</b>: move further detectors' images onto the first where they are displaced a little<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>probabilities</b>: write the class probabilities too<br><b>uncertainty</b>: write the entropy of the probabilities, 0 (sure) to 1, too: where to label next<br><b>weights</b>: file with the encoder's weights, instead of cache, hub or offline source<br><b>threads</b>: threads; 0: all cores (0 to 1024)<br><b>heap</b>: Java's memory, such as 4g; empty: a third of the machine's, 8g at most<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("classifier", Dialog.getString());
arguments = arguments + ", " + fbPair("images", fbImage(fbOption(given, "images"), id));
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("detectors", Dialog.getString());
arguments = arguments + ", " + fbPair("align", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("probabilities", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("uncertainty", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("weights", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("heap", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("apply", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
