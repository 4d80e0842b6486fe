// include FijiBridge.ijm
// Make a 3D volume from one segmented 2D micrograph, or from two or three of different planes. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Reconstruct 3D");
    do {
        last = fbLast("reconstruct");
        Dialog.create("FB Reconstruct 3D");
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Volume_size", last, "volume_size", "128", 16);
        fbAddString("Classes", last, "classes", "", 16);
        fbAddString("Pixel_size", last, "pixel_size", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Reconstruct 3D</h3>Make a 3D volume from one segmented 2D micrograph, or from two or three of different planes.<br><br><b>out</b>: the volume, NAME.tif, with its report in NAME_report; or a folder for both<br><b>volume size</b>: voxels along all axes, or z,y,x<br><b>classes</b>: names of the classes (phases) in the order of their values, separated by commas; default: those in the file<br><b>pixel size</b>: size of a micrograph's pixel, y,x and its unit, such as 10,10 nm; default: from the file, else 1 px<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_out = Dialog.getString();
        v_volume_size = Dialog.getString();
        v_classes = Dialog.getString();
        v_pixel_size = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Reconstruct 3D: more options");
            fbAddPath("Classifier", last, "classifier", "", true);
            fbAddString("Otsu", last, "otsu", "0", 7);
            Dialog.addToSameRow();
            fbAddChoice("Loss", last, "loss", newArray("vgg19", "patches", "both"), "both");
            fbAddString("Steps", last, "steps", "120", 7);
            Dialog.addToSameRow();
            fbAddString("Slices_per_step", last, "slices_per_step", "6", 7);
            fbAddCheckbox("Periodic", last, "periodic", "false");
            Dialog.addToSameRow();
            fbAddCheckbox("Separate", last, "separate", "true");
            fbAddString("Fraction_weight", last, "fraction_weight", "1", 7);
            Dialog.addToSameRow();
            fbAddString("Correlation_weight", last, "correlation_weight", "1", 7);
            fbAddString("Interface_weight", last, "interface_weight", "1", 7);
            Dialog.addToSameRow();
            fbAddString("Chord_weight", last, "chord_weight", "1", 7);
            fbAddString("Shape_weight", last, "shape_weight", "1", 7);
            Dialog.addToSameRow();
            fbAddString("Chunk (voxels)", last, "chunk", "0", 7);
            fbAddString("Seed", last, "seed", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Device", last, "device", "auto", 16);
            fbAddPath("Vgg_weights", last, "vgg_weights", "", false);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Resume", last, "resume", "false");
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Reconstruct 3D</h3>Make a 3D volume from one segmented 2D micrograph, or from two or three of different planes.<br><br><b>classifier</b>: for grey micrographs: folder of the saved classifier that segments them<br><b>otsu</b>: for grey micrographs: number of phases to separate by multi-Otsu thresholds; 0: none (0 to 8)<br><b>loss</b>: what slices and exemplar are compared by: features of a pre-trained VGG19, patches (no weights), or both<br><b>steps</b>: steps of the optimisation at full resolution; those at coarser ones follow from it (at least 1)<br><b>slices per step</b>: slices along each axis in a step (at least 1)<br><b>periodic</b>: make a volume that is periodic along all axes<br><b>separate</b>: make contacts of particles as thin as the exemplar shows them<br><b>fraction weight</b>: weight of the phase fractions (0 to 1000)<br><b>correlation weight</b>: weight of the two-point correlations (0 to 1000)<br><b>interface weight</b>: weight of each pair's interface area and straight boundaries (0 to 1000)<br><b>chord weight</b>: weight of the chord lengths (lineal path) (0 to 1000)<br><b>shape weight</b>: weight of area and Euler number of the eroded and of the opened phases (0 to 1000)<br><b>chunk</b>: side of the chunks in which a large volume is made; 0: whole (at least 0 voxels)<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>device</b>: auto, cpu, cuda or cuda:1; auto: a GPU where there is one<br><b>vgg weights</b>: file with VGG19's weights; default: from the cache, a model hub or the offline source<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>resume</b>: continue a run that was stopped<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_classifier = Dialog.getString();
            v_otsu = Dialog.getString();
            v_loss = Dialog.getChoice();
            v_steps = Dialog.getString();
            v_slices_per_step = Dialog.getString();
            v_periodic = Dialog.getCheckbox();
            v_separate = Dialog.getCheckbox();
            v_fraction_weight = Dialog.getString();
            v_correlation_weight = Dialog.getString();
            v_interface_weight = Dialog.getString();
            v_chord_weight = Dialog.getString();
            v_shape_weight = Dialog.getString();
            v_chunk = Dialog.getString();
            v_seed = Dialog.getString();
            v_device = Dialog.getString();
            v_vgg_weights = Dialog.getString();
            v_threads = Dialog.getString();
            v_resume = Dialog.getCheckbox();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("reconstruct", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "volume_size", v_volume_size, "128");
    chosen = fbChosen(chosen, "classes", v_classes, "");
    chosen = fbChosen(chosen, "pixel_size", v_pixel_size, "");
    if (v_more) {
        chosen = fbChosen(chosen, "classifier", v_classifier, "");
        chosen = fbChosen(chosen, "otsu", v_otsu, "0");
        chosen = fbChosen(chosen, "loss", v_loss, "both");
        chosen = fbChosen(chosen, "steps", v_steps, "120");
        chosen = fbChosen(chosen, "slices_per_step", v_slices_per_step, "6");
        chosen = fbChosen(chosen, "periodic", fbTruth(v_periodic), "false");
        chosen = fbChosen(chosen, "separate", fbTruth(v_separate), "true");
        chosen = fbChosen(chosen, "fraction_weight", v_fraction_weight, "1");
        chosen = fbChosen(chosen, "correlation_weight", v_correlation_weight, "1");
        chosen = fbChosen(chosen, "interface_weight", v_interface_weight, "1");
        chosen = fbChosen(chosen, "chord_weight", v_chord_weight, "1");
        chosen = fbChosen(chosen, "shape_weight", v_shape_weight, "1");
        chosen = fbChosen(chosen, "chunk", v_chunk, "0");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
        chosen = fbChosen(chosen, "device", v_device, "auto");
        chosen = fbChosen(chosen, "vgg_weights", v_vgg_weights, "");
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
    fbRemember("reconstruct", kept);
    if (records)
        fbRecord("FB Reconstruct 3D", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("images", fbImage(fbOption(given, "images"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("volume_size", v_volume_size));
    arguments = fbJoined(arguments, fbPair("classes", v_classes));
    arguments = fbJoined(arguments, fbPair("pixel_size", v_pixel_size));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("classifier", v_classifier));
        arguments = fbJoined(arguments, fbPair("otsu", v_otsu));
        arguments = fbJoined(arguments, fbPair("loss", v_loss));
        arguments = fbJoined(arguments, fbPair("steps", v_steps));
        arguments = fbJoined(arguments, fbPair("slices_per_step", v_slices_per_step));
        arguments = fbJoined(arguments, fbPair("periodic", v_periodic));
        arguments = fbJoined(arguments, fbPair("separate", v_separate));
        arguments = fbJoined(arguments, fbPair("fraction_weight", v_fraction_weight));
        arguments = fbJoined(arguments, fbPair("correlation_weight", v_correlation_weight));
        arguments = fbJoined(arguments, fbPair("interface_weight", v_interface_weight));
        arguments = fbJoined(arguments, fbPair("chord_weight", v_chord_weight));
        arguments = fbJoined(arguments, fbPair("shape_weight", v_shape_weight));
        arguments = fbJoined(arguments, fbPair("chunk", v_chunk));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
        arguments = fbJoined(arguments, fbPair("device", v_device));
        arguments = fbJoined(arguments, fbPair("vgg_weights", v_vgg_weights));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("resume", v_resume));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("reconstruct", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
