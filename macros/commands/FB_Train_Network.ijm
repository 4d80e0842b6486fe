// include FijiBridge.ijm
// Train a network that segments SE and BSE images into phases. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Train Network");
    do {
        last = fbLast("train_network");
        Dialog.create("FB Train Network");
        fbAddPath("Dataset", last, "dataset", "", true);
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Minutes (min)", last, "minutes", "60", 7);
        Dialog.addToSameRow();
        fbAddString("Target_classes", last, "target_classes", "", 16);
        fbAddString("Merge", last, "merge", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Train Network</h3>Train a network that segments SE and BSE images into phases.<br><br><b>dataset</b>: folder of a data set, as simulate writes it<br><b>out</b>: folder of the network; written at each check<br><b>target classes</b>: classes (phases) that the network learns, separated by commas; default: all of the data set<br><b>merge</b>: classes that count as another, such as binder=ISE,carbon=ISE<br><b>minutes</b>: time to train; the learning rate falls to 0 at its end (at least 0.01 min)<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_dataset = Dialog.getString();
        v_out = Dialog.getString();
        v_minutes = Dialog.getString();
        v_target_classes = Dialog.getString();
        v_merge = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Train Network: more options");
            fbAddChoice("Clock", last, "clock", newArray("wall", "cpu"), "wall");
            Dialog.addToSameRow();
            fbAddString("Steps", last, "steps", "0", 7);
            fbAddChoice("Pretrained", last, "pretrained", newArray("auto", "yes", "no"), "auto");
            Dialog.addToSameRow();
            fbAddString("Unet_encoder", last, "unet_encoder", "plain", 16);
            fbAddString("Width", last, "width", "32", 7);
            Dialog.addToSameRow();
            fbAddChoice("Unet_slices", last, "unet_slices", newArray("1", "3", "5"), "1");
            fbAddString("Crop (px)", last, "crop", "256", 7);
            Dialog.addToSameRow();
            fbAddString("Batch", last, "batch", "8", 7);
            fbAddString("Rate", last, "rate", "0.003", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Onnx", last, "onnx", "false");
            fbAddString("Seed", last, "seed", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Device", last, "device", "auto", 16);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Resume", last, "resume", "false");
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Train Network</h3>Train a network that segments SE and BSE images into phases.<br><br><b>clock</b>: what minutes are: wall-clock time, or time of all CPU cores together<br><b>steps</b>: steps of training, whatever their time, which makes the result reproducible; 0: as many as the minutes allow (at least 0)<br><b>unet encoder</b>: plain: a U-Net made for a CPU; or an encoder of segmentation-models-pytorch such as resnet18 or efficientnet-b0, or of timm as tu-NAME<br><b>pretrained</b>: whether an encoder by name starts from ImageNet weights; auto: where they are in the cache or in reach<br><b>width</b>: channels of the finest resolution; doubled with each halving, up to 160 (4 to 256)<br><b>unet slices</b>: slices of a stack that the network sees to segment the middle one; 3 and 5 need a data set of stacks (sections and spacing in the config of simulate)<br><b>crop</b>: side of a training crop, a multiple of the network's stride (32 to 1024 px)<br><b>batch</b>: crops a step (1 to 256)<br><b>rate</b>: highest learning rate (1e-06 to 1)<br><b>onnx</b>: write the network as network.onnx, too, for other programs<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>device</b>: auto, cpu, cuda or cuda:1; auto: a GPU where there is one<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>resume</b>: continue a run that was stopped<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_clock = Dialog.getChoice();
            v_steps = Dialog.getString();
            v_pretrained = Dialog.getChoice();
            v_unet_encoder = Dialog.getString();
            v_width = Dialog.getString();
            v_unet_slices = Dialog.getChoice();
            v_crop = Dialog.getString();
            v_batch = Dialog.getString();
            v_rate = Dialog.getString();
            v_onnx = Dialog.getCheckbox();
            v_seed = Dialog.getString();
            v_device = Dialog.getString();
            v_threads = Dialog.getString();
            v_resume = Dialog.getCheckbox();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("train_network", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    chosen = fbChosen(chosen, "dataset", v_dataset, "");
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "target_classes", v_target_classes, "");
    chosen = fbChosen(chosen, "merge", v_merge, "");
    chosen = fbChosen(chosen, "minutes", v_minutes, "60");
    if (v_more) {
        chosen = fbChosen(chosen, "clock", v_clock, "wall");
        chosen = fbChosen(chosen, "steps", v_steps, "0");
        chosen = fbChosen(chosen, "unet_encoder", v_unet_encoder, "plain");
        chosen = fbChosen(chosen, "pretrained", v_pretrained, "auto");
        chosen = fbChosen(chosen, "width", v_width, "32");
        chosen = fbChosen(chosen, "unet_slices", v_unet_slices, "1");
        chosen = fbChosen(chosen, "crop", v_crop, "256");
        chosen = fbChosen(chosen, "batch", v_batch, "8");
        chosen = fbChosen(chosen, "rate", v_rate, "0.003");
        chosen = fbChosen(chosen, "onnx", fbTruth(v_onnx), "false");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
        chosen = fbChosen(chosen, "device", v_device, "auto");
        chosen = fbChosen(chosen, "threads", v_threads, "0");
        chosen = fbChosen(chosen, "resume", fbTruth(v_resume), "false");
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
    fbRemember("train_network", kept);
    if (records)
        fbRecord("FB Train Network", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("dataset", v_dataset));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("target_classes", v_target_classes));
    arguments = fbJoined(arguments, fbPair("merge", v_merge));
    arguments = fbJoined(arguments, fbPair("minutes", v_minutes));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("clock", v_clock));
        arguments = fbJoined(arguments, fbPair("steps", v_steps));
        arguments = fbJoined(arguments, fbPair("unet_encoder", v_unet_encoder));
        arguments = fbJoined(arguments, fbPair("pretrained", v_pretrained));
        arguments = fbJoined(arguments, fbPair("width", v_width));
        arguments = fbJoined(arguments, fbPair("unet_slices", v_unet_slices));
        arguments = fbJoined(arguments, fbPair("crop", v_crop));
        arguments = fbJoined(arguments, fbPair("batch", v_batch));
        arguments = fbJoined(arguments, fbPair("rate", v_rate));
        arguments = fbJoined(arguments, fbPair("onnx", v_onnx));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
        arguments = fbJoined(arguments, fbPair("device", v_device));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("resume", v_resume));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("train_network", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
