// include FijiBridge.ijm
// Make a classifier that TWS trained on features of fijibridge fit for apply. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Import Classifier");
fbAddPath("Model", "", false);
fbAddPath("Recipe", "", false);
fbAddPath("Out", "", true);
Dialog.addCheckbox("Overwrite", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Import Classifier</h3>Make a classifier that TWS trained on features of fijibridge fit for apply.<br><br><b>model</b>: a .model that TWS saved<br><b>recipe</b>: recipe.json that features wrote beside the features, or a saved classifier<br><b>out</b>: folder for the results; it appears when they are complete<br><b>overwrite</b>: replace an older result of fijibridge");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("model", Dialog.getString());
arguments = arguments + ", " + fbPair("recipe", Dialog.getString());
arguments = arguments + ", " + fbPair("out", Dialog.getString());
arguments = arguments + ", " + fbPair("overwrite", Dialog.getCheckbox());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("import_classifier", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
