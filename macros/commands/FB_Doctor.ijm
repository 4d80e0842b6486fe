// include FijiBridge.ijm
// Check Java, jars, torch, weights and caches, and a Fiji with the commands installed in it. Written by "fijibridge macros"; changes are lost.
Dialog.create("FB Doctor");
fbAddPath("Fiji", "", false);
Dialog.addCheckbox("Show", true);
Dialog.addHelp("<html><h3>FB Doctor</h3>Check Java, jars, torch, weights and caches, and a Fiji with the commands installed in it.<br><br><b>fiji</b>: folder of a Fiji or ImageJ to look at; else FIJIBRIDGE_FIJI");
Dialog.show();
given = fbGiven();
id = fbBegin();
arguments = "" + fbPair("fiji", Dialog.getString());
if (Dialog.getCheckbox())
    given = given + " show";
result = fbCall("doctor", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
print(result);
