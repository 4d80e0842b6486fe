// include FijiBridge.ijm
// Segment SE and BSE images with a trained network. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Segment Network");
fbAddPath("Network", "", true);
fbAddPath("Se", "", false);
fbAddPath("Out", "", true);
Dialog.addCheckbox("Register", true);
Dialog.addToSameRow();
Dialog.addCheckbox("Flips", false);
Dialog.addCheckbox("Uncertainty", true);
Dialog.addToSameRow();
Dialog.addCheckbox("Probabilities", true);
Dialog.addString("Minimum_size (px)", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Fill_holes (px)", "0", 7);
Dialog.addString("Mode_filter (px)", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Rescale", false);
Dialog.addString("Databar", "auto", 16);
Dialog.addString("Device", "auto", 16);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Segment Network</h3>Segment SE and BSE images with a trained network.<br><br><b>network</b>: folder of a trained network<br><b>se</b>: secondary electron image, or a stack<br><b>out</b>: folder for the results; it appears when they are complete<br><b>register</b>: move SE onto BSE where the two are displaced by whole pixels<br><b>flips</b>: average over the image and its mirror images: better by little, 4 x the time<br><b>uncertainty</b>: write the entropy of the probabilities too, 0 where sure, to 1<br><b>probabilities</b>: write the class probabilities too<br><b>minimum size</b>: connected regions of one class with fewer pixels get the class of what surrounds them; 0: all stay (0 to 1e+09 px)<br><b>fill holes</b>: holes of so many pixels at most are given the one class that encloses them; 0: none (0 to 1e+09 px)<br><b>mode filter</b>: radius of a disc: each pixel gets the class that is most frequent in it; 0: off (0 to 100 px)<br><b>rescale</b>: bring the image to the pixel size of the training, and the result back<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>device</b>: auto, cpu, cuda or cuda:1; auto: a GPU where there is one<br><b>threads</b>: CPU threads; 0: all cores (at least 0)<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("network", Dialog.getString());
arguments = arguments + ", " + fbPair("se", Dialog.getString());
arguments = arguments + ", " + fbPair("bse", fbImage(fbOption(given, "bse"), id));
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("register", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("flips", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("uncertainty", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("probabilities", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("minimum_size", Dialog.getString());
arguments = arguments + ", " + fbPair("fill_holes", Dialog.getString());
arguments = arguments + ", " + fbPair("mode_filter", Dialog.getString());
arguments = arguments + ", " + fbPair("rescale", Dialog.getCheckbox());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("device", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("segment_network", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
