// include FijiBridge.ijm
// Import a classifier that TWS trained on features of fijibridge, for apply. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Import Classifier");
    do {
        last = fbLast("import_classifier");
        Dialog.create("FB Import Classifier");
        fbAddPath("Tws_model", last, "tws_model", "", false);
        fbAddPath("Feature_file", last, "feature_file", "", true);
        fbAddPath("Out", last, "out", "", true);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Import Classifier</h3>Import a classifier that TWS trained on features of fijibridge, for apply.<br><br><b>tws model</b>: a .model that TWS saved<br><b>feature file</b>: features.json that features wrote, or a saved classifier: features are made as it says<br><b>out</b>: folder for the results; it appears when they are complete<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_tws_model = Dialog.getString();
        v_feature_file = Dialog.getString();
        v_out = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Import Classifier: more options");
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Import Classifier</h3>Import a classifier that TWS trained on features of fijibridge, for apply.<br><br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("import_classifier", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "tws_model", v_tws_model, "");
    chosen = fbChosen(chosen, "feature_file", v_feature_file, "");
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
    fbRemember("import_classifier", kept);
    if (records)
        fbRecord("FB Import Classifier", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("tws_model", v_tws_model));
    arguments = fbJoined(arguments, fbPair("feature_file", v_feature_file));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("import_classifier", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
