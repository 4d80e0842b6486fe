// include FijiBridge.ijm
// Segment images and stacks with a saved classifier. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Apply");
fbAddPath("Classifier", "", true);
fbAddPath("Out", "", true);
Dialog.addString("Databar", "auto", 16);
Dialog.addCheckbox("Probabilities", true);
Dialog.addToSameRow();
Dialog.addCheckbox("Uncertainty", false);
Dialog.addString("Minimum_size (px)", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Fill_holes (px)", "0", 7);
Dialog.addString("Mode_filter (px)", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Roi", "", 16);
Dialog.addString("Slices", "", 16);
fbAddPath("Weights", "", false);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Heap", "", 16);
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Apply</h3>Segment images and stacks with a saved classifier.<br><br><b>classifier</b>: folder of a saved classifier, or a TWS .model<br><b>out</b>: folder for the results; it appears when they are complete<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>probabilities</b>: write the class probabilities too<br><b>uncertainty</b>: write the entropy of the probabilities, 0 (sure) to 1, too: where to label next<br><b>minimum size</b>: connected regions of one class with fewer pixels get the class of what surrounds them; 0: all stay (0 to 1e+09 px)<br><b>fill holes</b>: holes of so many pixels at most are given the one class that encloses them; 0: none (0 to 1e+09 px)<br><b>mode filter</b>: radius of a disc: each pixel gets the class that is most frequent in it; 0: off (0 to 100 px)<br><b>roi</b>: segment this field alone: x,y,width,height in pixels, or a .roi file of ImageJ (its bounding box); empty: the whole image<br><b>slices</b>: slices, such as 1-3,7; empty: all<br><b>weights</b>: file with the encoder's weights, instead of cache, hub or offline source<br><b>threads</b>: threads; 0: all cores (0 to 1024)<br><b>heap</b>: Java's memory, such as 4g; empty: a third of the machine's, 8g at most<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("classifier", Dialog.getString());
arguments = arguments + ", " + fbPair("images", fbImage(fbOption(given, "images"), id));
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("probabilities", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("uncertainty", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("minimum_size", Dialog.getString());
arguments = arguments + ", " + fbPair("fill_holes", Dialog.getString());
arguments = arguments + ", " + fbPair("mode_filter", Dialog.getString());
arguments = arguments + ", " + fbPair("roi", Dialog.getString());
arguments = arguments + ", " + fbPair("slices", Dialog.getString());
arguments = arguments + ", " + fbPair("weights", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("heap", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("apply", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
