// include FijiBridge.ijm
// Make a fine 3D volume from a coarse one and fine 2D micrographs that show more phases. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Superresolve 3D");
    do {
        last = fbLast("superresolve");
        Dialog.create("FB Superresolve 3D");
        fbAddPath("Micrographs", last, "micrographs", fbDefaultLabels(), false);
        fbAddString("Visible", last, "visible", "", 16);
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Classes", last, "classes", "", 16);
        fbAddString("Pixel_size", last, "pixel_size", "", 16);
        fbAddString("Voxel_size", last, "voxel_size", "", 16);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Superresolve 3D</h3>Make a fine 3D volume from a coarse one and fine 2D micrographs that show more phases.<br><br><b>micrographs</b>: segmented fine micrographs with all phases; default: those of the trained model<br><b>visible</b>: phases that the coarse volume shows, by their names in the micrographs, separated by commas<br><b>out</b>: the volume, NAME.tif, with its report in NAME_report; or a folder for both<br><b>classes</b>: names of the classes (phases) in the order of their values, separated by commas; default: those in the file<br><b>pixel size</b>: size of a micrograph's pixel, y,x and its unit, such as 10,10 nm; default: from the file, else 1 px<br><b>voxel size</b>: size of a volume's voxel (of an image: its pixel), z,y,x and its unit, such as 50,10,10 nm; default: from the file, else 1 px<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_micrographs = Dialog.getString();
        v_visible = Dialog.getString();
        v_out = Dialog.getString();
        v_classes = Dialog.getString();
        v_pixel_size = Dialog.getString();
        v_voxel_size = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Superresolve 3D: more options");
            fbAddString("Factor", last, "factor", "0", 7);
            Dialog.addToSameRow();
            fbAddChoice("Method", last, "method", newArray("optimise", "gan"), "optimise");
            fbAddCheckbox("Train", last, "train", "false");
            Dialog.addToSameRow();
            fbAddString("Training_steps", last, "training_steps", "3000", 7);
            fbAddPath("Out_model", last, "out_model", "", false);
            fbAddPath("Model", last, "model", "", true);
            fbAddChoice("Coarse_as", last, "coarse_as", newArray("auto", "labels", "probabilities", "grey"), "auto");
            Dialog.addToSameRow();
            fbAddString("Coarse_classes", last, "coarse_classes", "", 16);
            fbAddChoice("Trust", last, "trust", newArray("ask", "coarse", "slices"), "ask");
            Dialog.addToSameRow();
            fbAddString("Psf (coarse voxels)", last, "psf", "-1", 7);
            fbAddString("Samples", last, "samples", "1", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Probabilities", last, "probabilities", "false");
            fbAddPath("Classifier", last, "classifier", "", true);
            fbAddString("Otsu", last, "otsu", "0", 7);
            Dialog.addToSameRow();
            fbAddChoice("Loss", last, "loss", newArray("vgg19", "patches", "both"), "both");
            fbAddString("Steps", last, "steps", "200", 7);
            Dialog.addToSameRow();
            fbAddString("Slices_per_step", last, "slices_per_step", "6", 7);
            fbAddCheckbox("Separate", last, "separate", "true");
            Dialog.addToSameRow();
            fbAddString("Agreement_weight", last, "agreement_weight", "1", 7);
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
            Dialog.addHelp("<html><h3>FB Superresolve 3D</h3>Make a fine 3D volume from a coarse one and fine 2D micrographs that show more phases.<br><br><b>factor</b>: fine voxels along a coarse one, 2, 4 or 8; 0: by the pixel sizes of the two files (0 to 8)<br><b>method</b>: optimise: no training, minutes to hours a volume; gan: a network, trained once, then applied in seconds<br><b>train</b>: for the method gan: train a model, then apply it<br><b>out model</b>: folder for the model that is trained<br><b>model</b>: folder of a trained model, to apply<br><b>training steps</b>: steps of the GAN's training, at most (at least 1)<br><b>coarse classes</b>: names of the coarse volume's values in their order, separated by commas; default: those in the file<br><b>coarse as</b>: what the coarse volume holds; auto: labels, or probabilities where its values are fractions<br><b>trust</b>: whose fraction of a visible phase holds where coarse volume and slices of the micrographs disagree; ask: refuse, with the numbers<br><b>psf</b>: width (FWHM) of the blur in a coarse volume of probabilities or grey values; negative: estimated (-1 to 8 coarse voxels)<br><b>samples</b>: volumes to make, by consecutive seeds; 0: the most probable volume alone, in a minute (0 to 1000)<br><b>probabilities</b>: write the class probabilities, too<br><b>classifier</b>: for grey micrographs: folder of the saved classifier that segments them<br><b>otsu</b>: for grey micrographs: number of phases to separate by multi-Otsu thresholds; 0: none (0 to 8)<br><b>loss</b>: what slices and exemplar are compared by: features of a pre-trained VGG19, patches (no weights), or both<br><b>steps</b>: steps of the optimisation at full resolution; those at coarser ones follow from it (at least 1)<br><b>slices per step</b>: slices along each axis in a step (at least 1)<br><b>separate</b>: make contacts of particles as thin as the exemplar shows them<br><b>agreement weight</b>: weight of the agreement with the coarse volume (0 to 1000)<br><b>fraction weight</b>: weight of the phase fractions (0 to 1000)<br><b>correlation weight</b>: weight of the two-point correlations (0 to 1000)<br><b>interface weight</b>: weight of each pair's interface area and straight boundaries (0 to 1000)<br><b>chord weight</b>: weight of the chord lengths (lineal path) (0 to 1000)<br><b>shape weight</b>: weight of area and Euler number of the eroded and of the opened phases (0 to 1000)<br><b>chunk</b>: side of the chunks in which a large volume is made; 0: whole (at least 0 voxels)<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>device</b>: auto, cpu, cuda or cuda:1; auto: a GPU where there is one<br><b>vgg weights</b>: file with VGG19's weights; default: from the cache, a model hub or the offline source<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>resume</b>: continue a run that was stopped<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_factor = Dialog.getString();
            v_method = Dialog.getChoice();
            v_train = Dialog.getCheckbox();
            v_training_steps = Dialog.getString();
            v_out_model = Dialog.getString();
            v_model = Dialog.getString();
            v_coarse_as = Dialog.getChoice();
            v_coarse_classes = Dialog.getString();
            v_trust = Dialog.getChoice();
            v_psf = Dialog.getString();
            v_samples = Dialog.getString();
            v_probabilities = Dialog.getCheckbox();
            v_classifier = Dialog.getString();
            v_otsu = Dialog.getString();
            v_loss = Dialog.getChoice();
            v_steps = Dialog.getString();
            v_slices_per_step = Dialog.getString();
            v_separate = Dialog.getCheckbox();
            v_agreement_weight = Dialog.getString();
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
                fbRemember("superresolve", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    once = fbChosen(once, "micrographs", v_micrographs, "");
    chosen = fbChosen(chosen, "visible", v_visible, "");
    once = fbChosen(once, "out", v_out, "");
    chosen = fbChosen(chosen, "classes", v_classes, "");
    chosen = fbChosen(chosen, "pixel_size", v_pixel_size, "");
    chosen = fbChosen(chosen, "voxel_size", v_voxel_size, "");
    if (v_more) {
        chosen = fbChosen(chosen, "factor", v_factor, "0");
        chosen = fbChosen(chosen, "method", v_method, "optimise");
        chosen = fbChosen(chosen, "train", fbTruth(v_train), "false");
        once = fbChosen(once, "out_model", v_out_model, "");
        chosen = fbChosen(chosen, "model", v_model, "");
        chosen = fbChosen(chosen, "training_steps", v_training_steps, "3000");
        chosen = fbChosen(chosen, "coarse_classes", v_coarse_classes, "");
        chosen = fbChosen(chosen, "coarse_as", v_coarse_as, "auto");
        chosen = fbChosen(chosen, "trust", v_trust, "ask");
        chosen = fbChosen(chosen, "psf", v_psf, "-1");
        chosen = fbChosen(chosen, "samples", v_samples, "1");
        chosen = fbChosen(chosen, "probabilities", fbTruth(v_probabilities), "false");
        chosen = fbChosen(chosen, "classifier", v_classifier, "");
        chosen = fbChosen(chosen, "otsu", v_otsu, "0");
        chosen = fbChosen(chosen, "loss", v_loss, "both");
        chosen = fbChosen(chosen, "steps", v_steps, "200");
        chosen = fbChosen(chosen, "slices_per_step", v_slices_per_step, "6");
        chosen = fbChosen(chosen, "separate", fbTruth(v_separate), "true");
        chosen = fbChosen(chosen, "agreement_weight", v_agreement_weight, "1");
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
    fbRemember("superresolve", kept);
    if (records)
        fbRecord("FB Superresolve 3D", once + chosen + shown);
}
id = fbBegin();
arguments = "";
arguments = fbJoined(arguments, fbPair("coarse", fbImage(fbOption(given, "coarse"), id)));
if (asks) {
    arguments = fbJoined(arguments, fbPair("micrographs", fbLabels(v_micrographs, id)));
    arguments = fbJoined(arguments, fbPair("visible", v_visible));
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("classes", v_classes));
    arguments = fbJoined(arguments, fbPair("pixel_size", v_pixel_size));
    arguments = fbJoined(arguments, fbPair("voxel_size", v_voxel_size));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("factor", v_factor));
        arguments = fbJoined(arguments, fbPair("method", v_method));
        arguments = fbJoined(arguments, fbPair("train", v_train));
        arguments = fbJoined(arguments, fbPair("out_model", v_out_model));
        arguments = fbJoined(arguments, fbPair("model", v_model));
        arguments = fbJoined(arguments, fbPair("training_steps", v_training_steps));
        arguments = fbJoined(arguments, fbPair("coarse_classes", v_coarse_classes));
        arguments = fbJoined(arguments, fbPair("coarse_as", v_coarse_as));
        arguments = fbJoined(arguments, fbPair("trust", v_trust));
        arguments = fbJoined(arguments, fbPair("psf", v_psf));
        arguments = fbJoined(arguments, fbPair("samples", v_samples));
        arguments = fbJoined(arguments, fbPair("probabilities", v_probabilities));
        arguments = fbJoined(arguments, fbPair("classifier", v_classifier));
        arguments = fbJoined(arguments, fbPair("otsu", v_otsu));
        arguments = fbJoined(arguments, fbPair("loss", v_loss));
        arguments = fbJoined(arguments, fbPair("steps", v_steps));
        arguments = fbJoined(arguments, fbPair("slices_per_step", v_slices_per_step));
        arguments = fbJoined(arguments, fbPair("separate", v_separate));
        arguments = fbJoined(arguments, fbPair("agreement_weight", v_agreement_weight));
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
    arguments = fbJoined(arguments, fbPair("micrographs", fbLabels(fbLastValue(given, "micrographs", fbDefaultLabels()), id)));
}
result = fbCall("superresolve", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
