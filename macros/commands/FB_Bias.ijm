// include FijiBridge.ijm
// Measure the positional bias of a ViT's features on images, and how well each way of removing it does. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Bias");
fbAddPath("Out", "", true);
Dialog.addChoice("Preset", newArray("fast", "default", "best"), "default");
Dialog.addToSameRow();
Dialog.addString("Positions", "", 16);
Dialog.addString("Encoder", "vit_small_patch14_dinov2", 16);
Dialog.addString("Databar", "auto", 16);
fbAddPath("Weights", "", false);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Bias</h3>Measure the positional bias of a ViT's features on images, and how well each way of removing it does.<br><br><b>out</b>: folder for the results; it appears when they are complete<br><b>preset</b>: how much the ViT does: which blocks see the image, how often and how enlarged, where this is not given<br><b>positions</b>: ways to measure besides keep and template, separated by commas; empty: all that need one pass<br><b>encoder</b>: timm's name of a ViT, or 'none' for classical features alone<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>weights</b>: file with the encoder's weights, instead of cache, hub or offline source<br><b>threads</b>: threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("images", fbImage(fbOption(given, "images"), id));
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("preset", Dialog.getChoice());
arguments = arguments + ", " + fbPair("positions", Dialog.getString());
arguments = arguments + ", " + fbPair("encoder", Dialog.getString());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("weights", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("bias", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
