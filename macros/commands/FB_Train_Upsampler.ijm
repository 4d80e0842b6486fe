// include FijiBridge.ijm
// Train the learned upsampler on a folder of images. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Train Upsampler");
fbAddPath("Folder", "", true);
fbAddPath("Out", "", true);
Dialog.addString("Encoder", "vit_small_patch14_dinov2", 16);
Dialog.addString("Block", "6", 7);
Dialog.addToSameRow();
Dialog.addChoice("Target", newArray("enlarged", "strided"), "enlarged");
Dialog.addString("Crops", "64", 7);
Dialog.addToSameRow();
Dialog.addString("Crop (px)", "160", 7);
Dialog.addString("Steps", "1500", 7);
Dialog.addToSameRow();
Dialog.addString("Rate", "0.003", 7);
Dialog.addString("Seed", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Databar", "auto", 16);
fbAddPath("Weights", "", false);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Train Upsampler</h3>Train the learned upsampler on a folder of images.<br><br><b>folder</b>: folder of images; nothing has to be labelled<br><b>out</b>: folder for the results; it appears when they are complete<br><b>encoder</b>: timm's name of a ViT, or 'none' for classical features alone<br><b>block</b>: transformer block whose tokens it learns from, the first being 1 (1 to 1000)<br><b>target</b>: dense grid that it learns from: of the image enlarged twice as much, or moved by half a patch<br><b>crops</b>: pieces of the images that it learns from (2 to 100000)<br><b>crop</b>: side of a piece (64 to 1024 px)<br><b>steps</b>: steps of training, one piece each (1 to 1e+07)<br><b>rate</b>: learning rate (1e-06 to 1)<br><b>seed</b>: random seed (0 to 2.14748e+09)<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>weights</b>: file with the encoder's weights, instead of cache, hub or offline source<br><b>threads</b>: threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("folder", Dialog.getString());
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("encoder", Dialog.getString());
arguments = arguments + ", " + fbPair("block", Dialog.getString());
arguments = arguments + ", " + fbPair("target", Dialog.getChoice());
arguments = arguments + ", " + fbPair("crops", Dialog.getString());
arguments = arguments + ", " + fbPair("crop", Dialog.getString());
arguments = arguments + ", " + fbPair("steps", Dialog.getString());
arguments = arguments + ", " + fbPair("rate", Dialog.getString());
arguments = arguments + ", " + fbPair("seed", Dialog.getString());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("weights", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("train_upsampler", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
