// include FijiBridge.ijm
// Train the learned upsampler on a folder of images. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Train Upsampler");
    do {
        last = fbLast("train_upsampler");
        Dialog.create("FB Train Upsampler");
        fbAddPath("Folder", last, "folder", "", true);
        fbAddPath("Out", last, "out", "", true);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Train Upsampler</h3>Train the learned upsampler on a folder of images.<br><br><b>folder</b>: folder of images; nothing has to be labelled<br><b>out</b>: folder for the results; it appears when they are complete<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_folder = Dialog.getString();
        v_out = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Train Upsampler: more options");
            fbAddString("Block", last, "block", "6", 7);
            Dialog.addToSameRow();
            fbAddString("Encoder", last, "encoder", "vit_small_patch14_dinov2", 16);
            fbAddChoice("Target", last, "target", newArray("enlarged", "strided"), "enlarged");
            Dialog.addToSameRow();
            fbAddString("Crops", last, "crops", "64", 7);
            fbAddString("Crop (px)", last, "crop", "160", 7);
            Dialog.addToSameRow();
            fbAddString("Steps", last, "steps", "1500", 7);
            fbAddString("Rate", last, "rate", "0.003", 7);
            Dialog.addToSameRow();
            fbAddString("Seed", last, "seed", "0", 7);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Databar", last, "databar", "auto", 16);
            fbAddPath("Weights", last, "weights", "", false);
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Train Upsampler</h3>Train the learned upsampler on a folder of images.<br><br><b>encoder</b>: timm's name of a ViT<br><b>block</b>: transformer block whose tokens are the training's data, the first being 1 (1 to 1000)<br><b>target</b>: dense grid to be met: of the image enlarged twice as much, or shifted by half a patch<br><b>crops</b>: crops of the images to train on (2 to 100000)<br><b>crop</b>: side of a training crop (64 to 1024 px)<br><b>steps</b>: steps of training, one crop each (1 to 10000000)<br><b>rate</b>: highest learning rate (1e-06 to 1)<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>databar</b>: data bar of an SEM image at the bottom: 'auto', or its number of rows<br><b>weights</b>: file with the ViT's weights; default: from the cache, a model hub or the offline source<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_block = Dialog.getString();
            v_encoder = Dialog.getString();
            v_target = Dialog.getChoice();
            v_crops = Dialog.getString();
            v_crop = Dialog.getString();
            v_steps = Dialog.getString();
            v_rate = Dialog.getString();
            v_seed = Dialog.getString();
            v_threads = Dialog.getString();
            v_databar = Dialog.getString();
            v_weights = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("train_upsampler", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "folder", v_folder, "");
    once = fbChosen(once, "out", v_out, "");
    if (v_more) {
        chosen = fbChosen(chosen, "encoder", v_encoder, "vit_small_patch14_dinov2");
        chosen = fbChosen(chosen, "block", v_block, "6");
        chosen = fbChosen(chosen, "target", v_target, "enlarged");
        chosen = fbChosen(chosen, "crops", v_crops, "64");
        chosen = fbChosen(chosen, "crop", v_crop, "160");
        chosen = fbChosen(chosen, "steps", v_steps, "1500");
        chosen = fbChosen(chosen, "rate", v_rate, "0.003");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
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
    fbRemember("train_upsampler", kept);
    if (records)
        fbRecord("FB Train Upsampler", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("folder", v_folder));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("encoder", v_encoder));
        arguments = fbJoined(arguments, fbPair("block", v_block));
        arguments = fbJoined(arguments, fbPair("target", v_target));
        arguments = fbJoined(arguments, fbPair("crops", v_crops));
        arguments = fbJoined(arguments, fbPair("crop", v_crop));
        arguments = fbJoined(arguments, fbPair("steps", v_steps));
        arguments = fbJoined(arguments, fbPair("rate", v_rate));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
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
result = fbCall("train_upsampler", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
