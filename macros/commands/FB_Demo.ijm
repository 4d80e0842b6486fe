// include FijiBridge.ijm
// Segment a simulated micrograph with known truth. Generated: changes are lost.
given = fbGiven();
asks = fbAsks(given);
if (asks) {
    records = fbRecorder("FB Demo");
    do {
        last = fbLast("demo");
        Dialog.create("FB Demo");
        fbAddPath("Out", last, "out", "", true);
        fbAddString("Size (px)", last, "size", "384", 7);
        fbAddCheckbox("Show", last, "show", "true");
        fbAddCheckbox("More_options", last, "more_options", "false");
        Dialog.addHelp("<html><h3>FB Demo</h3>Segment a simulated micrograph with known truth.<br><br><b>out</b>: folder for the results; it appears when they are complete<br><b>size</b>: height and width of the micrograph (96 to 4096 px)<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
        Dialog.show();
        v_out = Dialog.getString();
        v_size = Dialog.getString();
        v_show = Dialog.getCheckbox();
        v_more = Dialog.getCheckbox();
        v_defaults = false;
        if (v_more) {
            Dialog.create("FB Demo: more options");
            fbAddChoice("Engine", last, "engine", newArray("sklearn", "weka"), "sklearn");
            Dialog.addToSameRow();
            fbAddString("Features", last, "features", "", 16);
            fbAddString("Seed", last, "seed", "0", 7);
            Dialog.addToSameRow();
            fbAddString("Encoder", last, "encoder", "vit_small_patch14_dinov2", 16);
            fbAddPath("Weights", last, "weights", "", false);
            fbAddString("Threads", last, "threads", "0", 7);
            Dialog.addToSameRow();
            fbAddCheckbox("Overwrite", last, "overwrite", "false");
            Dialog.addCheckbox("Defaults", false);
            Dialog.addHelp("<html><h3>FB Demo</h3>Segment a simulated micrograph with known truth.<br><br><b>engine</b>: who trains the forest: scikit-learn, or Weka's FastRandomForest as in TWS<br><b>features</b>: kinds of features, or TWS's filters by name (their beginning serves), separated by commas, such as tws,vit or Gaussian,Hessian,Membrane; or a recipe (recipe.toml of a saved classifier), which other options override; default: tws,vit, and network where one is given; tws: Trainable Weka Segmentation's 76 default features; tws3d: its default features of volumes; vit: a vision transformer's tokens, upsampled; conv: early layers of a convolutional network; network: class probabilities of a trained network; tws:all: all of TWS's filters; tws:colour: those of TWS for an RGB image: of red, green and blue, and hue, saturation, brightness; tws3d:all: all of TWS's filters of volumes, or some by name, such as tws3d:Hessian; tws3d:isotropic: derivatives along z by the voxel's depth, too, which TWS takes by the slice; tws3d:colour: those of TWS for an RGB volume; conv:vgg19: those of VGG19, whose weights are by some accounts not for commercial use; Gabor, Anisotropic_diffusion, Bilateral, Lipschitz, Kuwahara, Gaussian_blur, Sobel_filter, Hessian, Difference_of_gaussians, Variance, Mean, Minimum, Maximum, Median, Derivatives, Laplacian, Structure, Entropy, Membrane_projections, Neighbors, tws3d:Gaussian_blur, tws3d:Difference_of_Gaussian, tws3d:Hessian, tws3d:Derivatives, tws3d:Laplacian, tws3d:Edges, tws3d:Structure, tws3d:Minimum, tws3d:Maximum, tws3d:Mean, tws3d:Median, tws3d:Variance<br><b>encoder</b>: timm's name of a ViT<br><b>seed</b>: random seed: the same seed, settings and versions on the same device give the same result (0 to 2147483647)<br><b>weights</b>: file with the ViT's weights; default: from the cache, a model hub or the offline source<br><b>threads</b>: CPU threads; 0: all cores (0 to 1024)<br><b>overwrite</b>: replace an older result of fijibridge<br><br>The fields are as you left them last time; <b>Defaults</b>, on the last page, empties them.");
            Dialog.show();
            v_engine = Dialog.getChoice();
            v_features = Dialog.getString();
            v_seed = Dialog.getString();
            v_encoder = Dialog.getString();
            v_weights = Dialog.getString();
            v_threads = Dialog.getString();
            v_overwrite = Dialog.getCheckbox();
            v_defaults = Dialog.getCheckbox();
            if (v_defaults)
                fbRemember("demo", "");
        }
    } while (v_defaults);
    once = "";
    chosen = "";
    once = fbChosen(once, "out", v_out, "fijibridge-demo");
    chosen = fbChosen(chosen, "size", v_size, "384");
    if (v_more) {
        chosen = fbChosen(chosen, "engine", v_engine, "sklearn");
        chosen = fbChosen(chosen, "features", v_features, "");
        chosen = fbChosen(chosen, "encoder", v_encoder, "vit_small_patch14_dinov2");
        chosen = fbChosen(chosen, "seed", v_seed, "0");
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
    fbRemember("demo", kept);
    if (records)
        fbRecord("FB Demo", once + chosen + shown);
}
id = fbBegin();
arguments = "";
if (asks) {
    arguments = fbJoined(arguments, fbPair("out", v_out));
    arguments = fbJoined(arguments, fbPair("size", v_size));
    if (v_more) {
        arguments = fbJoined(arguments, fbPair("engine", v_engine));
        arguments = fbJoined(arguments, fbPair("features", v_features));
        arguments = fbJoined(arguments, fbPair("encoder", v_encoder));
        arguments = fbJoined(arguments, fbPair("seed", v_seed));
        arguments = fbJoined(arguments, fbPair("weights", v_weights));
        arguments = fbJoined(arguments, fbPair("threads", v_threads));
        arguments = fbJoined(arguments, fbPair("overwrite", v_overwrite));
    }
    if (v_show)
        given = "show";
} else {
    given = replace(given, "(?<![^ ])more_options(?![^ ])", "");
}
result = fbCall("demo", id, arguments, given + " on_error=return");
if (fbFailed(result))
    fbFail(substring(result, 6));
