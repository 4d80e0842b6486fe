// include FijiBridge.ijm
// Measure how diverse simulated micrographs are, beside real ones. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Diversity");
fbAddPath("Dataset", "", true);
fbAddPath("Real", "", false);
fbAddPath("Out", "", true);
Dialog.addChoice("Detector", newArray("SE", "BSE"), "BSE");
Dialog.addToSameRow();
Dialog.addString("Images", "48", 7);
Dialog.addString("Encoder", "vit_small_patch14_dinov2", 16);
Dialog.addString("Databar", "auto", 16);
fbAddPath("Weights", "", false);
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Diversity</h3>Measure how diverse simulated micrographs are, beside real ones.<br><br><b>dataset</b>: folder of a data set that simulate wrote<br><b>real</b>: real micrographs to stand beside it<br><b>out</b>: folder for the results; it appears when they are complete<br><b>detector</b>: which of the simulated images<br><b>images</b>: images of the data set to look at, evenly through it (2 to 10000)<br><b>encoder</b>: timm's name of a ViT, or 'none' for classical features alone<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>weights</b>: file with the encoder's weights, instead of cache, hub or offline source<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("dataset", Dialog.getString());
arguments = arguments + ", " + fbPair("real", Dialog.getString());
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("detector", Dialog.getChoice());
arguments = arguments + ", " + fbPair("images", Dialog.getString());
arguments = arguments + ", " + fbPair("encoder", Dialog.getString());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("weights", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("diversity", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
