// include FijiBridge.ijm
// Measure how diverse simulated micrographs are, compared with real ones. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Diversity");
    do {
        last = fbLast("diversity");
        Dialog.create("FB Diversity");
        fbAddPath("Dataset", last, "dataset", "", true);
        fbAddPath("Real", last, "real", "", false);
        fbAddPath("Out", last, "out", "", true);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Diversity</h3>Measure how diverse simulated micrographs are, compared with real ones.<br><br><b>dataset</b>: folder of a data set, as simulate writes it<br><b>real</b>: real micrographs to compare with<br><b>out</b>: folder for the results; it appears when they are complete<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_dataset = Dialog.getString();
        v_real = Dialog.getString();
        v_out = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Diversity: more options");
            fbAddString("Max_images", last, "max_images", "48", 7);
            Dialog.addToSameRow();
            fbAddString("Detector", last, "detector", "BSE", 16);
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addToSameRow();
            fbAddString("Encoder", last, "encoder", "vit_small_patch14_dinov2", 16);
            fbAddString("Databar", last, "databar", "auto", 16);
            fbAddPath("Weights", last, "weights", "", false);
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Diversity</h3>Measure how diverse simulated micrographs are, compared with real ones.<br><br><b>detector</b>: the detector that took the image, such as SE or BSE: for a network, and beside further detectors<br><b>max images</b>: images of the data set to compare, at most, evenly through it (2 to 10000)<br><b>encoder</b>: timm's name of a ViT<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>weights</b>: file with the ViT's weights; default: from the cache, a model hub or the offline source<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_max_images = Dialog.getString();
            v_detector = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_encoder = Dialog.getString();
            v_databar = Dialog.getString();
            v_weights = Dialog.getString();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("diversity", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "dataset", v_dataset, "");
    chosen = fbChosen(chosen, "real", v_real, "");
    once = fbChosen(once, "out", v_out, "");
    if (v_more) {
        chosen = fbChosen(chosen, "detector", v_detector, "BSE");
        chosen = fbChosen(chosen, "max_images", v_max_images, "48");
        chosen = fbChosen(chosen, "encoder", v_encoder, "vit_small_patch14_dinov2");
        chosen = fbChosen(chosen, "databar", v_databar, "auto");
        chosen = fbChosen(chosen, "weights", v_weights, "");
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
    fbRemember("diversity", kept);
    if (records)
        fbRecord("FB Diversity", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("dataset", v_dataset));
    arguments = fbJoined(arguments, fbPair("real", v_real));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("detector", v_detector));
        arguments = fbJoined(arguments, fbPair("max_images", v_max_images));
        arguments = fbJoined(arguments, fbPair("encoder", v_encoder));
        arguments = fbJoined(arguments, fbPair("databar", v_databar));
        arguments = fbJoined(arguments, fbPair("weights", v_weights));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("diversity", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
