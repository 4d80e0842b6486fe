// include FijiBridge.ijm
// Segment a simulated micrograph with known truth. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Demo");
fbAddPath("Out", "", true);
Dialog.addChoice("Engine", newArray("sklearn", "weka"), "sklearn");
Dialog.addToSameRow();
Dialog.addString("Encoder", "vit_small_patch14_dinov2", 16);
Dialog.addString("Size (px)", "384", 7);
Dialog.addToSameRow();
Dialog.addString("Seed", "0", 7);
fbAddPath("Weights", "", false);
Dialog.addString("Threads", "0", 7);
Dialog.addToSameRow();
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Demo</h3>Segment a simulated micrograph with known truth.<br><br><b>out</b>: folder for the results; it appears when they are complete<br><b>engine</b>: who trains the forest: scikit-learn, or Weka's FastRandomForest as in TWS<br><b>encoder</b>: timm's name of a ViT, or 'none' for classical features alone<br><b>size</b>: height and width of the micrograph (96 to 4096 px)<br><b>seed</b>: random seed (0 to 2.14748e+09)<br><b>weights</b>: file with the encoder's weights, instead of cache, hub or offline source<br><b>threads</b>: threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("engine", Dialog.getChoice());
arguments = arguments + ", " + fbPair("encoder", Dialog.getString());
arguments = arguments + ", " + fbPair("size", Dialog.getString());
arguments = arguments + ", " + fbPair("seed", Dialog.getString());
arguments = arguments + ", " + fbPair("weights", Dialog.getString());
arguments = arguments + ", " + fbPair("threads", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("demo", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
