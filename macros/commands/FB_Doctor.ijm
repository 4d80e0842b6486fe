// include FijiBridge.ijm
// Check Java, jars, torch, weights and caches, and a Fiji with the commands installed in it. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Doctor");
    do {
        last = fbLast("doctor");
        Dialog.create("FB Doctor");
        fbAddPath("Fiji", last, "fiji", "", false);
        fbAddCheckbox("Show", last, "show", "true");
        Dialog.addCheckbox("Defaults", false);
        Dialog.addHelp("<html><h3>FB Doctor</h3>Check Java, jars, torch, weights and caches, and a Fiji with the commands installed in it.<br><br><b>fiji</b>: folder of a Fiji or ImageJ to check; default: what FIJIBRIDGE_FIJI names<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_fiji = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_defaults = Dialog.getCheckbox();
        if (v_defaults)
            fbRemember("doctor", "");
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "fiji", v_fiji, "");
    kept = chosen;
    shown = "";
    if (v_show)
        shown = "show";
    else
        kept = kept + "show=false ";
    fbRemember("doctor", kept);
    if (records)
        fbRecord("FB Doctor", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("fiji", v_fiji));
    if (v_show)
        given = "show";
} else {
}
result = fbCall("doctor", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
print(result);
