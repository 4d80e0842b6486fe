// include FijiBridge.ijm
// Measure the positional bias of a ViT's features on images, and how well each debiasing method removes it. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Bias");
    do {
        last = fbLast("bias");
        Dialog.create("FB Bias");
        fbAddPath("Out", last, "out", "", true);
        fbAddChoice("Preset", last, "preset", newArray("fast", "default", "best"), "default");
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Bias</h3>Measure the positional bias of a ViT's features on images, and how well each debiasing method removes it.<br><br><b>out</b>: folder for the results; it appears when they are complete<br><b>preset</b>: how much the ViT does: which blocks see the image, how often and how enlarged; explicit options override it<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_out = Dialog.getString();
        v_preset = Dialog.getChoice();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Bias: more options");
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Candidates", last, "candidates", "", 16);
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addToSameRow();
            fbAddString("Encoder", last, "encoder", "vit_small_patch14_dinov2", 16);
            fbAddString("Databar", last, "databar", "auto", 16);
            fbAddPath("Weights", last, "weights", "", false);
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Bias</h3>Measure the positional bias of a ViT's features on images, and how well each debiasing method removes it.<br><br><b>candidates</b>: debiasing methods to compare with none and template, separated by commas; default: all that need one pass; template: what tiles have in common is subtracted; none: the bias stays; mean: the ViT never learns where a patch is, at some cost in accuracy; flips: mean over the four flips of each tile (4 passes); rolls: mean over two shifted tilings (2 passes); alibi: as mean, and attention falls with distance; distilled: as template, and directions that encode the position are projected out; template+flips: both (4 passes)<br><b>encoder</b>: timm's name of a ViT<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>weights</b>: file with the ViT's weights; default: from the cache, a model hub or the offline source<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_threads = Dialog.getString();
            v_candidates = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_encoder = Dialog.getString();
            v_databar = Dialog.getString();
            v_weights = Dialog.getString();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("bias", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "preset", v_preset, "default");
    if (v_more) {
        chosen = fbChosen(chosen, "candidates", v_candidates, "");
        chosen = fbChosen(chosen, "encoder", v_encoder, "vit_small_patch14_dinov2");
        chosen = fbChosen(chosen, "databar", v_databar, "auto");
        chosen = fbChosen(chosen, "weights", v_weights, "");
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
    fbRemember("bias", kept);
    if (records)
        fbRecord("FB Bias", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("images", fbImage(fbOption(given, "images"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("preset", v_preset));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("candidates", v_candidates));
        arguments = fbJoined(arguments, fbPair("encoder", v_encoder));
        arguments = fbJoined(arguments, fbPair("databar", v_databar));
        arguments = fbJoined(arguments, fbPair("weights", v_weights));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("bias", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
