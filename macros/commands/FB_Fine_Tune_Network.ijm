// include FijiBridge.ijm
// Fine-tune a segmenting network on sparse labels of a real image. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Fine Tune Network");
    do {
        last = fbLast("fine_tune_network");
        Dialog.create("FB Fine Tune Network");
        fbAddPath("Network", last, "network", "", true);
        fbAddPath("Se", last, "se", "", false);
        fbAddPath("Labels", last, "labels", fbDefaultLabels(), false);
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Classes", last, "classes", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Fine Tune Network</h3>Fine-tune a segmenting network on sparse labels of a real image.<br><br><b>network</b>: folder of a trained network<br><b>se</b>: secondary electron image, or a stack<br><b>labels</b>: label image of the same size (0 = unlabelled), or ImageJ ROIs (.zip, .roi); of a stack: a label image for each slice, or ROIs that say theirs<br><b>out</b>: folder for the results; it appears when they are complete<br><b>classes</b>: names of the classes (phases) in the order of their values, separated by commas; default: those in the file<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_network = Dialog.getString();
        v_se = Dialog.getString();
        v_labels = Dialog.getString();
        v_out = Dialog.getString();
        v_classes = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Fine Tune Network: more options");
            fbAddPath("Replay", last, "replay", "", false);
            fbAddString("Steps", last, "steps", "200", 7);
            Dialog.addToSameRow();
            fbAddString("Rate", last, "rate", "0.0003", 7);
            fbAddString("Seed", last, "seed", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Databar", last, "databar", "auto", 16);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Device", last, "device", "auto", 16);
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Fine Tune Network</h3>Fine-tune a segmenting network on sparse labels of a real image.<br><br><b>replay</b>: data set of the first training, from which half the crops are taken, so that less is forgotten<br><b>steps</b>: steps of training, whatever their time, which makes the result reproducible; 0: as many as the minutes allow (at least 0)<br><b>rate</b>: highest learning rate (1e-06 to 1)<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>device</b>: auto, cpu, cuda or cuda:1; auto: a GPU where there is one<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_replay = Dialog.getString();
            v_steps = Dialog.getString();
            v_rate = Dialog.getString();
            v_seed = Dialog.getString();
            v_databar = Dialog.getString();
            v_threads = Dialog.getString();
            v_device = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("fine_tune_network", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "network", v_network, "");
    chosen = fbChosen(chosen, "se", v_se, "");
    once = fbChosen(once, "labels", v_labels, "");
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "classes", v_classes, "");
    if (v_more) {
        chosen = fbChosen(chosen, "replay", v_replay, "");
        chosen = fbChosen(chosen, "steps", v_steps, "200");
        chosen = fbChosen(chosen, "rate", v_rate, "0.0003");
        chosen = fbChosen(chosen, "databar", v_databar, "auto");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
        chosen = fbChosen(chosen, "device", v_device, "auto");
        chosen = fbChosen(chosen, "threads", v_threads, "0");
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
    fbRemember("fine_tune_network", kept);
    if (records)
        fbRecord("FB Fine Tune Network", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("bse", fbImage(fbOption(given, "bse"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("network", v_network));
    arguments = fbJoined(arguments, fbPair("se", v_se));
    arguments = fbJoined(arguments, fbPair("labels", fbLabels(v_labels, id)));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("classes", v_classes));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("replay", v_replay));
        arguments = fbJoined(arguments, fbPair("steps", v_steps));
        arguments = fbJoined(arguments, fbPair("rate", v_rate));
        arguments = fbJoined(arguments, fbPair("databar", v_databar));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
        arguments = fbJoined(arguments, fbPair("device", v_device));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
    arguments = fbJoined(arguments, fbPair("labels", fbLabels(fbLastValue(given, "labels", fbDefaultLabels()), id)));
}
result = fbCall("fine_tune_network", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
