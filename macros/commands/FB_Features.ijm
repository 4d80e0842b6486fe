// include FijiBridge.ijm
// Write the features of an image as a stack for ImageJ and TWS. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Features");
fbAddPath("Out", "", true);
fbAddPath("Classifier", "", true);
Dialog.addString("Encoder", "vit_small_patch14_dinov2", 16);
Dialog.addString("Blocks", "6", 16);
Dialog.addString("Channels", "0", 7);
Dialog.addToSameRow();
Dialog.addString("Enlargement", "2", 7);
Dialog.addChoice("Position", newArray("keep", "mean"), "keep");
Dialog.addToSameRow();
Dialog.addChoice("Upsampler", newArray("bilinear"), "bilinear");
Dialog.addString("Tile (px)", "0", 7);
Dialog.addToSameRow();
Dialog.addChoice("Classical", newArray("tws", "none"), "tws");
Dialog.addString("Databar", "auto", 16);
Dialog.addString("Slices", "", 16);
fbAddPath("Weights", "", false);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Features</h3>Write the features of an image as a stack for ImageJ and TWS.<br><br><b>out</b>: folder for the results; it appears when they are complete<br><b>classifier</b>: saved classifier, or recipe.json of other features, whose recipe is used instead of the options below<br><b>encoder</b>: timm's name of a ViT, or 'none' for classical features alone<br><b>blocks</b>: transformer blocks used, the first being 1, separated by commas<br><b>channels</b>: ViT channels kept by principal components; 0: all (0 to 4096)<br><b>enlargement</b>: enlargement of the image before the ViT sees it (0.25 to 8)<br><b>position</b>: 'mean' removes the ViT's positional bias, at some cost in accuracy<br><b>upsampler</b>: from the patch grid to pixels<br><b>tile</b>: side of a tile of the enlarged image; 0: 280, or 784 with position mean (0 to 4096 px)<br><b>classical</b>: 'tws': Trainable Weka Segmentation's 76 default features<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>slices</b>: slices, such as 1-3,7; empty: all<br><b>weights</b>: file with the encoder's weights, instead of cache, hub or offline source<br><b>threads</b>: threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("image", fbImage(fbOption(given, "image"), id));
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("classifier", Dialog.getString());
arguments = arguments + ", " + fbPair("encoder", Dialog.getString());
arguments = arguments + ", " + fbPair("blocks", Dialog.getString());
arguments = arguments + ", " + fbPair("channels", Dialog.getString());
arguments = arguments + ", " + fbPair("enlargement", Dialog.getString());
arguments = arguments + ", " + fbPair("position", Dialog.getChoice());
arguments = arguments + ", " + fbPair("upsampler", Dialog.getChoice());
arguments = arguments + ", " + fbPair("tile", Dialog.getString());
arguments = arguments + ", " + fbPair("classical", Dialog.getChoice());
arguments = arguments + ", " + fbPair("databar", Dialog.getString());
arguments = arguments + ", " + fbPair("slices", Dialog.getString());
arguments = arguments + ", " + fbPair("weights", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("features", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
