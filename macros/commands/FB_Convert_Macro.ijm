// include FijiBridge.ijm
// Rewrite a macro that calls TWS so that it calls fijibridge. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Convert Macro");
    do {
        last = fbLast("convert_macro");
        Dialog.create("FB Convert Macro");
        fbAddPath("Macro_file", last, "macro_file", "", false);
        fbAddPath("Out", last, "out", "", true);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Convert Macro</h3>Rewrite a macro that calls TWS so that it calls fijibridge.<br><br><b>macro file</b>: a macro of ImageJ (.ijm) that calls TWS<br><b>out</b>: the macro that calls fijibridge, NEW.ijm; or a folder for it and its report<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_macro_file = Dialog.getString();
        v_out = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Convert Macro: more options");
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Convert Macro</h3>Rewrite a macro that calls TWS so that it calls fijibridge.<br><br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("convert_macro", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "macro_file", v_macro_file, "");
    once = fbChosen(once, "out", v_out, "");
    if (v_more) {
        once = fbChosen(once, "overwrite", fbTruth(v_overwrite), "false");
    }
    kept = chosen;
    shown = "";
    if (v_show)
        shown = "show";
    else
        kept = kept + "show=false ";
    if (v_more)
        kept = kept + "more_options";
    fbRemember("convert_macro", kept);
    if (records)
        fbRecord("FB Convert Macro", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("macro_file", v_macro_file));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("convert_macro", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
